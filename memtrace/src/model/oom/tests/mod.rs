//! The model against tables, against a transcription of the kernel's own code, and against what
//! real kernels said.

mod choice;
mod kills;
mod prediction;
pub(crate) mod recordings;
mod transcription;

use std::sync::Arc;

use crate::input::{
    CgroupSample, CgroupVersion, OomCgroup, OomMemory, OomNode, OomSnapshot, OomTask, RssCounters,
    RssPages, TaskSource, Timestamp,
};

pub(super) const ROOT: u64 = 1;

/// `(rss, swap, page table bytes, oom_score_adj, totalpages, points)` of candidates of kills in a
/// 64 MiB cgroup on Linux 6.12.117: what the kernel's log and the hooks said of them.
const REAL: [(i64, i64, u64, i32, u64, i64); 5] = [
    (2185, 0, 49_152, 0, 16_384, 2197),
    (3184, 0, 61_440, -300, 16_384, -1601),
    (1493, 0, 49_152, 500, 16_384, 9505),
    (2454, 0, 57_344, 0, 16_384, 2468),
    (559, 0, 45_056, 0, 16_384, 570),
];

/// A process of so many anonymous pages.
pub(super) fn task(pid: u32, cgroup: u64, anon: i64, adj: i32) -> OomTask {
    OomTask {
        pid,
        comm: format!("p{pid}"),
        start_boottime_ns: u64::from(pid) * 1000,
        cgroup_id: Some(cgroup),
        memory: Some(pid),
        rss: RssPages {
            anon,
            ..RssPages::default()
        },
        unsynced: Some(RssPages::default()),
        oom_score_adj: adj,
        oom_skip: Some(false),
        vfork: Some(false),
        origin: Some(false),
        ..OomTask::default()
    }
}

/// A cgroup, with a limit in MiB or without.
pub(super) fn cgroup(id: u64, parent: Option<u64>, limit_mib: Option<u64>) -> OomCgroup {
    OomCgroup {
        id,
        parent_id: parent,
        path: match id {
            ROOT => "/".to_owned(),
            id => format!("/c{id}"),
        },
        oom_group: Some(false),
        procs: Some(Vec::new()),
        memory: Some(Arc::new(OomMemory {
            sample: CgroupSample {
                usage_bytes: Some(32 << 20),
                limit_bytes: limit_mib.map(|mib| mib << 20),
                swap_available_bytes: Some(0),
                ..CgroupSample::default()
            },
            ..OomMemory::default()
        })),
    }
}

/// v2, atomic counters, a machine of 1 GiB without swap; asked about `target`.
pub(super) fn snapshot(target: u64, cgroups: Vec<OomCgroup>, tasks: Vec<OomTask>) -> OomSnapshot {
    OomSnapshot {
        time: Timestamp {
            unix_ns: 0,
            monotonic_ns: 0,
        },
        done_ns: None,
        memtrace_version: "0".into(),
        kernel_release: "test".into(),
        page_size_bytes: 4096,
        cgroup_version: CgroupVersion::V2,
        rss_counters: RssCounters::Atomic,
        target: None,
        target_cgroup_id: target,
        stock_pages: Some(128),
        source: TaskSource::Iterator,
        source_reason: None,
        node: OomNode {
            total_bytes: 1 << 30,
            available_bytes: Some(1 << 29),
            swappiness: Some(60),
            ..OomNode::default()
        },
        cgroups,
        tasks,
    }
}
