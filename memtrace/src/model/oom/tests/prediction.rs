//! Domains, growth, confidence and advice.

use std::sync::Arc;

use super::{ROOT, cgroup, snapshot, task};
use crate::{
    input::{OomSnapshot, RssCounters, RssPages, TaskSource},
    model::oom::{Confidence, DomainForecast, DomainKind, Outcome, predict},
};

fn nested(tasks: Vec<crate::input::OomTask>) -> OomSnapshot {
    snapshot(
        3,
        vec![
            cgroup(ROOT, None, None),
            cgroup(2, Some(ROOT), Some(256)),
            cgroup(3, Some(2), Some(64)),
            cgroup(4, Some(3), None),
            cgroup(5, Some(4), Some(16)),
            cgroup(6, Some(2), Some(8)),
        ],
        tasks,
    )
}

fn victim(domain: &DomainForecast<'_>) -> Option<u32> {
    match domain.now.outcome {
        Outcome::Kill(index) => Some(domain.candidates[index].task.pid),
        _ => None,
    }
}

#[test]
fn every_limit_around_the_target_is_a_domain_with_a_victim_of_its_own() {
    // adj weighs 4 pages a step in 16 MiB, 16 in 64, 65 in 256, 262 on the node.
    let snapshot = nested(vec![
        task(10, 5, 300, 50),
        task(11, 4, 900, 0),
        task(12, 6, 3_000, 0),
        task(13, 2, 100, 60),
    ]);
    let prediction = predict(None, &snapshot);
    let found: Vec<_> = prediction
        .domains
        .iter()
        .map(|domain| (domain.kind, domain.cgroup, victim(domain)))
        .collect();
    assert_eq!(
        found,
        [
            (DomainKind::Own, Some("/c3"), Some(10)),
            (DomainKind::Below, Some("/c5"), Some(10)),
            (DomainKind::Ancestor, Some("/c2"), Some(13)),
            (DomainKind::Node, None, Some(13)),
        ]
    );
    let own = &prediction.domains[0];
    assert_eq!(own.now.points, Some(300 + 50 * 16));
    assert_eq!(own.now.margin_points, Some(200));
    assert_eq!(own.now.confidence, Some(Confidence::Certain));
    let biggest = own.not_the_biggest.as_ref().unwrap();
    assert_eq!((biggest.pid, biggest.memory_pages), (11, 900));
    // 300 + 16 * 37 = 892 is less than 900, 16 * 38 is more.
    let changes: Vec<_> = own
        .adj_changes
        .iter()
        .map(|change| (change.pid, change.from, change.to))
        .collect();
    // The runner-up comes first in the scan, so it must have more: 900 + 16 * 13 > 1100.
    assert_eq!(changes, [(10, 50, 37), (11, 0, 13)]);
}

#[test]
fn the_only_process_can_be_spared_by_forbidding_it_only() {
    let snapshot = nested(vec![task(10, 5, 300, 0)]);
    let prediction = predict(None, &snapshot);
    let own = &prediction.domains[0];
    assert_eq!(own.now.margin_points, None);
    let [change] = &own.adj_changes[..] else {
        panic!("{:?}", own.adj_changes);
    };
    assert_eq!((change.to, change.then.as_ref()), (-1000, None));
}

#[test]
fn a_lead_within_the_counters_error_is_not_certain() {
    let mut ahead = task(10, 3, 320, 0);
    ahead.unsynced = Some(RssPages {
        anon: -30,
        ..RssPages::default()
    });
    let mut snapshot = nested(vec![task(11, 3, 300, 0), ahead]);
    snapshot.rss_counters = RssCounters::PerCpu { lag_pages: 128 };
    let confidence = |snapshot: &OomSnapshot| {
        let domain = &predict(None, snapshot).domains[0];
        (victim(domain), domain.now.confidence)
    };
    assert_eq!(confidence(&snapshot), (Some(10), Some(Confidence::Likely)));
    snapshot.rss_counters = RssCounters::Summed;
    assert_eq!(confidence(&snapshot), (Some(11), Some(Confidence::Certain)));
    snapshot.rss_counters = RssCounters::Atomic;
    assert_eq!(confidence(&snapshot), (Some(10), Some(Confidence::Certain)));
    snapshot.source = TaskSource::Proc;
    assert_eq!(confidence(&snapshot), (Some(10), Some(Confidence::Likely)));
}

#[test]
fn a_choice_is_settled_when_the_room_left_is_less_than_the_margin() {
    // 64 MiB, of which 32 are left: 8,192 pages, and 128 of the stock.
    let settled = |file: i64, pages: i64, stock: Option<u64>| {
        let mut ahead = task(10, 3, pages - file, 0);
        ahead.rss.file = file;
        let mut snapshot = nested(vec![ahead, task(11, 3, 300, 0)]);
        snapshot.stock_pages = stock;
        predict(None, &snapshot).domains[0].settled
    };
    assert!(settled(0, 300 + 8_320 + 1, Some(128)));
    assert!(!settled(0, 300 + 8_320, Some(128)));
    assert!(!settled(1, 300 + 8_320 + 1, Some(128)), "may be reclaimed");
    assert!(!settled(0, 20_000, None), "unknown");
}

#[test]
fn a_leaker_overtakes_before_the_limit() {
    let at = |seconds: u64, leaker: i64, usage_mib: u64| {
        let mut snapshot = nested(vec![task(10, 3, 5_000, 0), task(11, 3, leaker, 0)]);
        snapshot.time.monotonic_ns = seconds * 1_000_000_000;
        let memory = snapshot.cgroups[2].memory.as_mut().unwrap();
        Arc::make_mut(memory).sample.usage_bytes = Some(usage_mib << 20);
        snapshot
    };
    // 256 pages, 1 MiB, in a second; 43 MiB are left.
    let (earlier, later) = (at(1, 0, 20), at(2, 256, 21));
    let prediction = predict(Some(&earlier), &later);
    let own = &prediction.domains[0];
    assert_eq!(victim(own), Some(10));
    let at_limit = own.at_limit.as_ref().unwrap();
    let Outcome::Kill(index) = at_limit.outcome else {
        panic!("{at_limit:?}");
    };
    assert_eq!(own.candidates[index].task.pid, 11);
    assert_eq!(at_limit.points, Some(256 + 43 * 256));
    assert_eq!(at_limit.confidence, Some(Confidence::Likely));
    let risk = own.risk.unwrap();
    assert_eq!(risk.eta_seconds, Some(43.0));
    assert_eq!((risk.fill, risk.thrash), (1.0, None));
    // Nothing grows: the answer is that of now, and none is invented.
    let (earlier, later) = (at(1, 256, 43), at(2, 256, 43));
    let prediction = predict(Some(&earlier), &later);
    assert_eq!(prediction.domains[0].at_limit, None);
    assert_eq!(prediction.domains[0].risk.unwrap().score, 0.0);
}

#[test]
fn clean_cache_and_free_swap_are_room() {
    let mut earlier = nested(vec![task(10, 3, 100, 0)]);
    let mut later = nested(vec![task(10, 3, 200, 0)]);
    later.time.monotonic_ns = 1_000_000_000;
    for (snapshot, usage) in [(&mut earlier, 60u64), (&mut later, 60)] {
        let sample = &mut Arc::make_mut(snapshot.cgroups[2].memory.as_mut().unwrap()).sample;
        sample.usage_bytes = Some(usage << 20);
        sample.swap_available_bytes = Some(5 << 20);
        sample.stat.active_file = Some(20 << 20);
        sample.stat.inactive_file = Some(10 << 20);
        sample.stat.file_dirty = Some(4 << 20);
        sample.stat.slab_reclaimable = Some(2 << 20);
    }
    let prediction = predict(Some(&earlier), &later);
    let room = prediction.domains[0].fill.as_ref().unwrap().room;
    // 60 - (30 - 4) - 1 are pinned; 64 - 33 + 5 are left.
    assert_eq!(room.pinned_bytes, 33 << 20);
    assert_eq!(room.headroom_bytes, 36 << 20);
}

#[test]
fn what_cannot_be_known_is_said() {
    let mut snapshot = nested(Vec::new());
    assert!(predict(None, &snapshot).caveats.is_empty());
    snapshot.source = TaskSource::Proc;
    snapshot.source_reason = Some("EPERM".into());
    snapshot.node.memory_nodes = Some(2);
    let caveats = predict(None, &snapshot).caveats;
    assert!(caveats[0].contains("/proc (EPERM)") && caveats[1].contains("2 memory nodes"));
    // No cgroup with a limit, no process: the node alone, and nobody to kill.
    let bare = super::snapshot(ROOT, vec![cgroup(ROOT, None, None)], Vec::new());
    let prediction = predict(None, &bare);
    assert_eq!(prediction.domains.len(), 1);
    assert_eq!(prediction.domains[0].now.outcome, Outcome::Nobody);
}
