use memtrace_ebpf::hook::Hook;

use super::{AttachPoint, Rung, Signal};

const fn rung(
    tracepoint: &'static str,
    program: &'static str,
    hook: Hook,
    needs: &'static [&'static str],
) -> Rung {
    Rung {
        attach: AttachPoint::TpBtf(tracepoint),
        program,
        hook: Some(hook),
        needs,
    }
}

const COST: &str = "how long tasks wait for reclaim is unknown";

pub(super) const SIGNALS: &[Signal] = &[
    Signal {
        name: "memcg reclaim begin",
        rungs: &[rung(
            "mm_vmscan_memcg_reclaim_begin",
            "memcg_reclaim_begin",
            Hook::MemcgReclaimBegin,
            &["reclaim_begin_order_arg"],
        )],
        cost: COST,
        optional: false,
        opt_in: None,
    },
    Signal {
        name: "memcg reclaim end",
        rungs: &[rung(
            "mm_vmscan_memcg_reclaim_end",
            "memcg_reclaim_end",
            Hook::MemcgReclaimEnd,
            &[],
        )],
        cost: COST,
        optional: false,
        opt_in: None,
    },
    Signal {
        name: "direct reclaim begin",
        rungs: &[rung(
            "mm_vmscan_direct_reclaim_begin",
            "direct_reclaim_begin",
            Hook::DirectReclaimBegin,
            &["reclaim_begin_order_arg"],
        )],
        cost: COST,
        optional: false,
        opt_in: None,
    },
    Signal {
        name: "direct reclaim end",
        rungs: &[rung(
            "mm_vmscan_direct_reclaim_end",
            "direct_reclaim_end",
            Hook::DirectReclaimEnd,
            &[],
        )],
        cost: COST,
        optional: false,
        opt_in: None,
    },
];
