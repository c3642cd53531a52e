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
    /// shmem changed, by file.
    Shmem,
    /// Kernel memory or socket buffers changed.
    Kernel,
    /// A component changed and no cause is known.
    Unattributed,
    /// Most of the change is in no component.
    Residual,
    /// With a command: the rise to the peak came first, this is the fall after it.
    AfterPeak,
    /// A second component matters too.
    Also,
    /// The OOM killer struck.
    OomKill,
    /// Page cache came in that the working set does not count.
    CacheOutside,
    /// Something weakens the answer.
    Weakened,
    /// What to do about it.
    Advice,
}

impl Rule {
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
            Self::Shmem => "shmem",
            Self::Kernel => "kernel",
            Self::Unattributed => "unattributed",
            Self::Residual => "residual",
            Self::AfterPeak => "after_peak",
            Self::Also => "also",
            Self::OomKill => "oom_kill",
            Self::CacheOutside => "cache_outside",
            Self::Weakened => "weakened",
            Self::Advice => "advice",
        }
    }
}
