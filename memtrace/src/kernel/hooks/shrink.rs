use memtrace_ebpf::hook::Hook;

use super::{AttachPoint, Rung, Signal, probe};

const NEEDS_SHRINK_LRUVEC: &[&str] = &[
    "shrink_lruvec_prototype",
    "sc_target",
    "sc_nr_reclaimed",
    "sc_nr_scanned",
    "node_memcg",
    "node_lruvec",
    "lruvec_pgdat",
    "pgdat_kswapd",
];
const NEEDS_TRY_TO_SHRINK_LRUVEC: &[&str] = &[
    "try_to_shrink_lruvec_prototype",
    "sc_target",
    "sc_nr_reclaimed",
    "sc_nr_scanned",
    "node_memcg",
    "node_lruvec",
    "lruvec_pgdat",
    "pgdat_kswapd",
];

pub(super) const SIGNALS: &[Signal] = &[
    Signal {
        name: "list shrinking",
        rungs: &[
            Rung {
                probes: &[
                    probe(
                        AttachPoint::Fentry("shrink_lruvec"),
                        "shrink_enter",
                        Hook::ShrinkEnter,
                    ),
                    probe(
                        AttachPoint::Fexit("shrink_lruvec"),
                        "shrink_return",
                        Hook::ShrinkReturn,
                    ),
                ],
                needs: NEEDS_SHRINK_LRUVEC,
            },
            Rung {
                probes: &[
                    probe(
                        AttachPoint::Kprobe("shrink_lruvec"),
                        "shrink_enter_kprobe",
                        Hook::ShrinkEnter,
                    ),
                    probe(
                        AttachPoint::Kretprobe("shrink_lruvec"),
                        "shrink_return_kretprobe",
                        Hook::ShrinkReturn,
                    ),
                ],
                needs: NEEDS_SHRINK_LRUVEC,
            },
        ],
        cost: "which cgroup gave pages to whom is known from evictions only, not what was scanned",
        optional: true,
        opt_in: None,
    },
    Signal {
        name: "generation shrinking",
        rungs: &[
            Rung {
                probes: &[
                    probe(
                        AttachPoint::Fentry("try_to_shrink_lruvec"),
                        "shrink_generations_enter",
                        Hook::ShrinkGenerationsEnter,
                    ),
                    probe(
                        AttachPoint::Fexit("try_to_shrink_lruvec"),
                        "shrink_generations_return",
                        Hook::ShrinkGenerationsReturn,
                    ),
                ],
                needs: NEEDS_TRY_TO_SHRINK_LRUVEC,
            },
            Rung {
                probes: &[
                    probe(
                        AttachPoint::Kprobe("try_to_shrink_lruvec"),
                        "shrink_generations_enter_kprobe",
                        Hook::ShrinkGenerationsEnter,
                    ),
                    probe(
                        AttachPoint::Kretprobe("try_to_shrink_lruvec"),
                        "shrink_generations_return_kretprobe",
                        Hook::ShrinkGenerationsReturn,
                    ),
                ],
                needs: NEEDS_TRY_TO_SHRINK_LRUVEC,
            },
        ],
        cost: "what MGLRU's reclaim for the node took from which cgroup is known from evictions only",
        optional: true,
        opt_in: None,
    },
];
