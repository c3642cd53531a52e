use super::Header;
use crate::shared;

/// Values of [`ReclaimRecord::kind`].
pub mod reclaim_kind {
    /// The node was short: `try_to_free_pages`.
    pub const DIRECT: u32 = 0;
    /// A cgroup was at its limit: `try_to_free_mem_cgroup_pages`.
    pub const MEMCG: u32 = 1;
}

/// Bits of [`ReclaimRecord::flags`].
pub mod reclaim_flags {
    /// The kernel told the pass's options, and what it is for.
    pub const OPTIONS_KNOWN: u32 = 1;
    /// It may swap.
    pub const MAY_SWAP: u32 = 2;
    /// Somebody wrote to `memory.reclaim`.
    pub const PROACTIVE: u32 = 4;
}

/// Return addresses kept of a pass, innermost first: its own functions, the hook's, the callers'.
pub const RECLAIM_CALLERS: usize = 12;

/// One pass of reclaim that a task had to wait for.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReclaimRecord {
    /// `tag` is [`Tag::Reclaim`](super::Tag::Reclaim).
    pub header: Header,
    /// [`reclaim_kind`].
    pub kind: u32,
    /// The process that reclaimed.
    pub tgid: u32,
    /// The thread that reclaimed.
    pub pid: u32,
    /// Allocation order that asked for it.
    pub order: u32,
    /// Cgroup id of the reclaiming task's memory cgroup; 0 if unknown.
    pub task_memcg_id: u64,
    /// Cgroup id of the memcg that was reclaimed from; 0 if the kernel does not tell (before 7.1).
    pub target_memcg_id: u64,
    /// `begin` to `end`.
    pub duration_ns: u64,
    /// Pages freed, as the kernel reports at the end.
    pub reclaimed_pages: u64,
    /// [`reclaim_flags`].
    pub flags: u32,
    /// How many of `callers` are filled.
    pub caller_count: u32,
    /// Who called, as kernel text addresses: userspace names the function, and drops them.
    pub callers: [u64; RECLAIM_CALLERS],
}
shared!(ReclaimRecord, 72 + 8 * RECLAIM_CALLERS);

/// Values of [`ShrinkKey::kind`].
pub mod shrink_kind {
    /// The node's `kswapd`.
    pub const KSWAPD: u32 = 0;
    /// A task, because the node was short.
    pub const DIRECT: u32 = 1;
    /// A task, because a cgroup was at a limit.
    pub const MEMCG: u32 = 2;
    /// A task that wrote to `memory.reclaim`.
    pub const PROACTIVE: u32 = 3;
}

/// Whose lists were shrunk, on whose behalf, and why.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShrinkKey {
    /// Cgroup id of the memcg that gave pages; 0 if unknown.
    pub victim_memcg_id: u64,
    /// Cgroup id of the memcg that was short; 0 if the node was.
    pub target_memcg_id: u64,
    /// [`shrink_kind`].
    pub kind: u32,
    /// The function that did it: 0 `shrink_lruvec`, 1 `try_to_shrink_lruvec`. Keeps apart what two
    /// programs write.
    pub function: u32,
}
shared!(ShrinkKey, 24);

/// What shrinking the lists of one [`ShrinkKey`] came to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShrinkCounts {
    /// Calls.
    pub calls: u64,
    /// Pages that `scan_control.nr_scanned` grew by.
    pub scanned_pages: u64,
    /// Pages that `scan_control.nr_reclaimed` grew by.
    pub reclaimed_pages: u64,
    /// Time in the calls.
    pub duration_ns: u64,
}
shared!(ShrinkCounts, 32);
