//! Exact mode: the kernel's own updates of a memcg's counters, summed where they happen.
//!
//! `memory.stat` lags behind by what each CPU has not flushed; the tracepoint in the update itself
//! (mm/memcontrol.c, `__mod_memcg_lruvec_state`; from 6.18) does not.

use crate::shared;

/// The counters kept, by the name that `memory.stat` gives them, each in pages.
pub const COUNTERS: [&str; 8] = [
    "active_file",
    "inactive_file",
    "file",
    "anon",
    "shmem",
    "pagetables",
    "workingset_refault_file",
    "workingset_activate_file",
];

/// What was added to and taken from each of [`COUNTERS`] of one cgroup, without those below it, on
/// one CPU. Pages that reclaim takes off a list and puts back count in both.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterFlow {
    /// Pages added.
    pub in_pages: [u64; COUNTERS.len()],
    /// Pages taken.
    pub out_pages: [u64; COUNTERS.len()],
}
shared!(CounterFlow, 16 * COUNTERS.len());
