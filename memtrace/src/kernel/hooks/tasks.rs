use memtrace_ebpf::hook::Hook;

use super::{AttachPoint, Probe, Rung, Signal, TASK_SCAN};

pub(super) const SIGNALS: &[Signal] = &[
    Signal {
        name: "process name",
        rungs: &[
            Rung {
                probes: &[Probe {
                    attach: AttachPoint::TpBtf("task_rename"),
                    program: "task_rename",
                    hook: Some(Hook::TaskRename),
                }],
                needs: &[
                    "task_tgid",
                    "task_pid",
                    "task_group_leader",
                    "task_start_boottime",
                ],
            },
            Rung {
                probes: &[Probe {
                    attach: AttachPoint::TpBtf("sched_process_exec"),
                    program: "process_exec",
                    hook: Some(Hook::ProcessExec),
                }],
                needs: &["task_group_leader", "task_comm", "task_start_boottime"],
            },
        ],
        cost: "a process may go by a name it had before",
        optional: true,
        opt_in: None,
    },
    Signal {
        name: "process exit",
        rungs: &[Rung {
            probes: &[Probe {
                attach: AttachPoint::TpBtf("sched_process_exit"),
                program: "process_exit",
                hook: Some(Hook::ProcessExit),
            }],
            needs: &[],
        }],
        cost: "a reused pid may go by the name of the process that had it before",
        optional: true,
        opt_in: None,
    },
    Signal {
        name: TASK_SCAN,
        rungs: &[Rung {
            probes: &[Probe {
                attach: AttachPoint::Iter("task"),
                program: "task_samples",
                hook: None,
            }],
            needs: &[
                "task_tgid",
                "task_pid",
                "task_flags",
                "task_mm",
                "task_signal",
                "task_comm",
                "task_group_leader",
                "task_real_parent",
                "task_start_boottime",
                "task_cgroups",
                "css_set_memory",
                "css_cgroup",
                "cgroup_kn",
                "kn_id",
                "task_vfork_done",
                "signal_oom_mm",
                "signal_oom_flag_origin",
                "signal_oom_score_adj",
                "rss_percpu",
                "mm_rss_file",
                "mm_rss_anon",
                "mm_rss_swap",
                "mm_rss_shmem",
                "mm_pgtables_bytes",
                "mm_flags",
            ],
        }],
        cost: "processes are read from /proc: slower, and not at one instant",
        optional: true,
        opt_in: None,
    },
];
