//! What was read at one instant: cgroup files, tasks, hook counters.

use serde::{Deserialize, Serialize};

use super::{LruKind, ShrinkKind};

/// Version of the memory controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CgroupVersion {
    /// `memory` hierarchy of its own.
    V1,
    /// Unified hierarchy.
    V2,
}

/// An instant on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp {
    /// `CLOCK_REALTIME`, ns since 1970.
    pub unix_ns: u64,
    /// `CLOCK_MONOTONIC`.
    pub monotonic_ns: u64,
}

/// Why a sample was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Instant {
    /// The start of the window.
    Before,
    /// The working set was larger than ever before in this window.
    Peak,
    /// The end of the window.
    After,
}

/// `memory.stat`, hierarchical, with v2's names. Sizes in bytes, the rest events; `None` if this
/// kernel or this hierarchy does not have the key.
macro_rules! memory_stat {
    ($($key:ident,)*) => {
        /// `memory.stat` of a cgroup and everything below it, with v2's names. Sizes in bytes,
        /// `pg*` and `workingset_*` in events. A key the kernel does not have is `None`.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        #[expect(missing_docs, reason = "named as the kernel names them: Documentation/admin-guide/cgroup-v2.rst")]
        pub struct MemoryStat {
            $(#[serde(skip_serializing_if = "Option::is_none")] pub $key: Option<u64>,)*
        }

        impl MemoryStat {
            /// The keys, in the order of the fields.
            pub const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];

            /// From the values of [`KEYS`](Self::KEYS).
            pub const fn from_values(values: [Option<u64>; Self::KEYS.len()]) -> Self {
                let [$($key),*] = values;
                Self { $($key),* }
            }

            /// Sets a key by its v2 name; `false` if memtrace does not keep that key.
            pub fn set(&mut self, key: &str, value: u64) -> bool {
                match key {
                    $(stringify!($key) => self.$key = Some(value),)*
                    _ => return false,
                }
                true
            }
        }
    };
}

memory_stat! {
    anon, file, kernel, kernel_stack, pagetables, sec_pagetables, percpu, sock, vmalloc, shmem,
    zswap, zswapped, file_mapped, file_dirty, file_writeback, swapcached, anon_thp, file_thp,
    shmem_thp, inactive_anon, active_anon, inactive_file, active_file, unevictable,
    slab_reclaimable, slab_unreclaimable, slab, hugetlb, swap,
    workingset_refault_anon, workingset_refault_file, workingset_activate_anon,
    workingset_activate_file, workingset_restore_anon, workingset_restore_file,
    pgscan, pgsteal, pgscan_kswapd, pgscan_direct, pgscan_khugepaged, pgscan_proactive,
    pgsteal_kswapd, pgsteal_direct, pgsteal_khugepaged, pgsteal_proactive,
    pgfault, pgmajfault, pgrefill, pgactivate, pgdeactivate,
}

/// `memory.events` (v2), or what v1 has of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryEvents {
    /// Times reclaim was forced on a cgroup below its protection.
    pub low: Option<u64>,
    /// Times memory.high was exceeded.
    pub high: Option<u64>,
    /// Times usage was about to exceed the limit; v1: `memory.failcnt`.
    pub max: Option<u64>,
    /// Times the limit was reached and reclaim failed.
    pub oom: Option<u64>,
    /// Processes killed; v1: `oom_kill` of memory.oom_control.
    pub oom_kill: Option<u64>,
    /// Groups killed.
    pub oom_group_kill: Option<u64>,
}

/// `memory.pressure`: total stall time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressure {
    /// At least one task stalled, microseconds.
    pub some_total_us: u64,
    /// All tasks stalled, microseconds.
    pub full_total_us: u64,
}

/// One cgroup's memory files at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CgroupSample {
    /// `memory.current` or `memory.usage_in_bytes`, read right before `memory.stat`.
    pub usage_bytes: Option<u64>,
    /// The same, read again right after `memory.stat`: how much moved while reading.
    pub usage_after_bytes: Option<u64>,
    /// High-water mark of usage kept by the kernel (`memory.peak`, `memory.max_usage_in_bytes`).
    pub usage_peak_bytes: Option<u64>,
    /// `memory.max` or `memory.limit_in_bytes`; `None` if unlimited or unknown.
    pub limit_bytes: Option<u64>,
    /// `memory.high`.
    pub high_bytes: Option<u64>,
    /// `memory.swap.current`; v1: `total_swap`, or memsw usage minus usage where it is missing.
    pub swap_bytes: Option<u64>,
    /// Swap that the cgroup may still take: the lesser of the node's free swap and what is left of
    /// its own `memory.swap.max` (v1: of memsw); `Some(0)` if there is none.
    pub swap_available_bytes: Option<u64>,
    /// v1: `memory.kmem.usage_in_bytes`. v2 has `kernel` in memory.stat.
    pub kmem_bytes: Option<u64>,
    /// `memory.stat`.
    pub stat: MemoryStat,
    /// `memory.events`.
    pub events: MemoryEvents,
    /// `memory.pressure`; `None` on v1 and where PSI is off.
    pub pressure: Option<Pressure>,
}

impl CgroupSample {
    /// Kubelet's and cAdvisor's working set: usage minus inactive_file, not below 0
    /// (cAdvisor container/libcontainer/handler.go, `setMemoryStats`).
    pub fn working_set_bytes(&self) -> Option<u64> {
        Some(self.usage_bytes?.saturating_sub(self.stat.inactive_file?))
    }
}

/// A cgroup at or below the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupMember {
    /// Inode number of its directory.
    pub id: u64,
    /// From the root of its hierarchy.
    pub path: String,
}

/// What one process holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskUsage {
    /// Process id.
    pub pid: u32,
    /// When it started, ns since boot: with the pid, the identity of the process.
    pub start_boottime_ns: u64,
    /// Name.
    pub comm: String,
    /// Its memory cgroup.
    pub cgroup_id: Option<u64>,
    /// Anonymous pages mapped.
    pub anon_pages: u64,
    /// File pages mapped.
    pub file_pages: u64,
    /// tmpfs, memfd and SysV pages mapped.
    pub shmem_pages: u64,
    /// Swap entries.
    pub swap_pages: u64,
    /// Page tables, bytes.
    pub pagetable_bytes: u64,
    /// `oom_score_adj`.
    pub oom_score_adj: i32,
    /// Threads; `None` if it was not asked, or had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
    /// Time its threads have spent in the kernel, ns; `None` likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_time_ns: Option<u64>,
    /// Its sockets; `None` likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<SocketUsage>,
}

/// The TCP and UDP sockets of a process. One that several processes have open counts for the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketUsage {
    /// How many.
    pub count: u64,
    /// What waits in them to be read or to be acknowledged, bytes. The kernel charges more than that:
    /// whole buffers.
    pub queued_bytes: u64,
}

/// What the kernel knows of names, the whole machine's (`/proc/sys/fs/dentry-state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dentries {
    /// Names, of files and of what does not exist.
    pub total: u64,
    /// Names of what does not exist, nobody holding them; `None` before 5.0.
    pub negative: Option<u64>,
}

/// A cgroup right below the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildSample {
    /// Inode number of its directory.
    pub id: u64,
    /// From the root of its hierarchy.
    pub path: String,
    /// usage - inactive_file, not below 0.
    pub working_set_bytes: u64,
}

/// What one hook did since it was attached, all CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookCounters {
    /// The program's name.
    pub hook: String,
    /// Pages it put into runs.
    pub pages_produced: u64,
    /// Pages lost because the ring buffer was full.
    pub pages_lost: u64,
    /// Records sent.
    pub records_sent: u64,
    /// Records lost, all kinds.
    pub records_lost: u64,
    /// Times the kernel skipped the program (`recursion_misses` in the program's fdinfo).
    pub recursion_misses: u64,
}

/// What shrinking one cgroup's lists on another's behalf came to, since the hook was attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShrinkSum {
    /// The cgroup that gave pages; `None` if unknown.
    pub victim_cgroup_id: Option<u64>,
    /// The cgroup that was short; `None` if the node was.
    pub target_cgroup_id: Option<u64>,
    /// Who did it, and why.
    pub kind: ShrinkKind,
    /// Calls of `shrink_lruvec` (MGLRU for the node: `try_to_shrink_lruvec`).
    pub calls: u64,
    /// Pages scanned.
    pub scanned_pages: u64,
    /// Pages reclaimed.
    pub reclaimed_pages: u64,
    /// Time in these calls.
    pub duration_ns: u64,
}

/// What the kernel added to and took from one counter since the hooks were attached, page by page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactFlow {
    /// As `memory.stat` names it.
    pub counter: String,
    /// Pages added.
    pub in_pages: u64,
    /// Pages taken.
    pub out_pages: u64,
}

/// One cgroup's exact flows, without those of the cgroups below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactCounters {
    /// The cgroup.
    pub cgroup_id: u64,
    /// Its counters.
    pub flows: Vec<ExactFlow>,
}

/// Everything read at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Why it was taken.
    pub instant: Instant,
    /// When it was taken (the moment usage was read).
    pub time: Timestamp,
    /// The target.
    pub cgroup: CgroupSample,
    /// The target and the cgroups below it.
    pub members: Vec<CgroupMember>,
    /// The processes in them; `None` if they could not be scanned.
    pub tasks: Option<Vec<TaskUsage>>,
    /// The hooks.
    pub hooks: Vec<HookCounters>,
    /// Who was shrunk on whose behalf; `None` without the hook.
    #[serde(default)]
    pub shrinks: Option<Vec<ShrinkSum>>,
    /// Exact mode: the target and the cgroups that are or were below it; `None` if it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<Vec<ExactCounters>>,
    /// Which LRU was on then: it can be switched at run time. `None` in older recordings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lru: Option<LruKind>,
    /// The names in the kernel's cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dentries: Option<Dentries>,
    /// The cgroups right below the target; `None` at a peak, where they are too many to read at one
    /// instant, and in older recordings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children: Option<Vec<ChildSample>>,
}
