use memtrace_ebpf::hook::Hook;

use super::{AttachPoint, Probe, Rung, Signal};

pub(super) const VICTIM: &str = "OOM victim";
pub(super) const KILL: &str = "OOM kill";
pub(super) const CANDIDATES: &str = "OOM candidates";
pub(super) const REAPER: &str = "OOM reaper";

const fn probe(attach: AttachPoint, program: &'static str, hook: Hook) -> Probe {
    Probe {
        attach,
        program,
        hook: Some(hook),
    }
}

pub(super) const SIGNALS: &[Signal] = &[
    Signal {
        name: VICTIM,
        rungs: &[Rung {
            probes: &[probe(
                AttachPoint::TpBtf("mark_victim"),
                "mark_victim",
                Hook::MarkVictim,
            )],
            needs: &["mark_victim_task"],
        }],
        cost: "an OOM kill shows in memory.events only, without victim and trigger",
        optional: false,
        opt_in: None,
    },
    Signal {
        name: KILL,
        rungs: &[
            Rung {
                probes: &[probe(
                    AttachPoint::Fentry("oom_kill_process"),
                    "oom_kill",
                    Hook::OomKill,
                )],
                needs: KILL_NEEDS,
            },
            Rung {
                probes: &[probe(
                    AttachPoint::Kprobe("oom_kill_process"),
                    "oom_kill_kprobe",
                    Hook::OomKill,
                )],
                needs: KILL_NEEDS,
            },
        ],
        cost: "whose limit was reached, its size and the victim's points are known from the kernel \
               log only, which is rate-limited",
        optional: true,
        opt_in: None,
    },
    Signal {
        name: CANDIDATES,
        rungs: &[
            Rung {
                probes: &[
                    probe(
                        AttachPoint::Fentry("oom_evaluate_task"),
                        "oom_evaluate",
                        Hook::OomEvaluate,
                    ),
                    probe(
                        AttachPoint::Fexit("oom_badness"),
                        "oom_badness",
                        Hook::OomBadness,
                    ),
                    probe(
                        AttachPoint::Fexit("oom_evaluate_task"),
                        "oom_evaluated",
                        Hook::OomEvaluated,
                    ),
                ],
                needs: CANDIDATE_NEEDS,
            },
            Rung {
                probes: &[
                    probe(
                        AttachPoint::Kprobe("oom_evaluate_task"),
                        "oom_evaluate_kprobe",
                        Hook::OomEvaluate,
                    ),
                    probe(
                        AttachPoint::Kretprobe("oom_badness"),
                        "oom_badness_kretprobe",
                        Hook::OomBadness,
                    ),
                    probe(
                        AttachPoint::Kretprobe("oom_evaluate_task"),
                        "oom_evaluate_kretprobe",
                        Hook::OomEvaluated,
                    ),
                ],
                needs: CANDIDATE_NEEDS,
            },
        ],
        cost: "the points of those who were not killed are memtrace's reckoning, not the kernel's own",
        optional: true,
        opt_in: None,
    },
    Signal {
        name: REAPER,
        rungs: &[Rung {
            probes: &[
                probe(
                    AttachPoint::TpBtf("start_task_reaping"),
                    "oom_reap_start",
                    Hook::OomReapStart,
                ),
                probe(
                    AttachPoint::TpBtf("finish_task_reaping"),
                    "oom_reap_finish",
                    Hook::OomReapFinish,
                ),
                probe(
                    AttachPoint::TpBtf("skip_task_reaping"),
                    "oom_reap_skip",
                    Hook::OomReapSkip,
                ),
            ],
            needs: &[],
        }],
        cost: "how long it took to free a victim's memory is unknown",
        optional: true,
        opt_in: None,
    },
];

const KILL_NEEDS: &[&str] = &[
    "oom_kill_prototype",
    "oc_memcg",
    "oc_gfp_mask",
    "oc_order",
    "oc_totalpages",
    "oc_chosen",
    "oc_chosen_points",
    "oc_constraint",
    "memcg_cgroup",
    "cgroup_kn",
    "kn_id",
    "task_cgroups",
    "css_set_memory",
    "css_cgroup",
    "task_tgid",
    "task_comm",
    "task_start_boottime",
];

/// What `oom_badness` reads, and the `oom_control`, which is passed as `void *` and so can only be
/// read by address.
const CANDIDATE_NEEDS: &[&str] = &[
    "oom_evaluate_prototype",
    "oom_badness_prototype",
    "oc_memcg",
    "oc_totalpages",
    "oc_chosen",
    "oc_chosen_points",
    "memcg_cgroup",
    "task_tgid",
    "task_flags",
    "task_mm",
    "task_signal",
    "task_comm",
    "task_real_parent",
    "task_start_boottime",
    "task_vfork_done",
    "task_thread_node",
    "task_cgroups",
    "signal_thread_head",
    "signal_oom_mm",
    "signal_oom_flag_origin",
    "signal_oom_score_adj",
    "css_set_memory",
    "css_cgroup",
    "cgroup_kn",
    "kn_id",
    "rss_percpu",
    "mm_rss_file",
    "mm_rss_anon",
    "mm_rss_swap",
    "mm_rss_shmem",
    "mm_pgtables_bytes",
    "mm_flags",
];
