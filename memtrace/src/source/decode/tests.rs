use memtrace_ebpf::record::{
    COMM_BYTES, OomCandidateRecord, OomKillRecord, OomReapRecord, TaskSample, VictimRecord,
    oom_candidate_flags, oom_reap_phase, task_sample_flags,
};

use super::*;
use crate::input::{OomConstraint, OomReapEvent, OomReapPhase, OwnedBy, RssPages, VictimEvent};

const RECEIVED_NS: u64 = 99;

fn bytes_of<T: Pod>(record: &T) -> Vec<u8> {
    // SAFETY: `Pod` types have no padding, so each of their bytes is initialised.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(record).cast(), size_of::<T>()) }
        .to_vec()
}

fn header(tag: Tag) -> Header {
    Header {
        tag: tag as u32,
        cpu: 3,
        sent_ns: 70,
    }
}

fn padded<const N: usize>(name: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

fn decode(bytes: &[u8], received_ns: u64) -> Result<Input, DecodeError> {
    super::decode(bytes, received_ns, &Callers::default())
}

fn run_record() -> RunRecord {
    RunRecord {
        header: header(Tag::Run),
        kind: RunKind::CacheDeleteActive as u32,
        flags: run_flags::IN_RECLAIM,
        tgid: 4711,
        hook: 3,
        memcg_id: 61,
        target_memcg_id: 0,
        inode: 1234,
        device: 254 << 20 | 1,
        generation: 9,
        pages: 512,
        folios: 2,
        first_ns: 60,
    }
}

fn file_bytes(names: &[u8], flags: u32) -> Vec<u8> {
    let mut bytes = bytes_of(&FileRecord {
        header: header(Tag::File),
        inode: 1234,
        device: 7,
        generation: 9,
        fstype: padded("ext4"),
        flags,
        path_bytes: names.len() as u32,
    });
    bytes.extend(names);
    bytes
}

fn task_record() -> TaskRecord {
    TaskRecord {
        header: header(Tag::Task),
        tgid: 4711,
        renamed: 1,
        memcg_id: 0,
        start_boottime_ns: 5,
        comm: padded("cat"),
    }
}

fn reclaim_record() -> ReclaimRecord {
    ReclaimRecord {
        header: header(Tag::Reclaim),
        kind: reclaim_kind::MEMCG,
        tgid: 10,
        pid: 11,
        order: 2,
        task_memcg_id: 61,
        target_memcg_id: 0,
        duration_ns: 8,
        reclaimed_pages: 32,
        flags: reclaim_flags::OPTIONS_KNOWN | reclaim_flags::PROACTIVE,
        caller_count: 0,
        callers: [0; 12],
    }
}

fn victim_record() -> VictimRecord {
    VictimRecord {
        header: header(Tag::Victim),
        victim_tgid: 10,
        trigger_tgid: 20,
        victim_start_boottime_ns: 0,
        victim_memcg_id: 0,
        trigger_memcg_id: 61,
        victim_comm: [0; COMM_BYTES],
        trigger_comm: padded("java"),
    }
}

fn every_record() -> [Vec<u8>; Tag::COUNT] {
    [
        bytes_of(&run_record()),
        file_bytes(b"t.log\0data\0/\0", 0),
        bytes_of(&task_record()),
        bytes_of(&reclaim_record()),
        bytes_of(&victim_record()),
        bytes_of(&oom_kill_record()),
        bytes_of(&oom_candidate_record()),
        bytes_of(&oom_reap_record()),
    ]
}

fn oom_kill_record() -> OomKillRecord {
    OomKillRecord {
        header: header(Tag::OomKill),
        victim_tgid: 10,
        trigger_tgid: 20,
        trigger_pid: 21,
        order: -1,
        gfp_mask: 0xcc0,
        constraint: 3,
        chosen_points: -5,
        totalpages: 16_384,
        victim_start_boottime_ns: 77_000,
        domain_memcg_id: 61,
        victim_memcg_id: 62,
        trigger_memcg_id: 0,
        victim_comm: padded("java"),
        trigger_comm: padded("GC task"),
    }
}

fn oom_candidate_record() -> OomCandidateRecord {
    OomCandidateRecord {
        header: header(Tag::OomCandidate),
        trigger_pid: 21,
        flags: oom_candidate_flags::POINTS_KNOWN,
        points: i64::MIN,
        totalpages: 16_384,
        domain_memcg_id: 0,
        sample: task_sample(10),
    }
}

fn oom_reap_record() -> OomReapRecord {
    OomReapRecord {
        header: header(Tag::OomReap),
        pid: 10,
        phase: oom_reap_phase::FINISH,
    }
}

fn task_sample(tgid: u32) -> TaskSample {
    TaskSample {
        tgid,
        ppid: 1,
        flags: task_sample_flags::UNSYNCED_KNOWN | task_sample_flags::OOM_SKIP,
        oom_score_adj: -997,
        memcg_id: 61,
        start_boottime_ns: 5,
        mm: 0,
        rss_file_pages: 1,
        rss_anon_pages: -2,
        rss_shmem_pages: 3,
        swap_pages: 4,
        pagetable_bytes: 4096,
        unsynced_file_pages: -1,
        unsynced_anon_pages: 5,
        unsynced_shmem_pages: 0,
        unsynced_swap_pages: 0,
        comm: padded("init"),
    }
}

#[test]
fn the_oom_killers_records_keep_what_is_known() {
    let Ok(Input::OomKill(kill)) = decode(&bytes_of(&oom_kill_record()), RECEIVED_NS) else {
        panic!("no kill");
    };
    assert_eq!(
        (kill.victim.pid, kill.points, kill.totalpages),
        (10, -5, 16_384)
    );
    assert_eq!(
        (kill.order, kill.constraint),
        (-1, Some(OomConstraint::Memcg))
    );
    assert_eq!(
        (kill.domain_cgroup_id, kill.trigger.cgroup_id),
        (Some(61), None)
    );
    let bytes = bytes_of(&oom_candidate_record());
    let Ok(Input::OomCandidate(candidate)) = decode(&bytes, RECEIVED_NS) else {
        panic!("no candidate");
    };
    assert_eq!(
        (candidate.points, candidate.aborted),
        (Some(i64::MIN), false)
    );
    assert_eq!((candidate.domain_cgroup_id, candidate.task.pid), (None, 10));
    let unsynced = RssPages {
        file: -1,
        anon: 5,
        ..RssPages::default()
    };
    assert_eq!(candidate.task.unsynced, Some(unsynced));
    assert_eq!(
        (candidate.task.oom_skip, candidate.task.victim),
        (Some(true), None)
    );
    let unseen = OomCandidateRecord {
        flags: oom_candidate_flags::ABORTED,
        ..oom_candidate_record()
    };
    let Ok(Input::OomCandidate(unseen)) = decode(&bytes_of(&unseen), RECEIVED_NS) else {
        panic!("no candidate");
    };
    assert_eq!((unseen.points, unseen.aborted), (None, true));
    let reaped = OomReapEvent {
        time_ns: 70,
        tid: 10,
        phase: OomReapPhase::Finish,
    };
    let bytes = bytes_of(&oom_reap_record());
    assert_eq!(decode(&bytes, RECEIVED_NS), Ok(Input::OomReap(reaped)));
}

#[test]
fn a_run_keeps_every_field() {
    let expected = RunEvent {
        kind: RunKind::CacheDeleteActive,
        first_ns: 60,
        sent_ns: 70,
        received_ns: RECEIVED_NS,
        charged_cgroup_id: Some(61),
        target_cgroup_id: None,
        file: Some(FileId {
            device: 254 << 20 | 1,
            inode: 1234,
            generation: 9,
        }),
        pid: Some(4711),
        task_certain: true,
        in_reclaim: true,
        pages: 512,
        folios: 2,
    };
    let got = decode(&bytes_of(&run_record()), RECEIVED_NS);
    assert_eq!(got, Ok(Input::Run(expected)));
}

#[test]
fn every_kind_of_run_is_known() {
    for kind in RunKind::ALL {
        let record = RunRecord {
            kind: kind as u32,
            ..run_record()
        };
        let got = run(&record, RECEIVED_NS).map(|event| event.kind);
        assert_eq!(got, Ok(kind));
    }
}

#[test]
fn what_a_run_does_not_know_is_none() {
    let record = RunRecord {
        tgid: 0,
        memcg_id: 0,
        inode: 0,
        device: 0,
        flags: run_flags::TASK_UNCERTAIN,
        ..run_record()
    };
    let event = run(&record, RECEIVED_NS).unwrap();
    assert_eq!(event.pid, None);
    assert_eq!(event.charged_cgroup_id, None);
    assert_eq!(event.file, None);
    assert!(!event.task_certain);
    assert!(!event.in_reclaim);
}

#[test]
fn a_system_v_segment_may_be_inode_0() {
    let record = RunRecord {
        inode: 0,
        device: 1,
        ..run_record()
    };
    let file = run(&record, RECEIVED_NS).unwrap().file.unwrap();
    assert_eq!((file.device, file.inode), (1, 0));
}

#[test]
fn a_file_keeps_every_field() {
    let bytes = file_bytes(b"t.log\0data\0/\0", file_flags::DELETED);
    let expected = FileEvent {
        id: FileId {
            device: 7,
            inode: 1234,
            generation: 9,
        },
        fs_path: "/data/t.log".into(),
        fstype: "ext4".into(),
        truncated: false,
        deleted: true,
    };
    assert_eq!(
        decode(&bytes, RECEIVED_NS),
        Ok(Input::File(expected.clone()))
    );
    // The ring buffer may hand over more than the record.
    let longer = [bytes, vec![b'x'; 7]].concat();
    assert_eq!(decode(&longer, RECEIVED_NS), Ok(Input::File(expected)));
}

#[test]
fn names_join_to_a_path() {
    for (names, truncated, path) in [
        (&b"t.log\0data\0/\0"[..], false, "/data/t.log"),
        (b"t.log\0data\0", false, "/data/t.log"),
        (b"t.log\0/\0", false, "/t.log"),
        (b"/\0", false, "/"),
        (b"memfd:cache\0", false, "memfd:cache"),
        (b"SYSV00000000\0", false, "SYSV00000000"),
        (b"dev/zero\0", false, "dev/zero"),
        // Missing first components must not look like a path from the root.
        (b"t.log\0deep\0", true, "deep/t.log"),
        (b"t.log\0", true, "t.log"),
        (b"", false, ""),
        (b"a\xffb\0d\0/\0", false, "/d/a\u{fffd}b"),
        // Cut before the last NUL.
        (b"t.log\0da", true, "da/t.log"),
    ] {
        assert_eq!(join(names, truncated), path, "{names:?}");
    }
}

#[test]
fn a_task_a_reclaim_pass_and_a_victim_keep_every_field() {
    let task = TaskEvent {
        pid: 4711,
        comm: "cat".into(),
        cgroup_id: None,
        start_boottime_ns: 5,
        renamed: true,
    };
    let reclaim = ReclaimEvent {
        kind: ReclaimKind::Memcg,
        ended_ns: 70,
        duration_ns: 8,
        pid: 10,
        tid: 11,
        order: 2,
        task_cgroup_id: Some(61),
        target_cgroup_id: None,
        reclaimed_pages: 32,
        cause: Some(ReclaimCause::Proactive),
        may_swap: Some(false),
    };
    let victim = VictimEvent {
        time_ns: 70,
        received_ns: Some(RECEIVED_NS),
        victim: OwnedBy {
            pid: 10,
            comm: None,
            cgroup_id: None,
            start_boottime_ns: None,
        },
        trigger: OwnedBy {
            pid: 20,
            comm: Some("java".into()),
            cgroup_id: Some(61),
            start_boottime_ns: None,
        },
    };
    let [_, _, task_bytes, reclaim_bytes, victim_bytes, ..] = every_record();
    assert_eq!(decode(&task_bytes, RECEIVED_NS), Ok(Input::Task(task)));
    assert_eq!(
        decode(&reclaim_bytes, RECEIVED_NS),
        Ok(Input::Reclaim(reclaim))
    );
    assert_eq!(
        decode(&victim_bytes, RECEIVED_NS),
        Ok(Input::Victim(victim))
    );
}

#[test]
fn every_truncation_is_an_error() {
    for bytes in every_record() {
        assert!(decode(&bytes, RECEIVED_NS).is_ok());
        for length in 0..bytes.len() {
            let got = decode(&bytes[..length], RECEIVED_NS);
            assert!(
                matches!(got, Err(DecodeError::TooShort { .. })),
                "{length} bytes of {} gave {got:?}",
                bytes.len()
            );
        }
    }
}

#[test]
fn any_alignment_will_do() {
    for bytes in every_record() {
        let expected = decode(&bytes, RECEIVED_NS);
        for shift in 1..8 {
            let shifted = [vec![0xff; shift], bytes.clone()].concat();
            assert_eq!(decode(&shifted[shift..], RECEIVED_NS), expected);
        }
    }
}

#[test]
fn unknown_numbers_are_errors() {
    for tag in [Tag::COUNT as u32, u32::MAX] {
        let unknown = Header {
            tag,
            ..header(Tag::Run)
        };
        let got = decode(&bytes_of(&unknown), RECEIVED_NS);
        assert_eq!(got, Err(DecodeError::UnknownTag(tag)));
    }
    let unknown = RunKind::ALL.len() as u32;
    let kind = RunRecord {
        kind: unknown,
        ..run_record()
    };
    let got = decode(&bytes_of(&kind), RECEIVED_NS);
    assert_eq!(got, Err(DecodeError::UnknownRunKind(unknown)));
    let kind = ReclaimRecord {
        kind: 2,
        ..reclaim_record()
    };
    let got = decode(&bytes_of(&kind), RECEIVED_NS);
    assert_eq!(got, Err(DecodeError::UnknownReclaimKind(2)));
    let phase = OomReapRecord {
        phase: 3,
        ..oom_reap_record()
    };
    let got = decode(&bytes_of(&phase), RECEIVED_NS);
    assert_eq!(got, Err(DecodeError::UnknownReapPhase(3)));
}

#[test]
fn what_was_shrunk_is_summed_over_cpus() {
    let key = ShrinkKey {
        victim_memcg_id: 61,
        target_memcg_id: 0,
        kind: shrink_kind::KSWAPD,
        function: 1,
    };
    let cpu = |calls| ShrinkCounts {
        calls,
        scanned_pages: 10 * calls,
        reclaimed_pages: 5 * calls,
        duration_ns: 100 * calls,
    };
    let expected = ShrinkSum {
        victim_cgroup_id: Some(61),
        target_cgroup_id: None,
        kind: ShrinkKind::Kswapd,
        calls: 3,
        scanned_pages: 30,
        reclaimed_pages: 15,
        duration_ns: 300,
    };
    assert_eq!(shrink(&key, &[cpu(1), cpu(2)]), Ok(expected));
    let unknown = ShrinkKey { kind: 4, ..key };
    assert_eq!(
        shrink(&unknown, &[]),
        Err(DecodeError::UnknownReclaimKind(4))
    );
}

#[test]
fn a_path_length_beyond_the_bytes_is_an_error() {
    let mut bytes = file_bytes(b"t.log\0", 0);
    let at = size_of::<FileRecord>() - size_of::<u32>();
    bytes[at..at + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
    let got = decode(&bytes, RECEIVED_NS);
    assert!(matches!(
        got,
        Err(DecodeError::TooShort {
            what: "path",
            got_bytes: 6,
            ..
        })
    ));
}

#[test]
fn task_samples_are_read_back_to_back() {
    let stream = [
        bytes_of(&task_sample(1)),
        bytes_of(&task_sample(2)),
        vec![0; 127],
    ]
    .concat();
    let read: Vec<Option<TaskSample>> = stream
        .chunks(size_of::<TaskSample>())
        .map(read_record)
        .collect();
    assert_eq!(read, [Some(task_sample(1)), Some(task_sample(2)), None]);
}
