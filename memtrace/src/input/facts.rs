//! What is known before the first event: this kernel, this question.

use serde::{Deserialize, Serialize};

use super::CgroupVersion;

/// Which lists the kernel keeps file pages on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LruKind {
    /// Active and inactive lists.
    Classic,
    /// Generations (`/sys/kernel/mm/lru_gen/enabled`).
    MultiGen,
}

/// How far `memory.stat` and the usage counter may lag behind the truth, in pages
/// (KERNEL: mm/memcontrol.c `MEMCG_CHARGE_BATCH`, `memcg_vmstats_needs_flush`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatError {
    /// Pages that usage may hold too many of: the per-CPU charge stocks of all CPUs.
    pub stock_pages: u64,
    /// Pages that the sum of the statistics may be off by, all CPUs.
    pub stat_pages: u64,
    /// The same for any single counter.
    pub counter_pages: u64,
}

/// What the OOM killer takes for the size of a process's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RssCounters {
    /// One number a counter, the same that /proc shows (to 6.1).
    Atomic,
    /// The shared part of a counter of which each CPU keeps a share to itself, while /proc shows
    /// the whole (6.2 to 6.19).
    PerCpu {
        /// How far one counter's shared part may be off at most.
        lag_pages: u64,
    },
    /// The whole, all CPUs summed, the same that /proc shows (from 7.0).
    Summed,
}

/// What became of one hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookOutcome {
    /// What the hook tells: `activation`, `cache add`, ...
    pub signal: String,
    /// Where it is attached, best rung first: `tp_btf/mm_lru_activate`; `None` if off.
    pub attached: Option<String>,
    /// Each rung that was not taken, with the reason.
    pub refused: Vec<(String, String)>,
    /// What its absence, or a lower rung than the best, costs the answer.
    pub cost: String,
    /// The answer is whole without it.
    pub optional: bool,
    /// It must be asked for: how, and what it costs the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opt_in: Option<String>,
}

/// What was asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// What the user typed, or the command line of `--`.
    pub target: String,
    /// The cgroup, from the root of its hierarchy.
    pub cgroup_path: String,
    /// Its id: the inode number of its directory.
    pub cgroup_id: u64,
    /// A command runs in a cgroup of its own.
    pub command: bool,
}

/// The facts under which everything after them is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// memtrace's own version.
    pub memtrace_version: String,
    /// `uname -r`, for people: nothing is decided from it.
    pub kernel_release: String,
    /// Base page size in bytes.
    pub page_size_bytes: u64,
    /// Online CPUs.
    pub cpus: u64,
    /// LRU at the start.
    pub lru: LruKind,
    /// Version of the memory controller.
    pub cgroup_version: CgroupVersion,
    /// How far the counters may lag.
    pub stat_error: StatError,
    /// Every signal, attached or not.
    pub hooks: Vec<HookOutcome>,
    /// The kernel forbids reading its memory by address (`lockdown=confidentiality`): owners and
    /// names of pages are unknown.
    #[serde(default)]
    pub locked_down: bool,
    /// Bytes of a thread's stack in the kernel; `None` if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_stack_bytes: Option<u64>,
    /// Bytes of a name in the kernel's cache, a `struct dentry`; `None` if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dentry_bytes: Option<u64>,
    /// What was asked.
    pub scope: Scope,
    /// `CLOCK_REALTIME` minus `CLOCK_MONOTONIC` at the start, to date events.
    pub realtime_minus_monotonic_ns: i64,
}
