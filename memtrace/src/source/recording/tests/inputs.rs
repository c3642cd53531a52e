//! One of each input, with every optional field both ways somewhere.

use std::sync::Arc;

use memtrace_ebpf::record::RunKind;

use crate::input::*;

const FILE: FileId = FileId {
    device: 254 << 20 | 3,
    inode: u64::MAX,
    generation: 7,
};

pub(super) fn every_input() -> Vec<Input> {
    let mut inputs = vec![facts()];
    inputs.extend(RunKind::ALL.map(run));
    inputs.extend([
        Input::File(FileEvent {
            id: FILE,
            fs_path: "/data/t\u{fffd}.log".into(),
            fstype: "ext4".into(),
            truncated: false,
            deleted: true,
        }),
        Input::Location(FileLocation {
            id: FILE,
            path: Some("/mnt/data/t.log".into()),
            container_path: None,
            deleted: false,
        }),
        Input::Task(TaskEvent {
            pid: 4711,
            comm: "cat".into(),
            cgroup_id: None,
            start_boottime_ns: 1,
            renamed: true,
        }),
        Input::Reclaim(ReclaimEvent {
            kind: ReclaimKind::Memcg,
            ended_ns: 2,
            duration_ns: 1,
            pid: 4711,
            tid: 4712,
            order: 9,
            task_cgroup_id: Some(61),
            target_cgroup_id: None,
            reclaimed_pages: 32,
            cause: Some(ReclaimCause::High),
            may_swap: Some(false),
        }),
        Input::Victim(VictimEvent {
            time_ns: 3,
            received_ns: None,
            victim: OwnedBy {
                pid: 4711,
                comm: None,
                cgroup_id: None,
                start_boottime_ns: None,
            },
            trigger: OwnedBy {
                pid: 4712,
                comm: Some("java".into()),
                cgroup_id: Some(61),
                start_boottime_ns: None,
            },
        }),
        Input::OomKill(OomKillEvent {
            time_ns: 3,
            victim: OwnedBy {
                pid: 4711,
                comm: Some("java".into()),
                cgroup_id: Some(61),
                start_boottime_ns: Some(77_000),
            },
            trigger: OwnedBy {
                pid: 4712,
                comm: Some("java".into()),
                cgroup_id: None,
                start_boottime_ns: None,
            },
            trigger_tid: 4713,
            domain_cgroup_id: None,
            constraint: Some(OomConstraint::Memcg),
            order: -1,
            gfp_mask: 0xcc0,
            totalpages: 16_384,
            points: -7,
        }),
        Input::OomCandidate(Box::new(OomCandidateEvent {
            time_ns: 2,
            trigger_tid: 4713,
            domain_cgroup_id: Some(61),
            totalpages: 16_384,
            points: Some(i64::MIN),
            aborted: false,
            task: oom_task(),
        })),
        Input::OomReap(OomReapEvent {
            time_ns: 4,
            tid: 4711,
            phase: OomReapPhase::Finish,
        }),
        Input::OomSnapshot(Arc::new(OomSnapshot {
            time: Timestamp {
                unix_ns: 1,
                monotonic_ns: 2,
            },
            done_ns: Some(3),
            memtrace_version: "0.1.0".into(),
            kernel_release: "6.18.0".into(),
            page_size_bytes: 4096,
            cgroup_version: CgroupVersion::V2,
            rss_counters: RssCounters::PerCpu { lag_pages: 128 },
            target: Some("/a".into()),
            target_cgroup_id: 61,
            stock_pages: Some(128),
            source: TaskSource::Iterator,
            source_reason: None,
            node: OomNode {
                total_bytes: 1 << 30,
                panic_on_oom: Some(1),
                ..OomNode::default()
            },
            cgroups: vec![OomCgroup {
                id: 61,
                parent_id: Some(1),
                path: "/a".into(),
                oom_group: Some(true),
                procs: Some(vec![4711]),
                memory: Some(Arc::new(OomMemory {
                    swap_limit_bytes: Some(0),
                    ..OomMemory::default()
                })),
            }],
            tasks: vec![oom_task()],
        })),
        Input::OomWatch(Box::new(OomWatchFacts {
            memtrace_version: "0.1.0".into(),
            kernel_release: "6.18.0".into(),
            page_size_bytes: 4096,
            rss_counters: RssCounters::Summed,
            realtime_minus_monotonic_ns: -5,
            hooks: Vec::new(),
            log_unreadable: Some("no such file".into()),
            within: Some("/a".into()),
        })),
        Input::OomLog(Box::new(OomLogEvent {
            read_ns: 9,
            constraint: Some(OomConstraint::Memcg),
            order: Some(-1),
            stat: Some(MemoryStat {
                anon: Some(4096),
                ..MemoryStat::default()
            }),
            tasks: vec![OomLogTask {
                tid: 12,
                pid: 11,
                oom_score_adj: -3,
                comm: "a b".into(),
                ..OomLogTask::default()
            }],
            killed_tid: 12,
            ..OomLogEvent::default()
        })),
        Input::CgroupPath(CgroupPath { id: 61, path: None }),
        Input::OomGone(OomGoneEvent { time_ns: 7, pid: 8 }),
        Input::OomTick(11),
        sample(),
        Input::CommandStarted {
            pid: 4711,
            argv: vec!["cat".into(), "/data/t.log".into()],
        },
        Input::CommandEnded {
            code: None,
            signal: Some(9),
        },
        Input::LeftBehind {
            tasks: vec![(1, "a".into()), (2, "b".into())],
        },
        Input::TargetGone,
        Input::Hooks(vec![HookCounters {
            hook: "tp_btf/mm_lru_activate".into(),
            pages_produced: 7,
            pages_lost: 1,
            records_sent: 2,
            records_lost: 1,
            recursion_misses: 3,
        }]),
    ]);
    inputs
}

/// Fails to compile when an input is added, as a reminder to add it above as well.
pub(super) fn kind(input: &Input) -> usize {
    match input {
        Input::Facts(_) => 0,
        Input::Run(_) => 1,
        Input::File(_) => 2,
        Input::Location(_) => 3,
        Input::Task(_) => 4,
        Input::Reclaim(_) => 5,
        Input::Victim(_) => 6,
        Input::Sample(_) => 7,
        Input::CommandStarted { .. } => 8,
        Input::CommandEnded { .. } => 9,
        Input::LeftBehind { .. } => 10,
        Input::Hooks(_) => 11,
        Input::TargetGone => 12,
        Input::OomKill(_) => 13,
        Input::OomCandidate(_) => 14,
        Input::OomReap(_) => 15,
        Input::OomSnapshot(_) => 16,
        Input::OomWatch(_) => 17,
        Input::OomLog(_) => 18,
        Input::CgroupPath(_) => 19,
        Input::OomGone(_) => 20,
        Input::OomTick(_) => 21,
    }
}
pub(super) const KINDS: usize = 22;

fn oom_task() -> OomTask {
    OomTask {
        pid: 4711,
        comm: "java".into(),
        cgroup_id: Some(61),
        memory: Some(3),
        rss: RssPages {
            file: -1,
            anon: 2,
            ..RssPages::default()
        },
        unsynced: Some(RssPages::default()),
        oom_score_adj: -998,
        oom_skip: Some(true),
        victim: Some(false),
        ..OomTask::default()
    }
}

fn facts() -> Input {
    Input::Facts(Box::new(Facts {
        memtrace_version: "0.1.0".into(),
        kernel_release: "6.18.0".into(),
        page_size_bytes: 4096,
        cpus: 2,
        locked_down: false,
        lru: LruKind::Classic,
        cgroup_version: CgroupVersion::V1,
        stat_error: StatError {
            stock_pages: 128,
            stat_pages: 64,
            counter_pages: 32,
        },
        hooks: vec![HookOutcome {
            signal: "activation".into(),
            attached: Some("tp_btf/mm_lru_activate".into()),
            refused: vec![("fentry".into(), "not permitted".into())],
            cost: "none".into(),
            optional: false,
            opt_in: Some("--exact".into()),
        }],
        thread_stack_bytes: Some(16 << 10),
        dentry_bytes: None,
        scope: Scope {
            target: "cat /data/t.log".into(),
            cgroup_path: "/memtrace-1".into(),
            cgroup_id: 61,
            command: true,
        },
        realtime_minus_monotonic_ns: -1,
    }))
}

fn run(kind: RunKind) -> Input {
    let known = kind != RunKind::ShmemDelete;
    Input::Run(RunEvent {
        kind,
        first_ns: 1,
        sent_ns: 2,
        received_ns: 3,
        charged_cgroup_id: known.then_some(61),
        target_cgroup_id: known.then_some(60),
        file: known.then_some(FILE),
        pid: known.then_some(4711),
        task_certain: known,
        in_reclaim: !known,
        pages: 1 << 40,
        folios: 1,
    })
}

fn sample() -> Input {
    Input::Sample(Box::new(Sample {
        instant: Instant::Peak,
        time: Timestamp {
            unix_ns: 1_700_000_000_000_000_000,
            monotonic_ns: 5,
        },
        cgroup: CgroupSample {
            usage_bytes: Some(100 << 20),
            limit_bytes: None,
            stat: MemoryStat {
                anon: Some(0),
                active_file: Some(90 << 20),
                ..MemoryStat::default()
            },
            pressure: Some(Pressure {
                some_total_us: 2,
                full_total_us: 1,
            }),
            ..CgroupSample::default()
        },
        members: vec![CgroupMember {
            id: 61,
            path: "/memtrace-1".into(),
        }],
        tasks: Some(vec![TaskUsage {
            pid: 4711,
            start_boottime_ns: 1,
            comm: "cat".into(),
            cgroup_id: Some(61),
            anon_pages: 1,
            file_pages: 2,
            shmem_pages: 3,
            swap_pages: 4,
            pagetable_bytes: 4096,
            oom_score_adj: -1000,
            threads: Some(5),
            kernel_time_ns: Some(6),
            sockets: Some(SocketUsage {
                count: 7,
                queued_bytes: 8,
            }),
        }]),
        hooks: vec![HookCounters {
            hook: "lru_activate".into(),
            pages_produced: 10,
            pages_lost: 1,
            records_sent: 2,
            records_lost: 1,
            recursion_misses: 0,
        }],
        shrinks: Some(vec![ShrinkSum {
            victim_cgroup_id: Some(61),
            target_cgroup_id: None,
            kind: ShrinkKind::Kswapd,
            calls: 1,
            scanned_pages: 4,
            reclaimed_pages: 3,
            duration_ns: 2,
        }]),
        exact: Some(vec![ExactCounters {
            cgroup_id: 61,
            flows: vec![ExactFlow {
                counter: "active_file".into(),
                in_pages: 3,
                out_pages: 1,
            }],
        }]),
        lru: Some(LruKind::MultiGen),
        dentries: Some(Dentries {
            total: 10,
            negative: Some(9),
        }),
        children: Some(vec![ChildSample {
            id: 62,
            path: "/memtrace-1/a".into(),
            working_set_bytes: 5,
        }]),
    }))
}
