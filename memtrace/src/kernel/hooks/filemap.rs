use memtrace_ebpf::hook::Hook;

use super::{AttachPoint, FOLIO, Probe, Rung, Signal};

pub(super) const SIGNALS: &[Signal] = &[
    Signal {
        name: "cache add",
        rungs: &[Rung {
            probes: &[Probe {
                attach: AttachPoint::TpBtf("mm_filemap_add_to_page_cache"),
                program: "cache_add",
                hook: Some(Hook::CacheAdd),
            }],
            needs: FOLIO,
        }],
        cost: "who brought which file into the cache is unknown",
        optional: false,
        opt_in: None,
    },
    Signal {
        name: "cache delete",
        rungs: &[Rung {
            probes: &[Probe {
                attach: AttachPoint::TpBtf("mm_filemap_delete_from_page_cache"),
                program: "cache_delete",
                hook: Some(Hook::CacheDelete),
            }],
            needs: FOLIO,
        }],
        cost: "the fall of active_file and shmem stays unattributed",
        optional: false,
        opt_in: None,
    },
    Signal {
        name: "page fault",
        rungs: &[Rung {
            probes: &[Probe {
                attach: AttachPoint::TpBtf("mm_filemap_fault"),
                program: "fault",
                hook: Some(Hook::Fault),
            }],
            needs: &[],
        }],
        cost: "the task of an activation by a mapping is uncertain, unless the activating task is known",
        optional: true,
        opt_in: None,
    },
    Signal {
        name: "fault-around",
        rungs: &[Rung {
            probes: &[Probe {
                attach: AttachPoint::TpBtf("mm_filemap_map_pages"),
                program: "map_pages",
                hook: Some(Hook::MapPages),
            }],
            needs: &[],
        }],
        cost: "the last toucher of a mapped file may be missed",
        optional: true,
        opt_in: None,
    },
];
