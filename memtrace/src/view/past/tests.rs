use super::*;
use crate::model::past::{
    Course, Gap, LimitChange, PartCourse, PastKill, Reclaimed, Stalls, Subject,
};

const MIB: i64 = 1 << 20;

fn clock(at: Instant) -> String {
    at.rfc3339().replace('T', " ").chars().take(19).collect()
}

fn course(start: i64, most: i64, end: i64) -> Option<Course> {
    Some(Course {
        start_bytes: start * MIB,
        least_bytes: start.min(end) * MIB,
        least_at: Instant(60_000),
        most_bytes: most * MIB,
        most_at: Instant(780_000),
        end_bytes: end * MIB,
    })
}

fn part(name: &str, group: &str, start: i64, end: i64) -> PartCourse {
    PartCourse {
        name: name.to_owned(),
        group: group.to_owned(),
        course: course(start, end.max(start), end).unwrap(),
    }
}

fn night() -> Past {
    let risk = RiskPeak {
        horizon_seconds: 900.0,
        highest: 1.0,
        highest_at: Instant(720_000),
        last: 0.25,
    };
    let app = PastOf {
        who: Subject {
            cgroup: "/kubepods/burstable/pod26822839/ab12".to_owned(),
            cgroup_id: 7,
            namespace: Some("shop".to_owned()),
            pod: Some("web-0".to_owned()),
            container: Some("app".to_owned()),
            restarts: Some(2),
            gone: true,
            ended: Some(Instant(842_000)),
            ..Subject::default()
        },
        from: Instant(0),
        until: Instant(842_000),
        samples: 842,
        working_set: course(188, 1_000, 640),
        unexplained_bytes: Some(-100_000),
        parts: vec![
            part("active_file", "file", 20, 40),
            part("file_other", "file", 0, 0),
            part("anon", "anon", 160, 590),
            part("slab_unreclaimable", "kernel", 8, 10),
        ],
        usage: course(300, 1_024, 700),
        unreclaimable: course(170, 980, 600),
        headroom: course(854, 854, 44),
        limit_bytes: Some(1_024 * MIB),
        limit_changes: vec![LimitChange {
            at: Instant(300_000),
            before_bytes: Some(2_048 * MIB),
            after_bytes: Some(1_024 * MIB),
        }],
        reclaim: Some(Reclaimed {
            scanned_bytes: 1_200 << 20,
            reclaimed_bytes: 300 << 20,
        }),
        refault_file_bytes: Some(64 << 20),
        refault_anon_bytes: Some(0),
        stalls: Some(Stalls {
            some_seconds: 12.34,
            full_seconds: 4.0,
        }),
        limit_hits: Some(1_234),
        ooms: Some(1),
        kills: Some(0),
        reports: vec![PastKill {
            id: 17,
            at: Instant(841_000),
            complete: true,
            kills: 1,
            comm: Some("java\u{1b}".to_owned()),
            pid: Some(4_711),
            limit_owner: Some("own".to_owned()),
        }],
        risks: vec![risk],
        ..PastOf::default()
    };
    let machine = PastOf {
        who: Subject::machine(),
        headroom: course(9_000, 9_000, 8_000),
        kills: Some(1),
        ..PastOf::default()
    };
    Past {
        schema_version: 1,
        command: "explain".to_owned(),
        target: "shop/web-0/app".to_owned(),
        since: Instant(0),
        until: Instant(900_000),
        of: vec![app],
        left_out: 0,
        machine: Some(machine),
        gaps: vec![Gap {
            from: Instant(120_000),
            until: Instant(180_000),
        }],
    }
}

#[test]
fn a_night() {
    let text = render(&night(), &clock);
    assert!(text.lines().count() <= 40, "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= WIDTH),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
    insta::assert_snapshot!(text);
}

#[test]
fn what_is_unknown_is_said_and_never_nothing() {
    let mut bare = night();
    bare.of[0] = PastOf {
        who: Subject {
            cgroup: "/jobs/a".to_owned(),
            ..Subject::default()
        },
        ..PastOf::default()
    };
    bare.machine = None;
    bare.left_out = 3;
    let text = render(&bare, &clock);
    for words in [
        "The working set of /jobs/a is not known.",
        "Whether the OOM killer killed in it is not known.",
        "CHANGE not known by its parts",
        "RECLAIM not counted here",
        "STALLS not counted here",
        "RISK unknown",
        "3 more of that name",
    ] {
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(words), "{words}: {text}");
    }
}
