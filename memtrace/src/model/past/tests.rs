use serde_json::json;

use super::*;
use crate::model::ComponentName;

const MIB: i64 = 1 << 20;
const MINUTE: u64 = 60_000;

fn span(minute: u64) -> Span {
    Span {
        from: Instant(minute * MINUTE),
        until: Instant((minute + 1) * MINUTE),
    }
}

fn gauge(all: &[i64]) -> Option<Gauge> {
    let mut gauge = Gauge::new(all[0] * MIB);
    all[1..].iter().for_each(|mib| gauge.learn(mib * MIB));
    Some(gauge)
}

/// Ten minutes: anon grows by 10 MiB a minute, with a peak in the seventh.
fn rows() -> Vec<(Span, Row)> {
    let row = |minute: u64| {
        let anon = 100 + 10 * minute as i64;
        let peak = if minute == 6 { 500 } else { anon + 10 };
        let mut row = Row {
            samples: 60,
            ..Row::default()
        };
        row.sizes[Size::WorkingSet.place()] = gauge(&[anon + 4, peak + 4, anon + 14]);
        row.sizes[Size::Part(ComponentName::Anon).place()] = gauge(&[anon, peak, anon + 10]);
        row.sizes[Size::Part(ComponentName::ActiveFile).place()] = gauge(&[3]);
        row.sizes[Size::Limit.place()] = match minute {
            0..4 => None,
            4..8 => gauge(&[1_000]),
            _ => gauge(&[1_000, 800])
                .filter(|_| minute == 8)
                .or(gauge(&[800])),
        };
        row.counts[Count::Scanned as usize] = Some(100);
        row.counts[Count::Reclaimed as usize] = (minute > 0).then_some(25);
        row.counts[Count::Kills as usize] = Some(u64::from(minute == 9));
        let share = Share {
            most: if minute == 7 { 900 } else { 10 },
            last: minute as u16,
        };
        row.risks[1] = Some(share).filter(|_| minute > 4);
        (span(minute), row)
    };
    (0..10).map(row).collect()
}

fn subject(path: &str) -> Subject {
    Subject {
        cgroup: path.to_owned(),
        ..Subject::default()
    }
}

#[test]
fn how_sizes_went_and_what_was_counted() {
    let past = past_of(&subject("/a"), &rows(), 4_096).unwrap();
    assert_eq!(past.samples, 600);
    let all = past.working_set.unwrap();
    assert_eq!((all.start_bytes, all.end_bytes), (104 * MIB, 204 * MIB));
    assert_eq!((all.most_bytes, all.most_at), (504 * MIB, span(6).until));
    assert_eq!(all.delta_bytes(), 100 * MIB);
    let parts: Vec<_> = past.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(parts, ["active_file", "anon"]);
    assert_eq!(past.unexplained_bytes, Some(0));
    assert_eq!(past.usage, None);
    let reclaim = past.reclaim.unwrap();
    assert_eq!(reclaim.scanned_bytes, 1_000 * 4_096);
    assert_eq!(reclaim.reclaimed_bytes, 225 * 4_096);
    assert_eq!(
        (past.kills, past.stalls, past.limit_hits),
        (Some(1), None, None)
    );
    let [risk] = past.risks[..] else {
        panic!("{:?}", past.risks);
    };
    assert_eq!((risk.highest, risk.last), (0.9, 0.009));
    assert_eq!(
        (risk.horizon_seconds, risk.highest_at),
        (900.0, span(7).until)
    );
    assert_eq!(past_of(&subject("/a"), &[], 4_096), None);
}

#[test]
fn each_change_of_the_limit() {
    let past = past_of(&subject("/a"), &rows(), 4_096).unwrap();
    let changes: Vec<_> = past
        .limit_changes
        .iter()
        .map(|change| (change.at, change.before_bytes, change.after_bytes))
        .collect();
    assert_eq!(
        changes,
        [
            (span(4).until, None, Some(1_000 * MIB)),
            (span(8).until, Some(1_000 * MIB), Some(800 * MIB)),
        ]
    );
    assert_eq!(past.limit_bytes, Some(800 * MIB));
}

fn question(since: u64, until: u64) -> Question {
    Question {
        target: "a".to_owned(),
        since: Instant(since * MINUTE),
        until: Instant(until * MINUTE),
    }
}

#[test]
fn times_without_a_row_are_gaps() {
    let spans = [span(2), span(3), span(6), span(9)];
    let of = past_of(&subject("/a"), &rows(), 4_096).unwrap();
    let gaps = |since, until| {
        let past = answer(&question(since, until), &spans, vec![of.clone()], 0, None);
        let gap = |gap: &Gap| (gap.from.0 / MINUTE, gap.until.0 / MINUTE);
        past.unwrap().gaps.iter().map(gap).collect::<Vec<_>>()
    };
    assert_eq!(gaps(0, 12), [(0, 2), (4, 6), (7, 9), (10, 12)]);
    assert_eq!(gaps(2, 4), []);
    assert_eq!(gaps(3, 6), [(4, 6)]);
    assert_eq!(answer(&question(0, 1), &spans, vec![], 0, None), None);
}

#[test]
fn the_one_that_was_there_last_comes_first() {
    let of =
        |minutes: std::ops::Range<usize>| past_of(&subject("/a"), &rows()[minutes], 4_096).unwrap();
    let past = answer(&question(0, 10), &[], vec![of(0..3), of(3..9)], 2, None).unwrap();
    assert_eq!((past.of[0].until, past.left_out), (span(8).until, 2));
}

#[test]
fn an_answer_is_the_same_after_json() {
    let mut of = past_of(&subject("/a"), &rows(), 4_096).unwrap();
    of.reports = kills_of(&of.who, &reports());
    let past = answer(&question(0, 12), &[span(0)], vec![of], 0, None).unwrap();
    let text = serde_json::to_string(&past).unwrap();
    assert_eq!(serde_json::from_str::<Past>(&text).unwrap(), past);
    assert!(
        text.contains(r#""since":"1970-01-01T00:00:00.000Z""#),
        "{text}"
    );
}

fn reports() -> Vec<serde_json::Value> {
    vec![
        json!({"id": 4, "time": "1970-01-01T00:09:30.5Z", "kills": 2, "limit_owner": "own",
               "victim": {"pid": 7, "comm": "java", "cgroup": "/a/b"}}),
        json!({"id": 3, "time": "1970-01-01T00:09:00Z", "victim": {"cgroup": "/ab"}}),
        json!({"id": 2, "noticed": "1970-01-01T00:08:00Z", "complete": false, "counted_in": "/a"}),
        json!({"id": 1, "time": "1970-01-01T00:07:00Z", "victim": {"cgroup": "/x"}, "limit_cgroup": "/a"}),
    ]
}

#[test]
fn kills_in_a_cgroup_below_it_and_by_its_limit() {
    let ids = |one: &Subject| {
        let kills = kills_of(one, &reports());
        kills.iter().map(|kill| kill.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&subject("/a")), [4, 2, 1]);
    assert_eq!(ids(&subject("/a/b")), [4]);
    assert_eq!(ids(&Subject::machine()), [4, 3, 2, 1]);
    let gone = Subject {
        ended: Some(Instant(7 * MINUTE)),
        gone: true,
        ..subject("/a")
    };
    assert_eq!(ids(&gone), [2, 1]);
    let kill = &kills_of(&subject("/a"), &reports())[1];
    assert!(!kill.complete && kill.comm.is_none());
}

fn container(number: u64, pod: &str, container: Option<&str>, id: Option<&str>) -> Subject {
    Subject {
        cgroup: format!("/kubepods/pod{number}"),
        namespace: Some("shop".to_owned()),
        pod: Some(pod.to_owned()),
        container: container.map(str::to_owned),
        container_id: id.map(str::to_owned),
        ..Subject::default()
    }
}

#[test]
fn whom_a_target_means() {
    let unit = Subject {
        unit: Some("nginx.service".to_owned()),
        ..subject("/system.slice/nginx.service")
    };
    let all = [
        unit,
        container(1, "web-0", None, None),
        container(2, "web-0", Some("app"), Some("abcdef0123456789")),
        container(3, "web-0", Some("app"), Some("abcdef9999999999")),
        container(4, "web-1", Some("app"), Some("0123456789012345")),
        subject("/batch/night"),
    ];
    for (typed, wanted) in [
        ("nginx.service", &[0][..]),
        ("/system.slice/nginx.service", &[0]),
        ("system.slice/nginx.service/", &[0]),
        ("shop/web-0", &[1]),
        ("shop/web-0/app", &[2, 3]),
        ("shop/web-1", &[4]),
        ("abcdef01", &[2]),
        ("containerd://ABCDEF", &[]),
        ("abcdef", &[]),
        ("abcdef99", &[3]),
        ("batch/night", &[5]),
        ("shop/web-2", &[]),
        ("/", &[]),
        ("", &[]),
    ] {
        let target = Target::new(typed);
        let lowest = all.iter().filter_map(|one| target.kind(one)).min();
        let meant = |place: &usize| lowest.is_some() && target.kind(&all[*place]) == lowest;
        let meant: Vec<_> = (0..all.len()).filter(meant).collect();
        assert_eq!(meant, wanted, "{typed}");
    }
}

#[test]
fn places_in_a_row_never_change() {
    // The history of a day is written by them.
    assert_eq!(Size::WHOLE.map(Size::place), [0, 1, 2, 3, 4, 5, 6]);
    let parts = ComponentName::ALL.map(|name| Size::Part(name).place());
    assert_eq!(parts, std::array::from_fn(|place| place + 7));
    let names = ComponentName::ALL.map(ComponentName::as_str);
    assert_eq!(
        (names[0], names[2], names[15]),
        ("active_file", "anon", "hugetlb")
    );
    assert_eq!(
        Count::ALL.map(|count| count as usize),
        std::array::from_fn(|place| place)
    );
}
