use memtrace_ebpf::hook::Hook;

use super::{AttachPoint, Rung, Signal, folio_and, probe};

pub(super) const SIGNALS: &[Signal] = &[
    Signal {
        name: "activating task",
        rungs: &[
            Rung {
                probes: &[probe(
                    AttachPoint::Fentry("workingset_activation"),
                    "workingset_activation",
                    Hook::WorkingsetActivation,
                )],
                needs: &folio_and("activation_prototype"),
            },
            Rung {
                probes: &[probe(
                    AttachPoint::Kprobe("workingset_activation"),
                    "workingset_activation_kprobe",
                    Hook::WorkingsetActivation,
                )],
                needs: &folio_and("activation_prototype"),
            },
            // Its twin is in filemap.rs: it fills the table of recent readers.
            Rung {
                probes: &[probe(
                    AttachPoint::TpBtf("mm_filemap_get_pages"),
                    "get_pages",
                    Hook::GetPages,
                )],
                needs: &[],
            },
        ],
        cost: "the task of an activation is whoever read the page last on that CPU, or uncertain",
        optional: false,
        opt_in: None,
    },
    Signal {
        name: "refault",
        rungs: &[
            Rung {
                probes: &[probe(
                    AttachPoint::Fexit("workingset_refault"),
                    "workingset_refault",
                    Hook::WorkingsetRefault,
                )],
                needs: &folio_and("refault_prototype"),
            },
            Rung {
                probes: &[
                    probe(
                        AttachPoint::Kprobe("workingset_refault"),
                        "workingset_refault_enter",
                        Hook::RefaultEnter,
                    ),
                    probe(
                        AttachPoint::Kretprobe("workingset_refault"),
                        "workingset_refault_return",
                        Hook::WorkingsetRefault,
                    ),
                ],
                needs: &folio_and("refault_prototype"),
            },
        ],
        cost: "a refault that makes a page active is not told from a migration, and other refaults show in memory.stat only",
        optional: true,
        opt_in: None,
    },
    Signal {
        name: "eviction",
        rungs: &[
            Rung {
                probes: &[probe(
                    AttachPoint::Fentry("workingset_eviction"),
                    "workingset_eviction",
                    Hook::WorkingsetEviction,
                )],
                needs: &folio_and("eviction_prototype"),
            },
            Rung {
                probes: &[probe(
                    AttachPoint::Kprobe("workingset_eviction"),
                    "workingset_eviction_kprobe",
                    Hook::WorkingsetEviction,
                )],
                needs: &folio_and("eviction_prototype"),
            },
        ],
        cost: "on whose behalf pages were evicted is unknown",
        optional: true,
        opt_in: None,
    },
];
