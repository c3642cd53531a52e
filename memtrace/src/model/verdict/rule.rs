//! The rules by name.

/// The rules, each giving at most one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The working set could not be read at one end.
    Unknown,
    /// It did not change by more than the counters can tell.
    NoChange,
    /// active_file grew by second reads.
    SecondAccess,
    /// active_file grew by pages that came in active.
    InsertedActive,
    /// active_file grew and MGLRU does not tell by whom.
    MultiGen,
    /// active_file fell: pages deleted, truncated or dropped on request.
    Removed,
    /// active_file fell: reclaim evicted pages.
    Evicted,
    /// active_file fell: pages went back to the inactive list.
    Deactivated,
    /// anon changed, by process.
    Anon,
    /// anon fell: it went to swap.
    SwappedOut,
    /// anon grew: it came back from swap.
    SwappedIn,
    /// Memory that is charged and that nobody maps.
    LruUnmapped,
    /// shmem changed, by file.
    Shmem,
    /// Kernel memory changed, through threads.
    KernelStack,
    /// Kernel memory changed, through page tables.
    Pagetables,
    /// Socket buffers changed, by whose sockets they are.
    Sock,
    /// Kernel memory changed, and the machine's cache of names with it.
    Dentries,
    /// Kernel memory or socket buffers changed, and nobody owns it.
    Kernel,
    /// A component changed and no cause is known.
    Unattributed,
    /// Most of the change is in no component.
    Residual,
    /// With a command: the rise to the peak came first, this is the fall after it.
    AfterPeak,
    /// A second component matters too.
    Also,
    /// Of a parent: one child is most of the change.
    Child,
    /// The pages that grew are used by processes of another cgroup.
    UsedElsewhere,
    /// The target's processes use pages that another cgroup pays for.
    ChargedElsewhere,
    /// The OOM killer struck.
    OomKill,
    /// Page cache came in that the working set does not count.
    CacheOutside,
    /// Something weakens the answer.
    Weakened,
    /// What to do about it.
    Advice,
}

// A rule that is left out of the list has no section in the docs: this does not compile then.
const _: () = assert!(Rule::ALL.len() == Rule::Advice as usize + 1);

impl Rule {
    /// Every rule, in the order of `docs/VERDICTS.md`.
    pub const ALL: [Self; 29] = [
        Self::NoChange,
        Self::SecondAccess,
        Self::InsertedActive,
        Self::MultiGen,
        Self::Removed,
        Self::Evicted,
        Self::Deactivated,
        Self::Anon,
        Self::SwappedOut,
        Self::SwappedIn,
        Self::LruUnmapped,
        Self::Shmem,
        Self::KernelStack,
        Self::Pagetables,
        Self::Sock,
        Self::Dentries,
        Self::Kernel,
        Self::Unattributed,
        Self::Residual,
        Self::Unknown,
        Self::AfterPeak,
        Self::Child,
        Self::Also,
        Self::UsedElsewhere,
        Self::ChargedElsewhere,
        Self::CacheOutside,
        Self::OomKill,
        Self::Weakened,
        Self::Advice,
    ];

    /// The stable id in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NoChange => "no_change",
            Self::SecondAccess => "second_access",
            Self::InsertedActive => "inserted_active",
            Self::MultiGen => "mglru",
            Self::Removed => "removed",
            Self::Evicted => "evicted",
            Self::Deactivated => "deactivated",
            Self::Anon => "anon",
            Self::SwappedOut => "swapped_out",
            Self::SwappedIn => "swapped_in",
            Self::LruUnmapped => "lru_unmapped",
            Self::Shmem => "shmem",
            Self::KernelStack => "kernel_stack",
            Self::Pagetables => "pagetables",
            Self::Sock => "sock",
            Self::Dentries => "dentries",
            Self::Kernel => "kernel",
            Self::Unattributed => "unattributed",
            Self::Residual => "residual",
            Self::AfterPeak => "after_peak",
            Self::Also => "also",
            Self::Child => "child",
            Self::UsedElsewhere => "used_elsewhere",
            Self::ChargedElsewhere => "charged_elsewhere",
            Self::OomKill => "oom_kill",
            Self::CacheOutside => "cache_outside",
            Self::Weakened => "weakened",
            Self::Advice => "advice",
        }
    }
}
