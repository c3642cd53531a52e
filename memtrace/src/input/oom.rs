//! What the OOM killer reads and does: processes as it scores them, and its own reports.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{CgroupSample, CgroupVersion, OwnedBy, Pressure, RssCounters, Timestamp};

/// Nanoseconds of a clock tick of `/proc/PID/stat` (`USER_HZ`, 100 on every architecture we build
/// for; include/asm-generic/param.h): what it tells of when a process started is rounded down to one.
pub const TICK_NS: u64 = 10_000_000;

/// Pages that a process's counters hold, as the kernel stores them: they may be below 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RssPages {
    /// `MM_FILEPAGES`: file pages mapped.
    pub file: i64,
    /// `MM_ANONPAGES`: anonymous pages mapped.
    pub anon: i64,
    /// `MM_SHMEMPAGES`: tmpfs, memfd and SysV pages mapped.
    pub shmem: i64,
    /// `MM_SWAPENTS`: swap entries.
    pub swap: i64,
}

/// One process as `oom_badness` (mm/oom_kill.c) reads it. An `Option` that is `None` is something
/// that only the kernel's task iterator tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OomTask {
    /// Process id.
    pub pid: u32,
    /// Name of the group leader.
    pub comm: String,
    /// When it started, ns since boot: with the pid, the identity of the process.
    pub start_boottime_ns: u64,
    /// Memory cgroup of the group leader, which decides whose limit can kill it.
    pub cgroup_id: Option<u64>,
    /// Processes with equal numbers share their memory. The numbers mean nothing else.
    pub memory: Option<u32>,
    /// The counters: the shared parts where they are per-CPU counters.
    pub rss: RssPages,
    /// What the CPUs keep of them to themselves; nothing where they are no per-CPU counters.
    pub unsynced: Option<RssPages>,
    /// Page tables, bytes.
    pub pagetable_bytes: u64,
    /// `oom_score_adj`.
    pub oom_score_adj: i32,
    /// A kernel thread.
    pub kernel_thread: bool,
    /// No thread of it has memory (any more).
    pub no_memory: bool,
    /// It is exiting.
    pub exiting: bool,
    /// The group leader has exited, other threads live on.
    pub leader_exited: bool,
    /// `MMF_OOM_SKIP`: its memory was reaped, or is being freed.
    pub oom_skip: Option<bool>,
    /// Between vfork and exec, on its parent's memory.
    pub vfork: Option<bool>,
    /// An earlier kill's victim that has not gone yet: `Some(true)` if its memory was reaped. `None`
    /// of one that is no victim, or not known to be one.
    pub victim: Option<bool>,
    /// In swapoff(2) or a KSM unmerge: killed before all others.
    pub origin: Option<bool>,
}

/// What the hooks in the OOM killer's scan saw of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomCandidateEvent {
    /// When, `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// The thread that ran out of memory and scans.
    pub trigger_tid: u32,
    /// The cgroup whose limit was reached; `None` if the node ran out.
    pub domain_cgroup_id: Option<u64>,
    /// `oc->totalpages`.
    pub totalpages: u64,
    /// What `oom_badness` returned; `None` where the kernel did not ask it, or asked a private copy.
    pub points: Option<i64>,
    /// The scan ended here, because a victim of an earlier kill is still dying.
    pub aborted: bool,
    /// The process, its counters read right after the kernel read them.
    pub task: OomTask,
}

/// Why the OOM killer was called (include/linux/oom.h, `enum oom_constraint`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OomConstraint {
    /// `CONSTRAINT_NONE`: the node.
    None,
    /// `CONSTRAINT_CPUSET`: the memory nodes of a cpuset.
    Cpuset,
    /// `CONSTRAINT_MEMORY_POLICY`: the memory nodes of a mempolicy.
    MemoryPolicy,
    /// `CONSTRAINT_MEMCG`: a cgroup's limit.
    Memcg,
}

/// The OOM killer is about to kill whom it chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomKillEvent {
    /// When, `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Whom.
    pub victim: OwnedBy,
    /// Whose allocation ran out of memory.
    pub trigger: OwnedBy,
    /// The thread that did.
    pub trigger_tid: u32,
    /// The cgroup whose limit was reached; `None` if the node ran out.
    pub domain_cgroup_id: Option<u64>,
    /// `None` if this kernel has constraints that memtrace does not know.
    pub constraint: Option<OomConstraint>,
    /// Allocation order; -1 for sysrq-f.
    pub order: i32,
    /// Allocation flags.
    pub gfp_mask: u32,
    /// `oc->totalpages`.
    pub totalpages: u64,
    /// The victim's points.
    pub points: i64,
}

/// What the OOM reaper did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OomReapPhase {
    /// It began to free a victim's memory.
    Start,
    /// It has freed it.
    Finish,
    /// There was nothing to free.
    Skip,
}

/// The OOM reaper at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomReapEvent {
    /// When, `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// The victim's thread that held its memory.
    pub tid: u32,
    /// What.
    pub phase: OomReapPhase,
}

/// One cgroup, with what decides who dies in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OomCgroup {
    /// Inode number of its directory. Ids grow, so siblings in the order of their ids are in the
    /// order of their creation.
    pub id: u64,
    /// Its parent; `None` for the root.
    pub parent_id: Option<u64>,
    /// From the root of its hierarchy.
    pub path: String,
    /// `memory.oom.group`; `None` on v1.
    pub oom_group: Option<bool>,
    /// v2: `cgroup.procs`, in the order in which the kernel scans them.
    pub procs: Option<Vec<u32>>,
    /// Its memory files, if it is a domain of the question; snapshots between which nothing changed
    /// share them.
    pub memory: Option<Arc<OomMemory>>,
}

/// The memory files of a cgroup that can run out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OomMemory {
    /// Usage, limit and statistics.
    pub sample: CgroupSample,
    /// v2: `memory.swap.max`; v1: `memory.memsw.limit_in_bytes`. `None` if unlimited, or if swap is
    /// not accounted.
    pub swap_limit_bytes: Option<u64>,
    /// v1: `memory.swappiness` of this cgroup.
    pub swappiness: Option<u64>,
    /// v2: `memory.min`.
    pub min_bytes: Option<u64>,
    /// v1: `oom_kill_disable` of `memory.oom_control`: tasks wait instead.
    pub kill_disabled: bool,
}

/// The machine, with what decides who dies if it runs out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OomNode {
    /// `MemTotal`, which is `totalram_pages()`.
    pub total_bytes: u64,
    /// `MemAvailable`.
    pub available_bytes: Option<u64>,
    /// `SwapTotal`, which is `total_swap_pages`.
    pub swap_total_bytes: u64,
    /// `SwapFree`.
    pub swap_free_bytes: u64,
    /// `vm.swappiness`.
    pub swappiness: Option<u64>,
    /// `vm.panic_on_oom`.
    pub panic_on_oom: Option<u64>,
    /// `vm.oom_kill_allocating_task`.
    pub kill_allocating_task: Option<bool>,
    /// How many memory nodes (NUMA) it has.
    pub memory_nodes: Option<u64>,
    /// `/proc/pressure/memory`; `None` where PSI is off.
    pub pressure: Option<Pressure>,
}

/// Where the processes were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskSource {
    /// The kernel's task iterator: the very counters that the OOM killer reads.
    Iterator,
    /// `/proc`: not at one instant, and without some of what decides.
    #[default]
    Proc,
}

/// Everything that decides whom the OOM killer would choose, at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomSnapshot {
    /// When reading the processes began.
    pub time: Timestamp,
    /// When it was done, `CLOCK_MONOTONIC`; `None` in recordings of older versions.
    #[serde(default)]
    pub done_ns: Option<u64>,
    /// memtrace's own version.
    pub memtrace_version: String,
    /// `uname -r`, for people.
    pub kernel_release: String,
    /// Base page size in bytes.
    pub page_size_bytes: u64,
    /// Version of the memory controller.
    pub cgroup_version: CgroupVersion,
    /// What the OOM killer reads of a counter.
    pub rss_counters: RssCounters,
    /// What the user typed; `None` for the whole machine.
    pub target: Option<String>,
    /// Id of the target's cgroup: the root's, for the whole machine.
    pub target_cgroup_id: u64,
    /// Pages of its usage that a cgroup has, at most, charged in advance and not used yet; `None` in
    /// recordings of older versions.
    #[serde(default)]
    pub stock_pages: Option<u64>,
    /// Where the processes were read.
    pub source: TaskSource,
    /// Why not by the better way, if so.
    pub source_reason: Option<String>,
    /// The machine.
    pub node: OomNode,
    /// Every cgroup, parents before children.
    pub cgroups: Vec<OomCgroup>,
    /// Every process, in no order that means anything.
    pub tasks: Vec<OomTask>,
}
