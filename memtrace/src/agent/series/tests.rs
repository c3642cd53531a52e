use super::*;
use crate::{
    cgroup::RiskSample,
    input::{CgroupVersion, MemoryEvents, OomNode},
    model::past::Question,
    store::{History, past},
};

const MIB: u64 = 1 << 20;
/// The start of a minute.
const START: u64 = 1_795_219_200_000;

fn reading(id: u64, used: u64, kills: u64) -> Reading {
    let mut cgroup = CgroupSample {
        usage_bytes: Some(used),
        limit_bytes: Some(64 * MIB),
        events: MemoryEvents {
            oom_kill: Some(kills),
            ..MemoryEvents::default()
        },
        ..CgroupSample::default()
    };
    cgroup.stat.set("anon", used);
    cgroup.stat.set("inactive_file", 0);
    let sample = RiskSample {
        cgroup,
        min_bytes: 0,
    };
    Reading { id, sample }
}

struct Scene {
    state: State,
    recorder: Recorder,
    history: History,
    minutes: usize,
}

impl Scene {
    fn new() -> Self {
        let history = History::in_memory(1 << 20).unwrap();
        Self {
            state: State::new(CgroupVersion::V2, 4_096, None, false, None),
            recorder: Recorder::new(1),
            history,
            minutes: 0,
        }
    }

    fn born(&mut self, id: u64, path: &str) {
        self.state.born(id, path.to_owned());
        self.recorder.born(id);
    }

    fn tick(&mut self, second: u64, readings: &[Reading]) {
        let node = NodeSample {
            memory: OomNode {
                total_bytes: 4_096 * MIB,
                available_bytes: Some(1_000 * MIB),
                ..OomNode::default()
            },
            ..NodeSample::default()
        };
        self.state.learn(second * 1_000_000_000, readings, &node);
        let now = Instant(START + second * 1_000);
        let minute = self.recorder.learn(now, readings, &node, &self.state);
        self.keep(minute);
    }

    fn keep(&mut self, minute: Option<Minute>) {
        if let Some(minute) = minute {
            self.minutes += 1;
            self.history.keep_minute(&minute, u64::MAX).unwrap();
        }
    }

    fn end(&mut self) {
        let minute = self.recorder.end(&self.state);
        self.keep(minute);
    }

    fn ask(&self, target: &str) -> crate::model::past::Past {
        let question = Question {
            target: target.to_owned(),
            since: Instant(START),
            until: Instant(START + 600_000),
        };
        past(&self.history, &question, 4_096).unwrap().unwrap()
    }
}

fn subjects(history: &History) -> usize {
    let mut count = 0;
    history.each_subject(|_, _| count += 1).unwrap();
    count
}

#[test]
fn a_row_a_minute_and_deltas_of_counters() {
    let mut scene = Scene::new();
    scene.born(7, "/jobs/a");
    for second in 0..150 {
        // There were kills before the agent; two more came in the second minute.
        let kills = if second < 90 { 40 } else { 42 };
        scene.tick(second, &[reading(7, (second + 1) * MIB, kills)]);
    }
    assert_eq!(scene.minutes, 2);
    scene.end();
    let past = scene.ask("/jobs/a");
    let [of] = &past.of[..] else {
        panic!("{past:?}");
    };
    assert_eq!((of.samples, of.kills), (150, Some(2)));
    let usage = of.usage.unwrap();
    assert_eq!(
        (usage.start_bytes, usage.end_bytes),
        (MIB as i64, 150 * MIB as i64)
    );
    assert_eq!(of.unexplained_bytes, Some(0));
    assert!(!of.who.gone);
    let machine = past.machine.unwrap();
    assert_eq!(machine.headroom.unwrap().least_bytes, 1_000 * MIB as i64);
    // From the last sample on nothing is known.
    assert_eq!(past.gaps.len(), 1);
}

#[test]
fn who_is_gone_is_still_there_with_its_last_row() {
    let mut scene = Scene::new();
    scene.tick(0, &[]);
    scene.born(7, "/jobs/a");
    scene.tick(10, &[reading(7, 5 * MIB, 1)]);
    scene.tick(11, &[reading(7, 60 * MIB, 3)]);
    scene.state.died(7);
    scene.recorder.died(7);
    scene.recorder.died(7);
    for second in 12..70 {
        scene.tick(second, &[]);
    }
    scene.end();
    let past = scene.ask("/jobs/a");
    let of = &past.of[0];
    assert!(of.who.gone);
    assert_eq!(of.who.ended, Some(Instant(START + 11_000)));
    // Born under the agent's eyes, its counters began with 0.
    assert_eq!((of.samples, of.kills), (2, Some(3)));
    assert_eq!(of.usage.unwrap().most_bytes, 60 * MIB as i64);
}

#[test]
fn a_sleep_and_a_clock_set_back_are_gaps_and_no_rows() {
    let mut scene = Scene::new();
    scene.born(7, "/jobs/a");
    for second in [0, 1, 2, 200, 201, 190, 191] {
        scene.tick(second, &[reading(7, MIB, 0)]);
    }
    scene.end();
    assert_eq!(scene.minutes, 3);
    let past = scene.ask("/jobs/a");
    assert_eq!(past.of[0].samples, 7);
    let gaps: Vec<_> = past
        .gaps
        .iter()
        .map(|gap| [gap.from, gap.until].map(|at| (at.0 - START) / 1_000))
        .collect();
    assert_eq!(gaps, [[2, 190], [191, 200], [201, 600]]);
}

#[test]
fn cgroups_that_come_and_go_by_the_thousand_are_bounded() {
    let mut scene = Scene::new();
    for second in 0..50 {
        let ids = second * 100..(second + 1) * 100;
        for id in ids.clone() {
            scene.born(id + 10, &format!("/jobs/{id}"));
        }
        let readings: Vec<_> = ids.clone().map(|id| reading(id + 10, MIB, 0)).collect();
        scene.tick(second, &readings);
        for id in ids {
            scene.state.died(id + 10);
            scene.recorder.died(id + 10);
        }
        assert!(scene.recorder.slots.len() <= MAX_GONE + 200);
        assert!(scene.recorder.newborn.is_empty());
    }
    scene.end();
    assert!(scene.minutes > 3);
    assert_eq!(subjects(&scene.history), 5_000);
    assert_eq!(scene.ask("/jobs/17").of.len(), 1);
}

#[test]
fn a_name_that_comes_late_is_told() {
    let mut scene = Scene::new();
    let id = "ab".repeat(32);
    let uid = "26822839-8c92-4c60-a921-ffc5991fa00f";
    scene.born(7, &format!("/kubepods/burstable/pod{uid}/{id}"));
    for second in 0..130 {
        if second == 80 {
            let found = crate::identity::Annotations {
                namespace: "shop".to_owned(),
                pod: "web-0".to_owned(),
                container: Some("app".to_owned()),
            };
            scene.state.names().annotate(7, &found);
        }
        scene.tick(second, &[reading(7, MIB, 0)]);
    }
    let past = scene.ask("shop/web-0/app");
    assert_eq!(past.of.len(), 1);
    // Two minutes of one series: its name is of both.
    assert_eq!(past.of[0].samples, 120);
    assert_eq!(scene.ask(&id[..12]).of[0].who.short(), "shop/web-0/app");
}
