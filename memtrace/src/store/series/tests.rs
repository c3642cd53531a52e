use std::collections::BTreeSet;

use super::*;
use crate::{
    model::past::{Count, Gauge, Instant, Question, Share, Size},
    store::{History, NotKept, past},
};

const MINUTE: u64 = 60_000;
const MIB: i64 = 1 << 20;
/// 2026-11-21T00:00:00Z
const START: u64 = 1_795_219_200_000;

/// An hour in one row, since each is a transaction.
fn hour(hour: u64, series: u32) -> Minute {
    let span = Span {
        from: span(hour * 60).from,
        until: span(hour * 60 + 60).from,
    };
    Minute {
        span: Some(span),
        ..minute(hour, series)
    }
}

fn span(minute: u64) -> Span {
    Span {
        from: Instant(START + minute * MINUTE),
        until: Instant(START + (minute + 1) * MINUTE),
    }
}

/// As busy as a container is: each size moves within the minute.
fn row(number: u32, minute: u64) -> Row {
    let mut row = Row {
        samples: 60,
        ..Row::default()
    };
    let noise = u64::from(number)
        .wrapping_mul(2_654_435_761)
        .wrapping_add(minute * 40_503);
    for (place, size) in row.sizes.iter_mut().enumerate() {
        let bytes = ((noise >> (place % 13)) % 4_000) as i64 * MIB / (1 + place as i64);
        let mut gauge = Gauge::new(bytes);
        gauge.learn(bytes + (noise % 31) as i64 * MIB);
        gauge.learn(bytes + (noise % 17) as i64 * MIB);
        // A limit moves seldom, and some parts are nothing as a rule.
        *size = Some(match place % 4 {
            3 => Gauge::new(bytes),
            _ => gauge,
        });
    }
    row.sizes[Size::EvictionHeadroom.place()] = None;
    for (place, count) in row.counts.iter_mut().enumerate() {
        *count = Some((noise >> place) % 20_000);
    }
    row.counts[Count::Kills as usize] = Some(0);
    row.risks = [Some(Share { most: 130, last: 7 }); 2];
    row
}

fn minute(minute: u64, series: u32) -> Minute {
    let rows: Vec<_> = (0..series)
        .map(|number| (number, row(number, minute)))
        .collect();
    let subject = |number: u32| Subject {
        cgroup: format!("/jobs/{number}"),
        cgroup_id: u64::from(number),
        ..Subject::default()
    };
    let subjects = match minute {
        0 => (1..series)
            .map(|number| (number, subject(number)))
            .collect(),
        _ => Vec::new(),
    };
    Minute::new(
        span(minute),
        rows.iter().map(|(number, row)| (*number, row)),
        subjects,
    )
}

fn subjects(history: &History) -> usize {
    let mut count = 0;
    history.each_subject(|_, _| count += 1).unwrap();
    count
}

#[test]
fn one_series_of_many_comes_back_whole() {
    let mut history = History::in_memory(1 << 20).unwrap();
    assert_eq!(history.begin_series().unwrap(), 1);
    for at in 0..5 {
        history.keep_minute(&minute(at, 700), u64::MAX).unwrap();
    }
    let spans = history.spans(span(1).from, span(3).until).unwrap();
    assert_eq!(spans, [span(1), span(2), span(3)]);
    for number in [0, 1, 349, 699] {
        let rows = history.rows(&spans, &BTreeSet::from([number])).unwrap();
        let (_, found) = rows.first_key_value().unwrap();
        let samples = found.iter().map(|(_, row)| row.samples).collect::<Vec<_>>();
        assert_eq!((rows.len(), samples), (1, vec![60; 3]), "{number}");
        let (at, last) = &found[2];
        assert_eq!((*at, last.counts), (span(3), row(number, 3).counts));
    }
    assert!(
        history
            .rows(&spans, &BTreeSet::from([700]))
            .unwrap()
            .is_empty()
    );
    assert_eq!(history.begin_series().unwrap(), 700);
}

#[test]
fn rows_take_what_they_are_said_to() {
    // The busiest there can be, where all sizes move by megabytes in each minute, and an idle one.
    let busy = minute(7, 1_000).rows_bytes();
    let mut idle = row(3, 7);
    for size in idle.sizes.iter_mut().flatten() {
        *size = Gauge::new(size.last);
    }
    idle.counts = [Some(0); Count::ALL.len()];
    let idle = Minute::new(span(0), [(3, &idle)], Vec::new()).rows_bytes();
    assert!(busy <= 190 * 1_000 && idle <= 90, "{busy} {idle}");
}

#[test]
fn the_file_is_bounded_and_a_day_old_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let mut history = History::open(&path, 64 << 20).unwrap();
    let max_bytes = 8 << 20;
    let mut lost = 0;
    for at in 0..40 {
        let keep = hour(at, 1_000);
        lost += history.keep_minute(&keep, max_bytes).unwrap().minutes;
    }
    assert_eq!(lost, 0, "a day does not fit");
    let kept = history.spans(Instant(0), Instant(u64::MAX)).unwrap();
    assert!((24..=26).contains(&kept.len()), "{}", kept.len());
    drop(history);
    let file_bytes = std::fs::metadata(&path).unwrap().len();
    // The file reuses what went; it has some MiB of its own, however much is in it.
    assert!(file_bytes <= max_bytes + (4 << 20), "{file_bytes}");
}

#[test]
fn what_does_not_fit_goes_oldest_first_and_is_counted() {
    let mut history = History::in_memory(1 << 20).unwrap();
    let mut lost = 0;
    for at in 0..60 {
        lost += history
            .keep_minute(&minute(at, 100), 1 << 20)
            .unwrap()
            .minutes;
    }
    let kept = history.spans(Instant(0), Instant(u64::MAX)).unwrap();
    assert_eq!(lost + kept.len() as u64, 60);
    assert!((20..55).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last(), Some(&span(59)));
    // The names of those that live stay, of those that ended before go.
    assert_eq!(subjects(&history), 99);
    history.begin_series().unwrap();
    for at in 3..30 {
        history.keep_minute(&hour(at, 1), u64::MAX).unwrap();
    }
    assert_eq!(subjects(&history), 0);
}

#[test]
fn a_clock_that_was_set_back_hides_nothing() {
    let mut history = History::in_memory(1 << 20).unwrap();
    for _ in 0..3 {
        history.keep_minute(&minute(5, 2), u64::MAX).unwrap();
    }
    let spans = history.spans(span(5).from, span(5).until).unwrap();
    assert_eq!(spans.len(), 3);
    let rows = history.rows(&spans, &BTreeSet::from([1])).unwrap();
    assert_eq!(rows[&1].len(), 3);
}

fn asked(target: &str, since: u64, until: u64) -> Question {
    Question {
        target: target.to_owned(),
        since: span(since).from,
        until: span(until).until,
    }
}

#[test]
fn a_question_is_answered_from_the_file_or_told_why_not() {
    let mut history = History::in_memory(1 << 20).unwrap();
    let ask = |history: &History, question| past(history, &question, 4_096).unwrap();
    let error = ask(&history, asked("/jobs/3", 0, 1)).unwrap_err();
    assert!(error.to_string().contains("nothing so far"), "{error}");
    for at in [0, 1, 4] {
        history.keep_minute(&minute(at, 5), u64::MAX).unwrap();
    }
    let found = ask(&history, asked("/jobs/3", 0, 4)).unwrap();
    assert_eq!((found.of.len(), found.of[0].samples), (1, 180));
    assert_eq!(found.gaps.len(), 1);
    assert!(found.machine.is_some());
    let machine = ask(&history, asked("/", 0, 4)).unwrap();
    assert_eq!(machine.of[0].who, Subject::machine());
    let nobody = ask(&history, asked("/jobs/9", 0, 4)).unwrap_err();
    assert!(matches!(&nobody, NotKept::Nobody { examples, .. } if examples.len() == 4));
    let not_then = ask(&history, asked("/jobs/3", 100, 110)).unwrap_err();
    assert!(
        matches!(&not_then, NotKept::NotThen { kept: Some(_), .. }),
        "{not_then}"
    );
}
