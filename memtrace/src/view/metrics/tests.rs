use std::collections::BTreeSet;

use super::*;
use crate::{
    agent::{
        ContainerView, DomainRisk, ExportHealth, Health, HookView, Labels, NodeKills, NodeView,
        PodView, UnitView,
    },
    input::MemoryStat,
    model::risk::{Risk, Room},
};

fn risk() -> DomainRisk {
    let risk = Risk {
        score: 0.75,
        fill: 0.5,
        thrash: Some(0.5),
        growth_bytes_per_second: 1.0,
        eta_seconds: Some(90.0),
    };
    DomainRisk {
        room: Some(Room {
            pinned_bytes: 5,
            unwritten_bytes: 0,
            headroom_bytes: 7,
        }),
        risks: [Some(risk); 2],
        peaks: [Some(1.0); 2],
    }
}

fn labels(container: &str) -> Labels {
    Labels {
        namespace: "shop".to_owned(),
        pod: "web-0".to_owned(),
        container: container.to_owned(),
    }
}

/// Everything known.
pub(crate) fn whole(containers: usize, full: bool) -> Arc<Snapshot> {
    let mut stat = MemoryStat::default();
    for part in crate::model::oom::PARTS
        .iter()
        .chain(&["active_file", "inactive_file"])
    {
        assert!(stat.set(part, 4096), "{part}");
    }
    let names: Vec<_> = (0..containers)
        .map(|number| labels(&format!("c{number}")))
        .collect();
    Arc::new(Snapshot {
        time_ns: 0,
        containers: names
            .iter()
            .map(|labels| ContainerView {
                labels: labels.clone(),
                cgroup_id: 1,
                unreclaimable_bytes: Some(5),
                domain: risk(),
                stall_seconds: Some(0.5),
                refault_bytes: Some(4096),
                stat: Some(Box::new(stat)),
            })
            .collect(),
        pods: vec![PodView {
            labels: labels(""),
            cgroup_id: 2,
            domain: risk(),
        }],
        units: vec![UnitView {
            unit: "a.service".to_owned(),
            cgroup_id: 3,
            domain: risk(),
        }],
        kills: names
            .iter()
            .map(|labels| (labels.clone(), [1, 2, 3, 4]))
            .collect(),
        node_kills: NodeKills {
            by_owner: [1, 2, 3, 4],
            foretold: [5, 6, 7, 8],
            untold: 9,
        },
        node: NodeView {
            risks: vec![("node", risk()), ("eviction", risk())],
            eviction_headroom_bytes: Some(1),
            predicted_victim: Some(labels("app")),
        },
        health: Health {
            hooks: vec![HookView {
                signal: "OOM kill".to_owned(),
                up: false,
            }],
            lost: vec![("ring_full", 2)],
            export: Some(ExportHealth::default()),
            ..Health::default()
        },
        full,
    })
}

/// Names of all families.
fn families(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|rest| {
            let (name, kind) = rest.split_once(' ').unwrap();
            match kind {
                "counter" => format!("{name}_total"),
                _ => name.to_owned(),
            }
        })
        .collect()
}

#[test]
fn every_metric_of_the_document_is_served_and_no_other() {
    let document = include_str!("../../../../docs/METRICS.md");
    let rows = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `memtrace_"));
    let documented: BTreeSet<_> = rows
        .map(|rest| format!("memtrace_{}", rest.split('`').next().unwrap()))
        .collect();
    let served = families(&render(&whole(1, true)).unwrap());
    assert_eq!(served, documented);
    // Each of them has a row when everything is known.
    let text = render(&whole(1, true)).unwrap();
    for family in served {
        assert!(
            text.contains(&format!("\n{family}{{")) || text.contains(&format!("\n{family} ")),
            "{family}"
        );
    }
}

#[test]
fn series_of_a_container_are_few() {
    let count = |full| {
        let text = render(&whole(200, full)).unwrap();
        let series = text
            .lines()
            .filter(|line| line.starts_with("memtrace_container_"));
        let (count, rest) = (series.count(), text.lines().last());
        assert_eq!(rest, Some("# EOF"));
        count
    };
    assert_eq!(count(false), 200 * 12);
    assert!(count(true) <= 200 * 40, "{}", count(true));
}

#[test]
fn labels_never_say_more_than_who() {
    let text = render(&whole(1, true)).unwrap();
    let allowed = [
        "namespace",
        "pod",
        "container",
        "unit",
        "horizon",
        "limit_owner",
        "part",
        "domain",
        "outcome",
        "signal",
        "kind",
        "reason",
        "version",
    ];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((_, rest)) = line.split_once('{') else {
            continue;
        };
        for pair in rest
            .split_once('}')
            .unwrap()
            .0
            .split(',')
            .filter(|pair| !pair.is_empty())
        {
            let name = pair.split('=').next().unwrap();
            assert!(allowed.contains(&name), "{line}");
        }
    }
    let name = Labels {
        pod: "a\"b\\c\nd".to_owned(),
        ..labels("x")
    };
    let mut odd = Snapshot::clone(&whole(0, false));
    odd.kills = vec![(name, [0; 4])];
    let text = render(&Arc::new(odd)).unwrap();
    assert!(text.contains(r#"pod="a\"b\\c\nd""#), "{text}");
}

#[test]
fn what_is_unknown_has_no_series() {
    let mut unknown = Snapshot::clone(&whole(1, true));
    unknown.containers[0] = ContainerView {
        unreclaimable_bytes: None,
        domain: DomainRisk::default(),
        stall_seconds: None,
        refault_bytes: None,
        stat: Some(Box::default()),
        ..unknown.containers[0].clone()
    };
    let text = render(&Arc::new(unknown)).unwrap();
    let series = text
        .lines()
        .filter(|line| line.starts_with("memtrace_container_"));
    assert_eq!(series.count(), 3);
}

#[test]
fn the_older_format_has_the_same_series() {
    let openmetrics = render(&whole(2, true)).unwrap();
    let older = classic::of(&openmetrics);
    let series = |text: &str| {
        let series = text.lines().filter(|line| !line.starts_with('#'));
        series.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(series(&older), series(&openmetrics));
    assert!(older.contains("# TYPE memtrace_container_oom_kills_total counter\n"));
    assert!(!older.contains("# UNIT") && !older.contains("# EOF"));
}
