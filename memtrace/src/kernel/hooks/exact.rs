use memtrace_ebpf::hook::Hook;

use super::{AttachPoint, Probe, Rung, Signal};

pub(super) const SIGNALS: &[Signal] = &[Signal {
    name: "exact counters",
    rungs: &[Rung {
        probes: &[Probe {
            attach: AttachPoint::TpBtf("mod_memcg_lruvec_state"),
            program: "counter_update",
            hook: Some(Hook::CounterUpdate),
        }],
        needs: &[
            "memcg_cgroup",
            "cgroup_kn",
            "kn_id",
            "item_active_file",
            "item_inactive_file",
            "item_file",
            "item_anon",
            "item_shmem",
            "item_pagetables",
            "item_workingset_refault_file",
            "item_workingset_activate_file",
            "counter_update_long",
        ],
    }],
    cost: "--exact has nothing to add: counters come from memory.stat, which lags",
    optional: true,
    opt_in: Some(
        "only with `explain --exact`: about 65 ns for each update of a counter, two to a page moved",
    ),
}];
