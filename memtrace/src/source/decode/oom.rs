//! The OOM killer's records, and processes as it reads them.

use memtrace_ebpf::record::{
    COMM_BYTES, OomCandidateRecord, OomKillRecord, OomReapRecord, TaskSample, VictimRecord,
    oom_candidate_flags, oom_reap_phase, task_sample_flags,
};

use super::{DecodeError, known, text};
use crate::input::{
    OomCandidateEvent, OomConstraint, OomKillEvent, OomReapEvent, OomReapPhase, OomTask, OwnedBy,
    RssPages, VictimEvent,
};

/// 0 and an empty name are what the hook did not tell.
fn owned_by(pid: u32, comm: &[u8; COMM_BYTES], memcg_id: u64, start_ns: u64) -> OwnedBy {
    OwnedBy {
        pid,
        comm: Some(text(comm)).filter(|comm| !comm.is_empty()),
        cgroup_id: known(memcg_id),
        start_boottime_ns: known(start_ns),
    }
}

pub(super) fn victim(record: &VictimRecord, received_ns: u64) -> VictimEvent {
    VictimEvent {
        received_ns: Some(received_ns),
        time_ns: record.header.sent_ns,
        victim: owned_by(
            record.victim_tgid,
            &record.victim_comm,
            record.victim_memcg_id,
            record.victim_start_boottime_ns,
        ),
        trigger: owned_by(
            record.trigger_tgid,
            &record.trigger_comm,
            record.trigger_memcg_id,
            0,
        ),
    }
}

pub(super) fn kill(record: &OomKillRecord) -> OomKillEvent {
    OomKillEvent {
        time_ns: record.header.sent_ns,
        victim: owned_by(
            record.victim_tgid,
            &record.victim_comm,
            record.victim_memcg_id,
            record.victim_start_boottime_ns,
        ),
        trigger: owned_by(
            record.trigger_tgid,
            &record.trigger_comm,
            record.trigger_memcg_id,
            0,
        ),
        trigger_tid: record.trigger_pid,
        domain_cgroup_id: known(record.domain_memcg_id),
        // include/linux/oom.h, `enum oom_constraint`, the same from 5.10 to 7.2.
        constraint: match record.constraint {
            0 => Some(OomConstraint::None),
            1 => Some(OomConstraint::Cpuset),
            2 => Some(OomConstraint::MemoryPolicy),
            3 => Some(OomConstraint::Memcg),
            _ => None,
        },
        order: record.order,
        gfp_mask: record.gfp_mask,
        totalpages: record.totalpages,
        points: record.chosen_points,
    }
}

pub(super) fn candidate(record: &OomCandidateRecord) -> OomCandidateEvent {
    let has = |flag| record.flags & flag != 0;
    OomCandidateEvent {
        time_ns: record.header.sent_ns,
        trigger_tid: record.trigger_pid,
        domain_cgroup_id: known(record.domain_memcg_id),
        totalpages: record.totalpages,
        points: has(oom_candidate_flags::POINTS_KNOWN).then_some(record.points),
        aborted: has(oom_candidate_flags::ABORTED),
        task: task(&record.sample),
    }
}

pub(super) fn reap(record: &OomReapRecord) -> Result<OomReapEvent, DecodeError> {
    Ok(OomReapEvent {
        time_ns: record.header.sent_ns,
        tid: record.pid,
        phase: match record.phase {
            oom_reap_phase::START => OomReapPhase::Start,
            oom_reap_phase::FINISH => OomReapPhase::Finish,
            oom_reap_phase::SKIP => OomReapPhase::Skip,
            unknown => return Err(DecodeError::UnknownReapPhase(unknown)),
        },
    })
}

/// A process from the iterator or from a hook. Which others share its memory is for the caller to
/// tell, who has them all: [`OomTask::memory`] stays `None`.
pub fn task(sample: &TaskSample) -> OomTask {
    let has = |flag| sample.flags & flag != 0;
    OomTask {
        pid: sample.tgid,
        comm: text(&sample.comm),
        start_boottime_ns: sample.start_boottime_ns,
        cgroup_id: known(sample.memcg_id),
        memory: None,
        rss: RssPages {
            file: sample.rss_file_pages,
            anon: sample.rss_anon_pages,
            shmem: sample.rss_shmem_pages,
            swap: sample.swap_pages,
        },
        unsynced: has(task_sample_flags::UNSYNCED_KNOWN).then_some(RssPages {
            file: sample.unsynced_file_pages,
            anon: sample.unsynced_anon_pages,
            shmem: sample.unsynced_shmem_pages,
            swap: sample.unsynced_swap_pages,
        }),
        // The kernel never lets this counter fall below 0 while the memory is in use.
        pagetable_bytes: u64::try_from(sample.pagetable_bytes).unwrap_or(0),
        oom_score_adj: sample.oom_score_adj,
        kernel_thread: has(task_sample_flags::KERNEL_THREAD),
        no_memory: has(task_sample_flags::NO_MM),
        exiting: has(task_sample_flags::EXITING),
        leader_exited: has(task_sample_flags::LEADER_EXITED),
        oom_skip: Some(has(task_sample_flags::OOM_SKIP)),
        vfork: Some(has(task_sample_flags::VFORK)),
        victim: has(task_sample_flags::OOM_VICTIM)
            .then(|| has(task_sample_flags::OOM_VICTIM_REAPED)),
        origin: Some(has(task_sample_flags::OOM_ORIGIN)),
    }
}
