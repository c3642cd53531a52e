use memtrace_ebpf::hook::Hook;

use super::{AttachPoint, Probe, Rung, Signal};

const fn tracepoint(name: &'static str, program: &'static str, hook: Hook) -> Probe {
    Probe {
        attach: AttachPoint::TpBtf(name),
        program,
        hook: Some(hook),
    }
}

pub(super) const SIGNALS: &[Signal] = &[
    Signal {
        name: "memcg reclaim",
        rungs: &[Rung {
            probes: &[
                tracepoint(
                    "mm_vmscan_memcg_reclaim_begin",
                    "memcg_reclaim_begin",
                    Hook::MemcgReclaimBegin,
                ),
                tracepoint(
                    "mm_vmscan_memcg_reclaim_end",
                    "memcg_reclaim_end",
                    Hook::MemcgReclaimEnd,
                ),
            ],
            needs: &["reclaim_begin_order_arg"],
        }],
        cost: "how long tasks wait for memory at a cgroup's limit is unknown",
        optional: false,
        opt_in: None,
    },
    Signal {
        name: "direct reclaim",
        rungs: &[Rung {
            probes: &[
                tracepoint(
                    "mm_vmscan_direct_reclaim_begin",
                    "direct_reclaim_begin",
                    Hook::DirectReclaimBegin,
                ),
                tracepoint(
                    "mm_vmscan_direct_reclaim_end",
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
