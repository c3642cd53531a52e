//! Recorded kills, replayed at the pace they were recorded at.

use super::{node::Day, *};
use crate::bench::risk::workload::Workload;

/// The day of a node on which this workload is begun once.
fn once(library: &Library, name: &str) -> Day {
    let known = library.all().iter().find(|(one, _)| one.name == name);
    let (workload, recording) = known.unwrap();
    let mut dice = fastrand::Rng::with_seed(1);
    let booking = Booking {
        begins: 5,
        stretch: 1,
        lives: 1,
    };
    let is_kill = |one: &Workload| matches!(one.life, Life::Kill { .. });
    let node = Node {
        number: 0,
        tenants: vec![Tenant::new(
            workload,
            recording,
            (0, 0),
            &booking,
            &mut dice,
        )],
        with_baselines: false,
        has_kills: is_kill(workload),
        seconds: recording.length() + 60,
        dice,
    };
    let wanted = [
        "memtrace_container_oom_risk_ratio",
        "memtrace_pod_oom_risk_ratio",
    ];
    node.live(library, &wanted).unwrap()
}

/// The highest 15-minute risk that was scraped.
fn highest(day: &Day) -> f64 {
    let lines = day.scraped[0].text.lines();
    let values = lines.filter(|line| line.contains("horizon=\"15m\""));
    let value = |line: &str| line.split(' ').nth(1)?.parse::<f64>().ok();
    values.filter_map(value).fold(0.0, f64::max)
}

#[test]
fn recorded_leaks_are_told_before_their_kills() {
    let library = Library::open().unwrap();
    for name in ["leak-22s", "sidecar-pod"] {
        let day = once(&library, name);
        let [kill] = &day.kills[..] else {
            panic!("{name}: {:?}", day.kills);
        };
        assert!(kill.grew_s >= 20, "{kill:?}");
        assert!(kill.minute_lead_s.is_some_and(|lead| lead >= 3), "{kill:?}");
    }
    let slow = once(&library, "leak-17min");
    assert!(slow.kills[0].grew_s > 900, "{:?}", slow.kills);
    assert!(highest(&slow) > 0.8);
}

#[test]
fn recorded_services_that_nobody_kills_are_no_risk() {
    let library = Library::open().unwrap();
    for name in ["idle", "db-cache", "go-flat", "start-90s"] {
        let day = once(&library, name);
        assert!(day.kills.is_empty());
        assert!(highest(&day) < 0.8, "{name}: {}", highest(&day));
    }
}
