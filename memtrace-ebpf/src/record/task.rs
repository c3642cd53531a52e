use super::{COMM_BYTES, Header};
use crate::shared;

/// A process that touched the page cache, sent once and again whenever it gets a new name.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// `tag` is [`Tag::Task`](super::Tag::Task).
    pub header: Header,
    /// The process id (`task_struct.tgid`).
    pub tgid: u32,
    /// 1 if it got this name just now, else 0.
    pub renamed: u32,
    /// Cgroup id of the task's own memory cgroup; 0 if unknown.
    pub memcg_id: u64,
    /// `group_leader->start_boottime`: tells a reused pid from the process that had it before.
    pub start_boottime_ns: u64,
    /// Name of the thread group leader, NUL-padded.
    pub comm: [u8; COMM_BYTES],
}
shared!(TaskRecord, 56);

/// Bits of [`TaskSample::flags`].
pub mod task_sample_flags {
    /// No `mm`: a kernel thread, or a process that has exited and waits to be reaped.
    pub const NO_MM: u32 = 1;
    /// `PF_KTHREAD` is set.
    pub const KERNEL_THREAD: u32 = 2;
    /// The group leader has exited; the values are those of another thread's `mm`.
    pub const LEADER_EXITED: u32 = 4;
    /// `MMF_OOM_SKIP` is set on the `mm`: its memory was reaped, or is being freed.
    pub const OOM_SKIP: u32 = 8;
    /// Between vfork and exec, on its parent's memory.
    pub const VFORK: u32 = 16;
    /// `signal->oom_mm` is set: a victim of an earlier kill that has not gone yet.
    pub const OOM_VICTIM: u32 = 32;
    /// `MMF_OOM_SKIP` is set on `signal->oom_mm`.
    pub const OOM_VICTIM_REAPED: u32 = 64;
    /// `signal->oom_flag_origin`: swapoff(2) or KSM's unmerging, killed first.
    pub const OOM_ORIGIN: u32 = 128;
    /// `PF_EXITING` is set.
    pub const EXITING: u32 = 256;
    /// The `unsynced_*` fields were summed over all CPUs; else they are 0 for want of knowledge.
    pub const UNSYNCED_KNOWN: u32 = 512;
}

/// One process as the task iterator saw it: what `oom_badness` (mm/oom_kill.c) would read.
///
/// The counters are the kernel's own words, unclamped: on 6.2 to 6.19 `mm->rss_stat[i].count`,
/// which may lag by its per-CPU batches and be negative.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSample {
    /// The process id.
    pub tgid: u32,
    /// Process id of the real parent.
    pub ppid: u32,
    /// [`task_sample_flags`].
    pub flags: u32,
    /// `signal->oom_score_adj`, sign-extended.
    pub oom_score_adj: i32,
    /// Cgroup id of the task's memory cgroup; 0 if unknown.
    pub memcg_id: u64,
    /// `start_boottime`.
    pub start_boottime_ns: u64,
    /// Identity of the `mm`, to tell which processes share one. A kernel address: never shown,
    /// never recorded.
    pub mm: u64,
    /// `MM_FILEPAGES`.
    pub rss_file_pages: i64,
    /// `MM_ANONPAGES`.
    pub rss_anon_pages: i64,
    /// `MM_SHMEMPAGES`.
    pub rss_shmem_pages: i64,
    /// `MM_SWAPENTS`.
    pub swap_pages: i64,
    /// `mm->pgtables_bytes`.
    pub pagetable_bytes: i64,
    /// What the CPUs have counted of `MM_FILEPAGES` and not yet added to it: `percpu_counter_sum`
    /// is `rss_file_pages` plus this. 0 before 6.2, where there is no such thing.
    pub unsynced_file_pages: i64,
    /// Of `MM_ANONPAGES`.
    pub unsynced_anon_pages: i64,
    /// Of `MM_SHMEMPAGES`.
    pub unsynced_shmem_pages: i64,
    /// Of `MM_SWAPENTS`.
    pub unsynced_swap_pages: i64,
    /// Name of the group leader, NUL-padded.
    pub comm: [u8; COMM_BYTES],
}
shared!(TaskSample, 128);
