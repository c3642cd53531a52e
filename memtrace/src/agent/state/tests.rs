use super::*;
use crate::{
    cgroup::RiskSample,
    input::{CgroupSample, MemoryEvents},
    model::risk::Horizon,
};

const MIB: u64 = 1 << 20;
const S: u64 = 1_000_000_000;
const POD: u64 = 10;
const APP: u64 = 11;
const UID: &str = "26822839-8c92-4c60-a921-ffc5991fa00f";

fn state(version: CgroupVersion) -> State {
    let mut state = State::new(version, 4096, Some(100 * MIB), false, None);
    let pod = format!("/kubepods/burstable/pod{UID}");
    state.born(POD, pod.clone());
    state.born(APP, format!("{pod}/{}", "ab".repeat(32)));
    state.counted();
    state
}

fn reading(id: u64, used: u64, kills: u64) -> Reading {
    let mut sample = CgroupSample {
        usage_bytes: Some(used),
        limit_bytes: Some(64 * MIB),
        swap_available_bytes: Some(0),
        events: MemoryEvents {
            oom_kill: Some(kills),
            ..MemoryEvents::default()
        },
        ..CgroupSample::default()
    };
    for key in [
        "active_file",
        "inactive_file",
        "file_dirty",
        "file_writeback",
    ] {
        sample.stat.set(key, 0);
    }
    let sample = RiskSample {
        cgroup: sample,
        min_bytes: 0,
    };
    Reading { id, sample }
}

fn node(kills: u64) -> NodeSample {
    NodeSample {
        oom_kills: Some(kills),
        ..NodeSample::default()
    }
}

/// Untold kills of the container over ten seconds, by whose counter showed them.
fn untold(version: CgroupVersion, pods: u64) -> Vec<(Counter, u64)> {
    let mut state = state(version);
    state.learn(0, &[reading(POD, MIB, 0), reading(APP, MIB, 0)], &node(5));
    let mut told = Vec::new();
    for second in 1..10 {
        let now = [reading(POD, MIB, pods), reading(APP, MIB, 2)];
        let found = state.learn(second * S, &now, &node(7));
        told.extend(found.iter().map(|untold| (untold.counter, untold.kills)));
    }
    assert_eq!(state.kills.node.untold, 2);
    told
}

#[test]
fn a_kill_that_nobody_told_of_is_the_innermost_cgroups() {
    // v2 counts it in all cgroups above as well, v1 in none of them.
    let expected = [(Counter::Cgroup(APP), 2)];
    assert_eq!(untold(CgroupVersion::V2, 2), expected);
    assert_eq!(untold(CgroupVersion::V1, 0), expected);
}

#[test]
fn a_kill_in_a_container_that_is_gone_shows_in_its_pod_on_v2() {
    let mut state = state(CgroupVersion::V2);
    state.learn(0, &[reading(POD, MIB, 0), reading(APP, MIB, 0)], &node(0));
    state.died(APP);
    state.counted();
    let mut told = Vec::new();
    for second in 1..10 {
        told.extend(state.learn(second * S, &[reading(POD, MIB, 1)], &node(1)));
    }
    let told: Vec<_> = told.iter().map(|untold| untold.counter).collect();
    assert_eq!(told, [Counter::Cgroup(POD)]);
}

#[test]
fn a_leak_shows_in_its_container_and_as_the_worst_of_its_kind() {
    let mut state = state(CgroupVersion::V2);
    for second in 0..50 {
        let now = [reading(POD, MIB, 0), reading(APP, (10 + second) * MIB, 0)];
        state.learn(second * S, &now, &node(0));
    }
    state.names().annotate(
        APP,
        &crate::identity::Annotations {
            namespace: "shop".to_owned(),
            pod: "web-0".to_owned(),
            container: Some("app".to_owned()),
        },
    );
    let snapshot = state.snapshot(50 * S, Health::default());
    let [container] = &snapshot.containers[..] else {
        panic!("{:?}", snapshot.containers);
    };
    assert_eq!(container.labels.container, "app");
    // 5 MiB are left, at 1 MiB a second.
    let risk = container.domain.risks[0].unwrap();
    assert_eq!((risk.score, risk.eta_seconds), (1.0, Some(5.0)));
    assert_eq!(
        container.domain.risks[1], None,
        "watched for too short a time"
    );
    let worst = |kind| {
        let found = snapshot.node.risks.iter().find(|(known, _)| *known == kind);
        found.unwrap().1.risks[0].map(|risk| risk.score)
    };
    assert_eq!((worst("container"), worst("pod")), (Some(1.0), Some(0.0)));
    assert_eq!(snapshot.health.unknown, 1);
    assert_eq!(Horizon::ALL.len(), container.domain.risks.len());
}
