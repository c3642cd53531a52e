//! What is kept of a cgroup for a minute.

use crate::model::ComponentName;

/// How a size went within a row, bytes. A part that is a difference of counters may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauge {
    /// At the first sample.
    pub first: i64,
    /// The least.
    pub least: i64,
    /// The most.
    pub most: i64,
    /// At the last sample.
    pub last: i64,
}

impl Gauge {
    /// Of one sample.
    pub fn new(bytes: i64) -> Self {
        Self {
            first: bytes,
            least: bytes,
            most: bytes,
            last: bytes,
        }
    }

    /// Learns the next sample.
    pub fn learn(&mut self, bytes: i64) {
        self.least = self.least.min(bytes);
        self.most = self.most.max(bytes);
        self.last = bytes;
    }
}

/// A size that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// What the cgroup is charged for; of the machine: MemTotal less MemAvailable.
    Usage,
    /// usage - inactive_file; of the machine: as the kubelet reckons it.
    WorkingSet,
    /// `U` of docs/RISK.md.
    Unreclaimable,
    /// The limit; unknown if there is none.
    Limit,
    /// `H` of docs/RISK.md.
    Headroom,
    /// Swap in use.
    Swap,
    /// Of the machine: what its working set may grow until the kubelet evicts.
    EvictionHeadroom,
    /// A part of the working set.
    Part(ComponentName),
}

impl Size {
    /// Those that are no parts, by their place in a row.
    pub const WHOLE: [Self; 7] = [
        Self::Usage,
        Self::WorkingSet,
        Self::Unreclaimable,
        Self::Limit,
        Self::Headroom,
        Self::Swap,
        Self::EvictionHeadroom,
    ];
    /// How many there are.
    pub const COUNT: usize = Self::WHOLE.len() + ComponentName::ALL.len();

    /// Its place in a row: it is what the history is written by, and never changes.
    pub fn place(self) -> usize {
        match self {
            Self::Usage => 0,
            Self::WorkingSet => 1,
            Self::Unreclaimable => 2,
            Self::Limit => 3,
            Self::Headroom => 4,
            Self::Swap => 5,
            Self::EvictionHeadroom => 6,
            Self::Part(name) => Self::WHOLE.len() + name as usize,
        }
    }
}

/// What is counted: how often, or for how long, since the row before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Pages that reclaim looked at.
    Scanned,
    /// Pages that it freed.
    Reclaimed,
    /// Pages of files read in again after they were evicted.
    RefaultFile,
    /// Pages read in again from swap.
    RefaultAnon,
    /// Microseconds in which some task waited for memory.
    SomeUs,
    /// Microseconds in which all did.
    FullUs,
    /// Times the limit was about to be exceeded.
    LimitHits,
    /// Times reclaim could not keep it below the limit.
    Oom,
    /// Processes that the OOM killer killed.
    Kills,
}

impl Count {
    /// All of them, by their place in a row: it never changes.
    pub const ALL: [Self; 9] = [
        Self::Scanned,
        Self::Reclaimed,
        Self::RefaultFile,
        Self::RefaultAnon,
        Self::SomeUs,
        Self::FullUs,
        Self::LimitHits,
        Self::Oom,
        Self::Kills,
    ];
}

/// A risk within a row, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The highest.
    pub most: u16,
    /// At the last sample.
    pub last: u16,
}

/// What is kept of a cgroup, or of the machine, for a minute. What is unknown is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Samples it is made of.
    pub samples: u32,
    /// By [`Size::place`].
    pub sizes: [Option<Gauge>; Size::COUNT],
    /// By the place in [`Count::ALL`].
    pub counts: [Option<u64>; Count::ALL.len()],
    /// Of the limit, by the place in [`Horizon::ALL`](crate::model::risk::Horizon::ALL).
    pub risks: [Option<Share>; 2],
    /// Of the machine: the risk of eviction, likewise.
    pub eviction_risks: [Option<Share>; 2],
}

impl Row {
    /// A size.
    pub fn size(&self, size: Size) -> Option<Gauge> {
        self.sizes[size.place()]
    }

    /// A count.
    pub fn count(&self, count: Count) -> Option<u64> {
        self.counts[count as usize]
    }
}
