//! The parts that a working set is made of.

use crate::input::CgroupSample;

/// A part of the working set, named as `memory.stat` (v2) names it where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentName {
    /// File pages on the active list; under MGLRU, in the two youngest generations.
    ActiveFile,
    /// File pages on neither list: unevictable, isolated, or in a per-CPU batch on their way.
    FileOther,
    /// Anonymous memory that is mapped.
    Anon,
    /// On the LRU lists, but mapped by nobody and in no file: of huge pages what was given back,
    /// mostly.
    LruUnmapped,
    /// tmpfs, memfd, SysV and shared anonymous memory.
    Shmem,
    /// Slab that shrinkers can free: dentries, inodes.
    SlabReclaimable,
    /// Slab that they cannot.
    SlabUnreclaimable,
    /// Stacks of threads.
    KernelStack,
    /// Page tables, those of virtual machines and IOMMUs included (`sec_pagetables`).
    Pagetables,
    /// Per-CPU memory.
    Percpu,
    /// `vmalloc` memory.
    Vmalloc,
    /// Compressed swap.
    Zswap,
    /// What `kernel` holds beyond the parts that are counted by name.
    KernelOther,
    /// All kernel memory, where no part of it is counted by name (v1).
    Kernel,
    /// Socket buffers.
    Sock,
    /// Huge pages, where they are accounted.
    Hugetlb,
}

impl ComponentName {
    /// All of them. Their order is what the agent's history is written by: new ones come last.
    pub const ALL: [Self; 16] = [
        Self::ActiveFile,
        Self::FileOther,
        Self::Anon,
        Self::LruUnmapped,
        Self::Shmem,
        Self::SlabReclaimable,
        Self::SlabUnreclaimable,
        Self::KernelStack,
        Self::Pagetables,
        Self::Percpu,
        Self::Vmalloc,
        Self::Zswap,
        Self::KernelOther,
        Self::Kernel,
        Self::Sock,
        Self::Hugetlb,
    ];

    /// The stable name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ActiveFile => "active_file",
            Self::FileOther => "file_other",
            Self::Anon => "anon",
            Self::LruUnmapped => "lru_unmapped",
            Self::Shmem => "shmem",
            Self::SlabReclaimable => "slab_reclaimable",
            Self::SlabUnreclaimable => "slab_unreclaimable",
            Self::KernelStack => "kernel_stack",
            Self::Pagetables => "pagetables",
            Self::Percpu => "percpu",
            Self::Vmalloc => "vmalloc",
            Self::Zswap => "zswap",
            Self::KernelOther => "kernel_other",
            Self::Kernel => "kernel",
            Self::Sock => "sock",
            Self::Hugetlb => "hugetlb",
        }
    }

    /// Charged by the kernel for itself, not for pages that a process sees.
    pub fn is_kernel(self) -> bool {
        matches!(
            self,
            Self::SlabReclaimable
                | Self::SlabUnreclaimable
                | Self::KernelStack
                | Self::Pagetables
                | Self::Percpu
                | Self::Vmalloc
                | Self::Zswap
                | Self::KernelOther
                | Self::Kernel
                | Self::Sock
        )
    }
}

/// Whether memory would come back under pressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaimable {
    /// Clean page cache: the kernel can drop it at once.
    Now,
    /// Mostly dirty or under writeback: it can be dropped once it is on disk.
    AfterWriteback,
    /// It can only be swapped out. `available_bytes` is the swap the cgroup may still take.
    SwapOnly {
        /// `Some(0)`: there is no swap, so it stays. `None`: not known.
        available_bytes: Option<u64>,
    },
    /// Shrinkers free most of it.
    Mostly,
    /// It stays until whoever holds it lets go.
    No,
    /// A mixture that this kernel does not take apart.
    Unknown,
}

impl Reclaimable {
    /// The stable name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::AfterWriteback => "after_writeback",
            Self::SwapOnly { .. } => "swap_only",
            Self::Mostly => "mostly",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }

    /// Judges component `name` by the cgroup's state at the end of the window.
    ///
    /// `memory.stat` does not say how many of the *active* pages are dirty. At least
    /// `file_dirty + file_writeback - inactive_file` are; only if those are more than half of
    /// active_file is it called [`Reclaimable::AfterWriteback`].
    pub fn of(name: ComponentName, after: &CgroupSample) -> Self {
        use ComponentName as C;
        match name {
            C::ActiveFile => {
                let stat = &after.stat;
                let unclean = stat.file_dirty.unwrap_or(0) + stat.file_writeback.unwrap_or(0);
                let unclean_active = unclean.saturating_sub(stat.inactive_file.unwrap_or(0));
                if unclean_active > stat.active_file.unwrap_or(0) / 2 {
                    Self::AfterWriteback
                } else {
                    Self::Now
                }
            }
            C::Anon | C::Shmem | C::Zswap => Self::SwapOnly {
                available_bytes: after.swap_available_bytes,
            },
            // A shrinker of the memcg splits huge pages and frees what is not used.
            C::SlabReclaimable | C::LruUnmapped => Self::Mostly,
            C::Kernel => Self::Unknown,
            C::FileOther
            | C::SlabUnreclaimable
            | C::KernelStack
            | C::Pagetables
            | C::Percpu
            | C::Vmalloc
            | C::KernelOther
            | C::Sock
            | C::Hugetlb => Self::No,
        }
    }
}

/// One component over one window. Sizes in bytes; before and after may be negative where a
/// component is a difference of counters that were not read at the same instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// Which.
    pub name: ComponentName,
    /// At the start of the window.
    pub before_bytes: i64,
    /// At its end.
    pub after_bytes: i64,
    /// Would it come back under pressure?
    pub reclaimable: Reclaimable,
    /// The part of the change that no cause accounts for. The causes of the component and this
    /// sum up to [`Component::delta_bytes`].
    pub unattributed_bytes: i64,
}

impl Component {
    /// The change.
    pub fn delta_bytes(&self) -> i64 {
        self.after_bytes - self.before_bytes
    }
}
