//! The hooks, by the numbers under which their programs count what they did.

use crate::{record::Tag, shared};

/// One program on one kernel hook. Each writes only its own slots of every shared map: from 7.2 on
/// tracepoint programs are preemptible, and two programs may interleave on one CPU.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// `tp_btf/mm_lru_activate`
    LruActivate = 0,
    /// `tp_btf/mm_lru_insertion`
    LruInsertion = 1,
    /// `tp_btf/mm_filemap_add_to_page_cache`
    CacheAdd = 2,
    /// `tp_btf/mm_filemap_delete_from_page_cache`
    CacheDelete = 3,
    /// `workingset_refault`: a file page comes back in.
    WorkingsetRefault = 4,
    /// `workingset_eviction`: a page is reclaimed.
    WorkingsetEviction = 5,
    /// `tp_btf/mm_filemap_get_pages`
    GetPages = 6,
    /// `tp_btf/mm_filemap_fault`
    Fault = 7,
    /// `tp_btf/mm_filemap_map_pages`
    MapPages = 8,
    /// `tp_btf/mm_vmscan_direct_reclaim_begin`
    DirectReclaimBegin = 9,
    /// `tp_btf/mm_vmscan_direct_reclaim_end`
    DirectReclaimEnd = 10,
    /// `tp_btf/mm_vmscan_memcg_reclaim_begin`
    MemcgReclaimBegin = 11,
    /// `tp_btf/mm_vmscan_memcg_reclaim_end`
    MemcgReclaimEnd = 12,
    /// `tp_btf/mark_victim`
    MarkVictim = 13,
    /// `tp_btf/sched_process_exec`
    ProcessExec = 14,
    /// `tp_btf/sched_process_exit`
    ProcessExit = 15,
    /// The `raw_tp` program that userspace runs on each CPU to send runs that have aged.
    Flush = 16,
    /// `workingset_activation`: a file page is made active.
    WorkingsetActivation = 17,
    /// `tp_btf/task_rename`
    TaskRename = 18,
    /// `try_to_free_mem_cgroup_pages`, entry.
    MemcgReclaimEnter = 19,
    /// `try_to_free_mem_cgroup_pages`, return.
    MemcgReclaimReturn = 20,
    /// `shrink_lruvec`, entry.
    ShrinkEnter = 21,
    /// `shrink_lruvec`, return.
    ShrinkReturn = 22,
    /// `try_to_shrink_lruvec`, entry.
    ShrinkGenerationsEnter = 23,
    /// `try_to_shrink_lruvec`, return.
    ShrinkGenerationsReturn = 24,
    /// `workingset_refault`, entry, where another program sees its return.
    RefaultEnter = 25,
    /// `tp_btf/mod_memcg_lruvec_state`
    CounterUpdate = 26,
    /// `oom_kill_process`, its entry.
    OomKill = 27,
    /// `oom_evaluate_task`, its entry.
    OomEvaluate = 28,
    /// `oom_badness`, its return.
    OomBadness = 29,
    /// `oom_evaluate_task`, its return.
    OomEvaluated = 30,
    /// `tp_btf/start_task_reaping`
    OomReapStart = 31,
    /// `tp_btf/finish_task_reaping`
    OomReapFinish = 32,
    /// `tp_btf/skip_task_reaping`
    OomReapSkip = 33,
}

/// How many hooks there are: the size of every map with one slot a hook.
pub const HOOKS: usize = 34;

impl Hook {
    /// Every hook, in the order of its number.
    pub const ALL: [Self; HOOKS] = [
        Self::LruActivate,
        Self::LruInsertion,
        Self::CacheAdd,
        Self::CacheDelete,
        Self::WorkingsetRefault,
        Self::WorkingsetEviction,
        Self::GetPages,
        Self::Fault,
        Self::MapPages,
        Self::DirectReclaimBegin,
        Self::DirectReclaimEnd,
        Self::MemcgReclaimBegin,
        Self::MemcgReclaimEnd,
        Self::MarkVictim,
        Self::ProcessExec,
        Self::ProcessExit,
        Self::Flush,
        Self::WorkingsetActivation,
        Self::TaskRename,
        Self::MemcgReclaimEnter,
        Self::MemcgReclaimReturn,
        Self::ShrinkEnter,
        Self::ShrinkReturn,
        Self::ShrinkGenerationsEnter,
        Self::ShrinkGenerationsReturn,
        Self::RefaultEnter,
        Self::CounterUpdate,
        Self::OomKill,
        Self::OomEvaluate,
        Self::OomBadness,
        Self::OomEvaluated,
        Self::OomReapStart,
        Self::OomReapFinish,
        Self::OomReapSkip,
    ];
}

/// What one hook did on one CPU since it was loaded.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookStats {
    /// Pages the hook saw and put into a run: the left side of the conservation law
    /// `pages_produced = pages sent + pages_lost + pages still in runs`.
    pub pages_produced: u64,
    /// Pages of runs that found the ring buffer full.
    pub pages_lost: u64,
    /// Records sent, by [`Tag`].
    pub sent: [u64; Tag::COUNT],
    /// Records that found the ring buffer full, by [`Tag`].
    pub lost: [u64; Tag::COUNT],
}
shared!(HookStats, 16 + 16 * Tag::COUNT);
