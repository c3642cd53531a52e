//! The records of the ring buffer, one file a kind. Each starts with a [`Header`].

mod file;
mod oom;
mod reclaim;
mod run;
mod task;

pub use self::{
    file::{FileRecord, PATH_BYTES, PATH_NAME_BYTES, file_flags},
    oom::{
        OomCandidateRecord, OomKillRecord, OomReapRecord, VictimRecord, oom_candidate_flags,
        oom_reap_phase,
    },
    reclaim::{
        RECLAIM_CALLERS, ReclaimRecord, ShrinkCounts, ShrinkKey, reclaim_flags, reclaim_kind,
        shrink_kind,
    },
    run::{RunKind, RunRecord, run_flags},
    task::{TaskRecord, TaskSample, task_sample_flags},
};
use crate::shared;

/// Length of a task's name in the kernel, with its NUL (`TASK_COMM_LEN`, include/linux/sched.h).
pub const COMM_BYTES: usize = 16;

/// What a record is. The numbers are part of the recording format.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// [`RunRecord`]
    Run = 0,
    /// [`FileRecord`]
    File = 1,
    /// [`TaskRecord`]
    Task = 2,
    /// [`ReclaimRecord`]
    Reclaim = 3,
    /// [`VictimRecord`]
    Victim = 4,
    /// [`OomKillRecord`]
    OomKill = 5,
    /// [`OomCandidateRecord`]
    OomCandidate = 6,
    /// [`OomReapRecord`]
    OomReap = 7,
}

impl Tag {
    /// How many kinds there are.
    pub const COUNT: usize = 8;
    /// Every kind, in the order of its number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Run,
        Self::File,
        Self::Task,
        Self::Reclaim,
        Self::Victim,
        Self::OomKill,
        Self::OomCandidate,
        Self::OomReap,
    ];
}

/// The first 16 bytes of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// A [`Tag`].
    pub tag: u32,
    /// The CPU that sent it.
    pub cpu: u32,
    /// When it was sent, on `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`).
    pub sent_ns: u64,
}
shared!(Header, 16);
