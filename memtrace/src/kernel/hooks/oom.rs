use memtrace_ebpf::hook::Hook;

use super::{AttachPoint, Probe, Rung, Signal};

pub(super) const SIGNALS: &[Signal] = &[Signal {
    name: "OOM victim",
    rungs: &[Rung {
        probes: &[Probe {
            attach: AttachPoint::TpBtf("mark_victim"),
            program: "mark_victim",
            hook: Some(Hook::MarkVictim),
        }],
        needs: &["mark_victim_task"],
    }],
    cost: "an OOM kill shows in memory.events only, without victim and trigger",
    optional: false,
    opt_in: None,
}];
