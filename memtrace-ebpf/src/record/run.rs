use super::Header;
use crate::shared;

/// What happened to the pages of a run.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunKind {
    /// File pages moved from the inactive to the active list (`mm_lru_activate`).
    Activation = 0,
    /// File pages put on the LRU already active: refaults, migrations (`mm_lru_insertion`).
    InsertionActive = 1,
    /// tmpfs, memfd or SysV pages put on the LRU (`mm_lru_insertion`).
    ShmemInsertion = 2,
    /// File pages added to the page cache (`mm_filemap_add_to_page_cache`).
    CacheAdd = 3,
    /// File pages taken out of the page cache while active (`mm_filemap_delete_from_page_cache`).
    CacheDeleteActive = 4,
    /// File pages taken out of the page cache while not active.
    CacheDeleteInactive = 5,
    /// tmpfs, memfd or SysV pages taken out of the page cache.
    ShmemDelete = 6,
    /// File pages put on the LRU already active because they were refaults within the working set
    /// (`mm_lru_insertion` of a page that `workingset_refault` had activated).
    RefaultInsertion = 7,
    /// File pages that reclaim had evicted and that are read in again (`workingset_refault`); what
    /// becomes of them the LRU hooks tell. The same pages are in `CacheAdd`.
    Refault = 8,
    /// As `Refault`, and `workingset_refault` left them active.
    RefaultActivated = 9,
    /// File pages that reclaim evicted (`workingset_eviction`). The same pages are in
    /// `CacheDeleteActive` and `CacheDeleteInactive`.
    Eviction = 10,
    /// Anonymous, tmpfs or SysV pages that reclaim took after they went to swap.
    SwapEviction = 11,
}

impl RunKind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 12] = [
        Self::Activation,
        Self::InsertionActive,
        Self::ShmemInsertion,
        Self::CacheAdd,
        Self::CacheDeleteActive,
        Self::CacheDeleteInactive,
        Self::ShmemDelete,
        Self::RefaultInsertion,
        Self::Refault,
        Self::RefaultActivated,
        Self::Eviction,
        Self::SwapEviction,
    ];
}

/// Bits of [`RunRecord::flags`].
pub mod run_flags {
    /// The task is a best guess: the last reader of the mapping, or whoever drained the batch.
    pub const TASK_UNCERTAIN: u32 = 1;
    /// The task was reclaiming memory (`PF_MEMALLOC`): it evicted, it did not delete.
    pub const IN_RECLAIM: u32 = 2;
}

/// Pages of one (memcg, file, task, kind) on one CPU, merged.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// `tag` is [`Tag::Run`](super::Tag::Run).
    pub header: Header,
    /// A [`RunKind`].
    pub kind: u32,
    /// [`run_flags`].
    pub flags: u32,
    /// The process the pages are credited to; 0 if none is known.
    pub tgid: u32,
    /// The hook that saw the pages, a [`Hook`](crate::hook::Hook).
    pub hook: u32,
    /// Cgroup id of the memcg that the folio is charged to; 0 if unknown or uncharged.
    pub memcg_id: u64,
    /// Cgroup id of the memcg on whose behalf the pages were reclaimed; 0 for the node, and for runs
    /// of other kinds.
    pub target_memcg_id: u64,
    /// `inode.i_ino`; 0 if the folio had no mapping any more.
    pub inode: u64,
    /// `super_block.s_dev`, the kernel's `dev_t` (major << 20 | minor).
    pub device: u32,
    /// `inode.i_generation`: tells a reused inode number from the file that had it before.
    pub generation: u32,
    /// Base pages (`PAGE_SIZE`), large folios counted with all of theirs.
    pub pages: u64,
    /// Folios: one hook call each.
    pub folios: u64,
    /// When the run began, `CLOCK_MONOTONIC`.
    pub first_ns: u64,
}
shared!(RunRecord, 88);
