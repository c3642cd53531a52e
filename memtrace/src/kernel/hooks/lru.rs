use memtrace_ebpf::hook::Hook;

use super::{AttachPoint, FOLIO, Probe, Rung, Signal};

pub(super) const SIGNALS: &[Signal] = &[
    Signal {
        name: "activation",
        rungs: &[Rung {
            probes: &[Probe {
                attach: AttachPoint::TpBtf("mm_lru_activate"),
                program: "lru_activate",
                hook: Some(Hook::LruActivate),
            }],
            needs: FOLIO,
        }],
        cost: "growth of active_file by second reads stays unattributed",
        optional: false,
        opt_in: None,
    },
    Signal {
        name: "insertion",
        rungs: &[Rung {
            probes: &[Probe {
                attach: AttachPoint::TpBtf("mm_lru_insertion"),
                program: "lru_insertion",
                hook: Some(Hook::LruInsertion),
            }],
            needs: FOLIO,
        }],
        cost: "refaults and tmpfs growth stay unattributed",
        optional: false,
        opt_in: None,
    },
];
