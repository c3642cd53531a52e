//! What `oom watch` learns besides the hooks' records: the kernel log's own reports, names, ends.

use serde::{Deserialize, Serialize};

use super::{HookOutcome, MemoryStat, OomConstraint, RssCounters};

/// What a watch is made of; the first input of its recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomWatchFacts {
    /// memtrace's own version.
    pub memtrace_version: String,
    /// `uname -r`, for people.
    pub kernel_release: String,
    /// Base page size in bytes.
    pub page_size_bytes: u64,
    /// What the OOM killer reads of a counter.
    pub rss_counters: RssCounters,
    /// `CLOCK_REALTIME` minus `CLOCK_MONOTONIC`, ns.
    pub realtime_minus_monotonic_ns: i64,
    /// What became of each hook.
    pub hooks: Vec<HookOutcome>,
    /// Why the kernel log cannot be read; `None` if it can.
    pub log_unreadable: Option<String>,
    /// The cgroup whose kills are asked for; `None` for all.
    pub within: Option<String>,
}

/// A process of the kernel log's table (mm/oom_kill.c, `dump_task`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OomLogTask {
    /// The thread that holds the memory: not the first one, where that has exited.
    pub tid: u32,
    /// The process.
    pub pid: u32,
    /// `get_mm_rss`, pages: the very sum that `oom_badness` takes.
    pub rss_pages: u64,
    /// Page tables, bytes.
    pub pagetable_bytes: u64,
    /// Swap entries.
    pub swap_pages: u64,
    /// `oom_score_adj`.
    pub oom_score_adj: i32,
    /// Name.
    pub comm: String,
}

/// One kill in the kernel log's words. The long report before the line `Killed process` is
/// rate-limited to 10 in 5 seconds (mm/oom_kill.c, `oom_kill_process`): without it everything but
/// the last members is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OomLogEvent {
    /// When the line was read, `CLOCK_MONOTONIC`.
    pub read_ns: u64,
    /// Name of the thread that ran out of memory.
    pub trigger_comm: Option<String>,
    /// Its id.
    pub trigger_tid: Option<u32>,
    /// Allocation flags.
    pub gfp_mask: Option<u32>,
    /// Allocation order; -1 for sysrq-f.
    pub order: Option<i32>,
    /// Why the OOM killer was called.
    pub constraint: Option<OomConstraint>,
    /// Path of the cgroup whose limit was reached.
    pub domain: Option<String>,
    /// Path of the victim's cgroup.
    pub victim_cgroup: Option<String>,
    /// Process id of whom was chosen.
    pub chosen_pid: Option<u32>,
    /// Usage of the domain, bytes.
    pub usage_bytes: Option<u64>,
    /// Its limit, bytes.
    pub limit_bytes: Option<u64>,
    /// Its `memory.stat`, as of the kill.
    pub stat: Option<MemoryStat>,
    /// The table of processes, in the order of the scan.
    pub tasks: Vec<OomLogTask>,
    /// The cgroup all of whose processes die (memory.oom.group): of its members, not of the first
    /// report of the one that was chosen.
    pub group: Option<String>,
    /// The thread named by `Killed process`.
    pub killed_tid: u32,
    /// Its name.
    pub killed_comm: String,
    /// Whether that line speaks of a cgroup's limit.
    pub killed_by_memcg: bool,
}

/// The path of a cgroup that a hook named by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPath {
    /// Inode number of its directory.
    pub id: u64,
    /// From the root of its hierarchy; `None` if it was gone already.
    pub path: Option<String>,
}

/// A victim has exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomGoneEvent {
    /// When, `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Its process id.
    pub pid: u32,
}
