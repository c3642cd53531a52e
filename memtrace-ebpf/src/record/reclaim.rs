use super::Header;
use crate::shared;

/// Values of [`ReclaimRecord::kind`].
pub mod reclaim_kind {
    /// The node was short: `try_to_free_pages`.
    pub const DIRECT: u32 = 0;
    /// A cgroup was at its limit: `try_to_free_mem_cgroup_pages`.
    pub const MEMCG: u32 = 1;
}

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
}
shared!(ReclaimRecord, 64);
