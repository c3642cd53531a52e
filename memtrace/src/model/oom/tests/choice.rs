//! Who is chosen, and who dies along, case by case.

use std::sync::Arc;

use super::{ROOT, cgroup, snapshot, task};
use crate::{
    input::{
        CgroupVersion, OomCgroup, OomMemory, OomNode, OomSnapshot, OomTask, RssCounters, RssPages,
    },
    model::oom::{
        Confidence, Outcome, Why, badness::badness, eligible::Ineligible, predict, totalpages,
    },
};

fn one_domain(tasks: Vec<OomTask>) -> OomSnapshot {
    snapshot(
        2,
        vec![cgroup(ROOT, None, None), cgroup(2, Some(ROOT), Some(64))],
        tasks,
    )
}

/// The victim of the first domain.
fn victim(snapshot: &OomSnapshot) -> Option<u32> {
    let prediction = predict(None, snapshot);
    let domain = &prediction.domains[0];
    match domain.now.outcome {
        Outcome::Kill(index) => Some(domain.candidates[index].task.pid),
        _ => None,
    }
}

#[test]
fn what_kernels_said_of_their_victims() {
    for (rss, swap, pagetable_bytes, adj, totalpages, points) in super::REAL {
        let task = OomTask {
            rss: RssPages {
                anon: rss,
                swap,
                ..RssPages::default()
            },
            pagetable_bytes,
            ..task(7, 2, 0, adj)
        };
        let ours = badness(&task, totalpages, RssCounters::Atomic, 4096);
        assert_eq!(ours.points, points);
    }
}

#[test]
fn adj_counts_whole_steps_of_a_thousandth() {
    // 16384 / 1000 is 16, not 16.384; below 1000 pages a step is nothing.
    let points = |adj, totalpages| {
        let task = task(7, 2, 100, adj);
        badness(&task, totalpages, RssCounters::Atomic, 4096).points
    };
    assert_eq!(points(500, 16_384), 100 + 500 * 16);
    assert_eq!(points(-500, 16_384), 100 - 500 * 16);
    assert_eq!(points(1000, 999), 100);
    assert_eq!(points(-999, 262_144), 100 - 999 * 262);
}

#[test]
fn counters_below_zero_count_as_zero_one_by_one() {
    let odd = OomTask {
        rss: RssPages {
            file: -5,
            anon: 10,
            shmem: 0,
            swap: -1,
        },
        unsynced: Some(RssPages {
            file: 7,
            anon: 3,
            shmem: 0,
            swap: 0,
        }),
        ..task(7, 2, 0, 0)
    };
    let points = |counters| {
        let terms = badness(&odd, 16_384, counters, 4096);
        (terms.points, terms.error_pages)
    };
    assert_eq!(points(RssCounters::Atomic), (10, 0));
    assert_eq!(points(RssCounters::PerCpu { lag_pages: 64 }), (10, 5));
    assert_eq!(points(RssCounters::Summed), (15, 0));
}

#[test]
fn the_last_of_equals_is_chosen() {
    let tasks = vec![task(7, 2, 100, 0), task(8, 2, 100, 0), task(6, 2, 100, 0)];
    let mut snapshot = one_domain(tasks);
    // Unlisted: in the order they started.
    assert_eq!(victim(&snapshot), Some(8));
    snapshot.cgroups[1].procs = Some(vec![8, 6, 7]);
    assert_eq!(victim(&snapshot), Some(7));
    let prediction = predict(None, &snapshot);
    let now = &prediction.domains[0].now;
    assert_eq!((now.confidence, now.tied.len()), (Some(Confidence::Tie), 2));
    assert_eq!(now.margin_points, Some(0));
    // On the whole machine it is the youngest.
    let node = prediction.domains.last().unwrap();
    let Outcome::Kill(index) = node.now.outcome else {
        panic!("{:?}", node.now);
    };
    assert_eq!(node.candidates[index].task.pid, 8);
}

#[test]
fn cgroups_are_scanned_parents_first_then_in_the_order_of_their_making() {
    let cgroups = vec![
        cgroup(ROOT, None, None),
        cgroup(2, Some(ROOT), Some(64)),
        cgroup(5, Some(2), None),
        cgroup(3, Some(2), None),
        cgroup(9, Some(3), None),
    ];
    let tasks = vec![
        task(10, 5, 100, 0),
        task(11, 9, 100, 0),
        task(12, 2, 100, 0),
        task(13, 3, 100, 0),
    ];
    let snapshot = snapshot(2, cgroups, tasks);
    let prediction = predict(None, &snapshot);
    let order: Vec<u32> = prediction.domains[0]
        .candidates
        .iter()
        .map(|candidate| candidate.task.pid)
        .collect();
    assert_eq!(order, [12, 13, 11, 10]);
    assert_eq!(victim(&snapshot), Some(10));
}

#[test]
fn each_reason_for_being_passed_over() {
    let base = task(7, 2, 9_999, 0);
    let cases = [
        (
            OomTask {
                pid: 1,
                ..base.clone()
            },
            Ineligible::Init,
        ),
        (
            OomTask {
                kernel_thread: true,
                ..base.clone()
            },
            Ineligible::KernelThread,
        ),
        (
            OomTask {
                no_memory: true,
                ..base.clone()
            },
            Ineligible::NoMemory,
        ),
        (
            OomTask {
                oom_score_adj: -1000,
                ..base.clone()
            },
            Ineligible::AdjMin,
        ),
        (
            OomTask {
                oom_skip: Some(true),
                ..base.clone()
            },
            Ineligible::OomSkip,
        ),
        (
            OomTask {
                vfork: Some(true),
                ..base.clone()
            },
            Ineligible::Vfork,
        ),
        (
            OomTask {
                victim: Some(true),
                ..base.clone()
            },
            Ineligible::ReapedVictim,
        ),
    ];
    for (passed_over, reason) in cases {
        let snapshot = one_domain(vec![passed_over, task(8, 2, 1, -999)]);
        let prediction = predict(None, &snapshot);
        let domain = &prediction.domains[0];
        assert_eq!(domain.candidates[0].ineligible, Some(reason));
        assert_eq!(victim(&snapshot), Some(8), "{reason:?}");
        let biggest = domain.not_the_biggest.as_ref().unwrap();
        assert_eq!(biggest.because, reason.words());
    }
}

#[test]
fn a_dying_victim_ends_the_scan_and_an_origin_goes_first() {
    let dying = OomTask {
        victim: Some(false),
        ..task(7, 2, 1, 0)
    };
    let snapshot = one_domain(vec![task(6, 2, 500, 0), dying]);
    let prediction = predict(None, &snapshot);
    assert_eq!(prediction.domains[0].now.outcome, Outcome::WaitForDying(1));
    let origin = OomTask {
        origin: Some(true),
        ..task(7, 2, 1, -1000)
    };
    let snapshot = one_domain(vec![origin, task(8, 2, 500, 1000)]);
    assert_eq!(victim(&snapshot), Some(7));
}

#[test]
fn nobody_panic_the_trigger_and_waiting() {
    let outcome = |snapshot: &OomSnapshot, domain: usize| {
        predict(None, snapshot).domains[domain].now.outcome.clone()
    };
    let mut snapshot = one_domain(vec![task(7, 2, 1, -1000)]);
    assert_eq!(outcome(&snapshot, 0), Outcome::Nobody);
    snapshot.node.panic_on_oom = Some(1);
    assert_eq!(outcome(&snapshot, 0), Outcome::Nobody);
    assert_eq!(outcome(&snapshot, 1), Outcome::Panic);
    snapshot.node.panic_on_oom = Some(2);
    assert_eq!(outcome(&snapshot, 0), Outcome::Panic);
    snapshot.node.panic_on_oom = Some(0);
    snapshot.node.kill_allocating_task = Some(true);
    assert_eq!(outcome(&snapshot, 0), Outcome::Nobody);
    assert_eq!(outcome(&snapshot, 1), Outcome::KillTrigger);
    Arc::make_mut(snapshot.cgroups[1].memory.as_mut().unwrap()).kill_disabled = true;
    assert_eq!(outcome(&snapshot, 0), Outcome::TasksWait);
}

#[test]
fn who_dies_along() {
    let mut cgroups = vec![
        cgroup(ROOT, None, None),
        cgroup(2, Some(ROOT), Some(64)),
        cgroup(3, Some(2), None),
        cgroup(4, Some(3), None),
        cgroup(5, Some(ROOT), None),
    ];
    cgroups[2].oom_group = Some(true);
    let shares = |pid, cgroup, adj| OomTask {
        memory: Some(10),
        ..task(pid, cgroup, 900, adj)
    };
    let tasks = vec![
        task(10, 4, 900, 0),
        shares(20, 5, -1000),
        task(11, 3, 5, 0),
        task(12, 4, 5, -1000),
        task(13, 2, 5, 0),
        OomTask {
            no_memory: true,
            ..task(14, 4, 0, 0)
        },
    ];
    let mut snapshot = snapshot(2, cgroups, tasks);
    let along = |snapshot: &OomSnapshot| -> Vec<(u32, Why)> {
        let prediction = predict(None, snapshot);
        let dead = prediction.domains[0].also_killed.iter();
        dead.map(|dead| (dead.pid, dead.why.clone())).collect()
    };
    let group = Why::Group("/c3".into());
    assert_eq!(along(&snapshot), [(20, Why::SharesMemory(10)), (11, group)]);
    // Set on the domain too: the highest one counts.
    snapshot.cgroups[1].oom_group = Some(true);
    let top = Why::Group("/c2".into());
    assert_eq!(
        along(&snapshot),
        [(20, Why::SharesMemory(10)), (11, top.clone()), (13, top)]
    );
    // v1 has no groups.
    snapshot.cgroup_version = CgroupVersion::V1;
    assert_eq!(along(&snapshot), [(20, Why::SharesMemory(10))]);
}

#[test]
fn totalpages_as_mem_cgroup_get_max_has_it() {
    use CgroupVersion::{V1, V2};
    let mib = |pages: u64| pages << 8;
    // (version, limit, swap limit, machine's swap, machine's and own swappiness) in MiB -> MiB
    for (version, limit, swap_limit, swap, swappiness, expected) in [
        (V2, 64, None, 0, [60, 0], 64),
        (V2, 64, None, 100, [60, 0], 164),
        (V2, 64, Some(30), 100, [60, 0], 94),
        (V2, 64, Some(0), 100, [60, 60], 64),
        (V2, 64, None, 100, [0, 60], 64),
        (V1, 64, None, 100, [0, 60], 164),
        (V1, 64, Some(80), 100, [0, 60], 80),
        (V1, 64, Some(64), 100, [60, 60], 64),
        (V1, 64, Some(300), 100, [60, 60], 164),
        (V1, 64, None, 100, [60, 0], 64),
    ] {
        let OomCgroup { memory, .. } = cgroup(2, None, Some(limit));
        let memory = OomMemory {
            swap_limit_bytes: swap_limit.map(|mib: u64| mib << 20),
            swappiness: Some(swappiness[1]),
            ..*memory.unwrap()
        };
        let node = OomNode {
            swap_total_bytes: swap << 20,
            swappiness: Some(swappiness[0]),
            ..OomNode::default()
        };
        assert_eq!(
            totalpages::of_cgroup(&memory, &node, version, 4096),
            Some(mib(expected)),
            "{version:?} {limit} {swap_limit:?} {swap} {swappiness:?}"
        );
    }
    let node = OomNode {
        total_bytes: 1_000 << 20,
        swap_total_bytes: 24 << 20,
        ..OomNode::default()
    };
    assert_eq!(totalpages::of_node(&node, 4096), mib(1024));
}
