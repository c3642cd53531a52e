//! Who may be killed, and if not, why.

use super::badness::OOM_SCORE_ADJ_MIN;
use crate::input::OomTask;

/// Why the OOM killer passes a process over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ineligible {
    /// `is_global_init`: the machine's init.
    Init,
    /// `PF_KTHREAD`.
    KernelThread,
    /// `find_lock_task_mm` finds none: it has freed its memory.
    NoMemory,
    /// `oom_score_adj` is -1000.
    AdjMin,
    /// `MMF_OOM_SKIP`: its memory was reaped or is being freed.
    OomSkip,
    /// `in_vfork`: its memory is its parent's until it calls exec.
    Vfork,
    /// A victim of an earlier kill whose memory was reaped (`tsk_is_oom_victim`, `MMF_OOM_SKIP`).
    ReapedVictim,
}

impl Ineligible {
    /// Stable name, for JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::KernelThread => "kernel_thread",
            Self::NoMemory => "no_memory",
            Self::AdjMin => "oom_score_adj_min",
            Self::OomSkip => "memory_reaped",
            Self::Vfork => "vfork",
            Self::ReapedVictim => "victim_already",
        }
    }

    /// In words, to follow "because".
    pub fn words(self) -> &'static str {
        match self {
            Self::Init => "it is the machine's init",
            Self::KernelThread => "it is a kernel thread",
            Self::NoMemory => "it has exited and holds no memory",
            Self::AdjMin => "its oom_score_adj is -1000",
            Self::OomSkip => "its memory is being freed already",
            Self::Vfork => "it runs on its parent's memory until it calls exec",
            Self::ReapedVictim => "it was killed already and its memory freed",
        }
    }
}

/// What the scan does with one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Pass it over.
    Skip(Ineligible),
    /// End the scan without a kill: an earlier victim is still dying, and will free memory soon.
    Abort,
    /// Take it, unless a later one says the same: `oom_flag_origin`, LONG_MAX points.
    First,
    /// Compare its points.
    Score,
}

/// KERNEL: mm/oom_kill.c, `oom_evaluate_task` and `oom_badness`, their checks in their order. Not
/// here: other cpusets and mempolicies, which matter only where an allocation is bound to some of
/// several memory nodes.
pub fn turn(task: &OomTask) -> Turn {
    if task.pid == 1 {
        return Turn::Skip(Ineligible::Init);
    }
    if task.kernel_thread {
        return Turn::Skip(Ineligible::KernelThread);
    }
    match task.victim {
        Some(true) => return Turn::Skip(Ineligible::ReapedVictim),
        Some(false) => return Turn::Abort,
        None => {}
    }
    if task.origin == Some(true) {
        return Turn::First;
    }
    if task.no_memory {
        Turn::Skip(Ineligible::NoMemory)
    } else if task.oom_score_adj == OOM_SCORE_ADJ_MIN {
        Turn::Skip(Ineligible::AdjMin)
    } else if task.oom_skip == Some(true) {
        Turn::Skip(Ineligible::OomSkip)
    } else if task.vfork == Some(true) {
        Turn::Skip(Ineligible::Vfork)
    } else {
        Turn::Score
    }
}
