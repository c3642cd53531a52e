use super::{COMM_BYTES, Header, TaskSample};
use crate::shared;

/// A process was marked as a victim of the OOM killer (`mark_oom_victim`, mm/oom_kill.c).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VictimRecord {
    /// `tag` is [`Tag::Victim`](super::Tag::Victim).
    pub header: Header,
    /// The process that dies.
    pub victim_tgid: u32,
    /// The process whose allocation ran out of memory.
    pub trigger_tgid: u32,
    /// When the victim started, `CLOCK_BOOTTIME`: pids come again; 0 if the hook gave a pid only.
    pub victim_start_boottime_ns: u64,
    /// Cgroup id of the victim's memory cgroup; 0 if unknown (the hook gave a pid only).
    pub victim_memcg_id: u64,
    /// Cgroup id of the trigger's memory cgroup; 0 if unknown.
    pub trigger_memcg_id: u64,
    /// Name of the victim; all zero if the hook gave a pid only.
    pub victim_comm: [u8; COMM_BYTES],
    /// Name of the trigger.
    pub trigger_comm: [u8; COMM_BYTES],
}
shared!(VictimRecord, 80);

/// The OOM killer is about to kill whom it chose (`oom_kill_process`, mm/oom_kill.c).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OomKillRecord {
    /// `tag` is [`Tag::OomKill`](super::Tag::OomKill).
    pub header: Header,
    /// `oc->chosen`.
    pub victim_tgid: u32,
    /// The process whose allocation ran out of memory; of sysrq-f, a kernel worker.
    pub trigger_tgid: u32,
    /// The thread that did.
    pub trigger_pid: u32,
    /// `oc->order`; -1 for sysrq-f.
    pub order: i32,
    /// `oc->gfp_mask`.
    pub gfp_mask: u32,
    /// `oc->constraint` (include/linux/oom.h, `enum oom_constraint`).
    pub constraint: u32,
    /// `oc->chosen_points`.
    pub chosen_points: i64,
    /// `oc->totalpages`.
    pub totalpages: u64,
    /// When the victim started, `CLOCK_BOOTTIME`.
    pub victim_start_boottime_ns: u64,
    /// Cgroup id of `oc->memcg`, whose limit was reached; 0 if the node ran out.
    pub domain_memcg_id: u64,
    /// Cgroup id of the victim's memory cgroup; 0 if unknown.
    pub victim_memcg_id: u64,
    /// Cgroup id of the trigger's memory cgroup; 0 if unknown.
    pub trigger_memcg_id: u64,
    /// Name of the victim.
    pub victim_comm: [u8; COMM_BYTES],
    /// Name of the thread that triggered it.
    pub trigger_comm: [u8; COMM_BYTES],
}
shared!(OomKillRecord, 120);

/// Bits of [`OomCandidateRecord::flags`].
pub mod oom_candidate_flags {
    /// `points` is what `oom_badness` returned for this process.
    pub const POINTS_KNOWN: u32 = 1;
    /// It leads the scan so far: `oc->chosen` is this process.
    pub const LEADS: u32 = 2;
    /// It ended the scan: a victim of an earlier kill is still dying.
    pub const ABORTED: u32 = 4;
}

/// The OOM killer looked at a process (`oom_evaluate_task`, mm/oom_kill.c).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OomCandidateRecord {
    /// `tag` is [`Tag::OomCandidate`](super::Tag::OomCandidate).
    pub header: Header,
    /// The thread that scans: the one whose allocation ran out of memory.
    pub trigger_pid: u32,
    /// [`oom_candidate_flags`].
    pub flags: u32,
    /// What `oom_badness` returned, `i64::MIN` for one that may not be killed. On kernels whose
    /// scan calls a private copy of that function (5.10): known only of those that led.
    pub points: i64,
    /// `oc->totalpages`.
    pub totalpages: u64,
    /// Cgroup id of `oc->memcg`; 0 if the node ran out.
    pub domain_memcg_id: u64,
    /// What the kernel read, read again right after.
    pub sample: TaskSample,
}
shared!(OomCandidateRecord, 48 + 128);

/// Values of [`OomReapRecord::phase`].
pub mod oom_reap_phase {
    /// The reaper began to free a victim's memory.
    pub const START: u32 = 0;
    /// It is done.
    pub const FINISH: u32 = 1;
    /// The victim's memory was gone, or going, already.
    pub const SKIP: u32 = 2;
}

/// The OOM reaper at work (`oom_reap_task_mm`, mm/oom_kill.c).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OomReapRecord {
    /// `tag` is [`Tag::OomReap`](super::Tag::OomReap).
    pub header: Header,
    /// The victim: `task->pid` of the thread that held its memory.
    pub pid: u32,
    /// [`oom_reap_phase`].
    pub phase: u32,
}
shared!(OomReapRecord, 24);
