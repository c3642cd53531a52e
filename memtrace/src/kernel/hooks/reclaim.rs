use memtrace_ebpf::hook::Hook;

use super::{AttachPoint, Rung, Signal, probe};

pub(super) const MEMCG: &str = "memcg reclaim";
pub(super) const DIRECT: &str = "direct reclaim";

pub(super) const SIGNALS: &[Signal] = &[
    Signal {
        name: MEMCG,
        rungs: &[
            Rung {
                probes: &[
                    probe(
                        AttachPoint::Fentry("try_to_free_mem_cgroup_pages"),
                        "memcg_reclaim_enter",
                        Hook::MemcgReclaimEnter,
                    ),
                    probe(
                        AttachPoint::Fexit("try_to_free_mem_cgroup_pages"),
                        "memcg_reclaim_return",
                        Hook::MemcgReclaimReturn,
                    ),
                ],
                needs: &["memcg_reclaim_prototype"],
            },
            Rung {
                probes: &[
                    // The return first: of two probes the later one runs earlier (kernel/kprobes.c,
                    // add_new_kprobe), and a kretprobe puts its trampoline where the caller was on
                    // the stack, which kernels before 5.15 cannot look behind.
                    probe(
                        AttachPoint::Kretprobe("try_to_free_mem_cgroup_pages"),
                        "memcg_reclaim_return_kretprobe",
                        Hook::MemcgReclaimReturn,
                    ),
                    probe(
                        AttachPoint::Kprobe("try_to_free_mem_cgroup_pages"),
                        "memcg_reclaim_enter_kprobe",
                        Hook::MemcgReclaimEnter,
                    ),
                ],
                needs: &["memcg_reclaim_prototype"],
            },
            Rung {
                probes: &[
                    probe(
                        AttachPoint::TpBtf("mm_vmscan_memcg_reclaim_begin"),
                        "memcg_reclaim_begin",
                        Hook::MemcgReclaimBegin,
                    ),
                    probe(
                        AttachPoint::TpBtf("mm_vmscan_memcg_reclaim_end"),
                        "memcg_reclaim_end",
                        Hook::MemcgReclaimEnd,
                    ),
                ],
                needs: &["reclaim_begin_order_arg"],
            },
        ],
        cost: "which cgroup was at its limit is known from 7.1 on only, and whether swap was allowed is not",
        optional: false,
        opt_in: None,
    },
    Signal {
        name: DIRECT,
        rungs: &[Rung {
            probes: &[
                probe(
                    AttachPoint::TpBtf("mm_vmscan_direct_reclaim_begin"),
                    "direct_reclaim_begin",
                    Hook::DirectReclaimBegin,
                ),
                probe(
                    AttachPoint::TpBtf("mm_vmscan_direct_reclaim_end"),
                    "direct_reclaim_end",
                    Hook::DirectReclaimEnd,
                ),
            ],
            needs: &["reclaim_begin_order_arg"],
        }],
        cost: "how long tasks wait for memory when the node is short is unknown",
        optional: false,
        opt_in: None,
    },
];
