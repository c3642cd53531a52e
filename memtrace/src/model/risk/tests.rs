//! Workloads as they are, second by second, and what must hold for all of them.

use proptest::prelude::*;

use super::*;
use crate::input::{CgroupSample, Pressure};

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 1_000 * MIB;

/// Feeds a use in MiB, once a second, and tells the risks of each second.
fn run(seconds: u64, used_mib: impl Fn(u64) -> f64) -> Vec<[Option<Risk>; 2]> {
    run_with(seconds, |second| (used_mib(second), 0.0))
}

/// The same with how much of it is dirty.
fn run_with(seconds: u64, used_mib: impl Fn(u64) -> (f64, f64)) -> Vec<[Option<Risk>; 2]> {
    let mut trend = Trend::default();
    let at = |second: u64| {
        let (used, dirty) = used_mib(second);
        let pinned_bytes = (used * MIB as f64) as u64;
        let unwritten_bytes = (dirty * MIB as f64) as u64;
        trend.learn(second * 1_000_000_000 + 77, pinned_bytes, unwritten_bytes);
        let room = Room {
            pinned_bytes,
            unwritten_bytes,
            headroom_bytes: LIMIT.saturating_sub(pinned_bytes),
        };
        Horizon::ALL.map(|horizon| Risk::new(room, &trend, None, horizon))
    };
    (0..seconds).map(at).collect()
}

fn highest(risks: &[[Option<Risk>; 2]], horizon: usize) -> f64 {
    let scores = risks.iter().filter_map(|risks| Some(risks[horizon]?.score));
    scores.fold(0.0, f64::max)
}

#[test]
fn what_stays_flat_is_no_risk() {
    let flat = run(4_000, |_| 950.0);
    assert_eq!((highest(&flat, 0), highest(&flat, 1)), (0.0, 0.0));
    let sawtooth = run(8_000, |second| 300.0 + (second % 90) as f64 * 6.0);
    assert_eq!(highest(&sawtooth[400..], 1), 0.0);
    assert_eq!(highest(&sawtooth[400..], 0), 0.0);
    let step = run(8_000, |second| if second < 3_000 { 200.0 } else { 900.0 });
    assert_eq!((highest(&step, 0), highest(&step, 1)), (0.0, 0.0));
    let started = run(4_000, |second| (second as f64 * 70.0).min(700.0));
    assert_eq!(highest(&started, 1), 0.0);
}

#[test]
fn what_fills_for_minutes_and_stays_is_over_within_two_minutes() {
    let filled = run(1_200, |second| {
        100.0 + second.min(300) as f64 * 670.0 / 300.0
    });
    let high = |risks: &&[Option<Risk>; 2]| risks[1].is_some_and(|risk| risk.score > 0.8);
    let seconds = filled.iter().filter(high).count();
    assert!((1..120).contains(&seconds), "{seconds} s over what pages");
}

#[test]
fn a_slow_leak_is_told_a_quarter_of_an_hour_before() {
    // 100 MiB an hour, at the limit after 9 hours.
    let leak = run(9 * 3_600, |second| 100.0 + second as f64 * 100.0 / 3_600.0);
    let first = leak
        .iter()
        .position(|risks| risks[1].is_some_and(|risk| risk.score >= 0.99));
    let left = leak.len() - first.unwrap();
    assert!((890..=920).contains(&left), "{left} s before");
    assert_eq!(highest(&leak[..leak.len() - 1_900], 1), 0.0);
}

#[test]
fn a_leak_below_a_sawtooth_counts_by_its_peaks() {
    let rising = |second: u64| 200.0 + second as f64 * 0.2 + (second % 60) as f64 * 2.0;
    let rises = run(3_000, rising);
    let risk = rises[2_999][1].unwrap();
    assert!(
        (risk.growth_bytes_per_second / MIB as f64 - 0.2).abs() < 0.05,
        "{risk:?}"
    );
}

#[test]
fn peaks_a_little_closer_than_a_third_of_the_window_count_in_full() {
    // A third of the hour is 1,200 s.
    for period in [850, 950, 1_050] {
        let rising = |second: u64| 200.0 + second as f64 * 0.02 + (second % period) as f64 * 0.2;
        let rises = run(12_000, rising);
        let rate = |risks: &[Option<Risk>; 2]| {
            risks[1].map_or(0.0, |risk| risk.growth_bytes_per_second / MIB as f64)
        };
        let mut rates: Vec<_> = rises[7_200..].iter().map(rate).collect();
        rates.sort_by(f64::total_cmp);
        let median = rates[rates.len() / 2];
        assert!((0.018..=0.023).contains(&median), "{period} s: {median}");
    }
}

#[test]
fn a_slow_sawtooth_is_told_in_its_trough() {
    // 300 MiB up and down in 400 s; the peaks rise by 60 MiB an hour, and reach the limit after 10,800 s.
    let rising = |second: u64| {
        let peaks = 820.0 + second as f64 / 60.0;
        peaks - 300.0 + (second % 400) as f64 * 0.75
    };
    let rises = run(10_800, rising);
    let told = |risks: &[Option<Risk>; 2]| risks[1].is_some_and(|risk| risk.score > 0.8);
    // Its very first rise looks like any leak.
    let first = 800 + rises[800..].iter().position(told).unwrap();
    assert!((9_300..=10_100).contains(&first), "{first} s");
    let silent = rises[first + 400..].iter().filter(|risks| !told(risks));
    assert_eq!(silent.count(), 0);
}

#[test]
fn dirty_pages_that_fill_the_limit_again_and_again_are_no_leak() {
    // Each time a little higher, up to 2 MiB below the limit.
    let writer = |second: u64| {
        let dirty = (second % 100) as f64 * 6.9 + (second as f64 / 1_000.0).min(14.0);
        (300.0 + dirty, dirty)
    };
    let highs = run_with(16_000, writer);
    let troughs = highs[1_000..].iter().skip(10).step_by(100);
    let highest = troughs.filter_map(|risks| Some(risks[1]?.score));
    assert_eq!(highest.fold(0.0, f64::max), 0.0);
}

#[test]
fn growth_of_twenty_seconds_is_told_within_the_minute() {
    let burst = run(320, |second| {
        50.0 + second.saturating_sub(300) as f64 * 47.5
    });
    let first = burst
        .iter()
        .position(|risks| risks[0].is_some_and(|risk| risk.score > 0.8));
    assert!((310..=315).contains(&first.unwrap()), "{first:?}");
}

#[test]
fn a_limit_lowered_below_what_is_pinned_is_one_at_once() {
    let room = Room {
        pinned_bytes: LIMIT,
        unwritten_bytes: 0,
        headroom_bytes: 0,
    };
    let risk = Risk::new(room, &Trend::default(), None, Horizon::QuarterHour).unwrap();
    assert_eq!((risk.score, risk.eta_seconds), (1.0, Some(0.0)));
}

#[test]
fn a_kill_makes_a_new_beginning() {
    let mut trend = Trend::default();
    for second in 0..1_000_u64 {
        trend.learn(second * 1_000_000_000, LIMIT, 0);
    }
    trend.forget();
    assert_eq!(trend.growth_bytes_per_second(Horizon::Minute), None);
    for second in 1_000..1_040_u64 {
        trend.learn(second * 1_000_000_000, (second - 999) * 10 * MIB, 0);
    }
    let rate = trend.growth_bytes_per_second(Horizon::Minute).unwrap();
    assert!((rate / MIB as f64 - 10.0).abs() < 0.1, "{rate}");
}

#[test]
fn a_cgroup_by_hand() {
    let mut sample = CgroupSample {
        usage_bytes: Some(900 * MIB),
        limit_bytes: Some(LIMIT),
        swap_available_bytes: Some(20 * MIB),
        ..CgroupSample::default()
    };
    for (key, mib) in [
        ("active_file", 300),
        ("inactive_file", 200),
        ("file_dirty", 40),
        ("file_writeback", 10),
        ("slab_reclaimable", 8),
    ] {
        sample.stat.set(key, mib * MIB);
    }
    let room = Room::of_cgroup(&sample, 0).unwrap();
    // 900 - (500 - 50) - 4 = 446; 1000 - 446 + 20 = 574.
    assert_eq!(
        (room.pinned_bytes, room.headroom_bytes),
        (446 * MIB, 574 * MIB)
    );
    let protected = Room::of_cgroup(&sample, 700 * MIB).unwrap();
    assert_eq!(protected.pinned_bytes, 696 * MIB);
    sample.swap_available_bytes = None;
    assert_eq!(Room::of_cgroup(&sample, 0), None);
}

#[test]
fn thrash_needs_waiting_and_vain_scans_near_the_limit() {
    let sample = |usage: u64, full_us: u64, scanned: u64, stolen: u64| {
        let mut sample = CgroupSample {
            usage_bytes: Some(usage),
            limit_bytes: Some(LIMIT),
            pressure: Some(Pressure {
                some_total_us: full_us,
                full_total_us: full_us,
            }),
            ..CgroupSample::default()
        };
        sample.stat.set("pgscan", scanned);
        sample.stat.set("pgsteal", stolen);
        sample
    };
    let mut thrash = Thrash::default();
    assert_eq!(thrash.learn(0, &sample(LIMIT, 0, 0, 0)), None);
    let half = thrash.learn(2_000_000_000, &sample(LIMIT, 1_600_000, 1_000, 375));
    assert_eq!(half, Some(0.5));
    let far = thrash.learn(3_000_000_000, &sample(LIMIT / 2, 2_000_000, 2_000, 375));
    assert_eq!(far, Some(0.0));
    let mut v1 = sample(LIMIT, 0, 0, 0);
    v1.pressure = None;
    assert_eq!(thrash.learn(4_000_000_000, &v1), None);
}

#[test]
fn a_peak_is_kept_for_two_minutes() {
    let mut peak = RecentPeak::default();
    let mut learn = |second: u64, value| peak.learn(second * 1_000_000_000, value);
    assert_eq!(learn(0, 0.9), 0.9);
    assert_eq!(learn(119, 0.1), 0.9);
    assert_eq!(learn(131, 0.1), 0.1);
}

proptest! {
    #[test]
    fn a_score_is_between_its_parts_and_one(fill in 0.0..=1.0_f64, thrash in 0.0..=1.0_f64) {
        let score = score(fill, Some(thrash));
        prop_assert!(score >= fill.max(thrash) - 1e-12 && score <= 1.0 + 1e-12);
    }

    #[test]
    fn less_time_is_more_risk(sooner in 0.0..1e6_f64, more in 0.0..1e6_f64, horizon in 1.0..1e4_f64) {
        prop_assert!(fill(Some(sooner), horizon) >= fill(Some(sooner + more), horizon));
    }

    #[test]
    fn whatever_happens_a_risk_is_a_share_and_memory_is_bounded(
        used in prop::collection::vec((0_u64..20_000_000_000, 0..2_000_u64), 1..400),
    ) {
        let (mut trend, mut now_ns) = (Trend::default(), 0);
        for (later_ns, mib) in used {
            now_ns += later_ns;
            trend.learn(now_ns, mib * MIB, 0);
            let room = Room {
                pinned_bytes: mib * MIB,
                unwritten_bytes: 0,
                headroom_bytes: LIMIT.saturating_sub(mib * MIB),
            };
            for horizon in Horizon::ALL {
                if let Some(risk) = Risk::new(room, &trend, None, horizon) {
                    prop_assert!((0.0..=1.0).contains(&risk.score));
                    prop_assert!(risk.growth_bytes_per_second >= 0.0);
                    prop_assert!(risk.eta_seconds.is_none_or(|eta| eta >= 0.0));
                }
            }
        }
    }

    #[test]
    fn more_headroom_is_less_risk(pinned in 0..900_u64, more in 0..10_000_u64, rate in 1..50_u64) {
        let mut trend = Trend::default();
        for second in 0..400_u64 {
            trend.learn(second * 1_000_000_000, (pinned + second * rate) * MIB, 0);
        }
        let risk = |headroom: u64| {
            let room = Room { pinned_bytes: 0, unwritten_bytes: 0, headroom_bytes: headroom * MIB };
            Risk::new(room, &trend, None, Horizon::QuarterHour).unwrap().score
        };
        prop_assert!(risk(1_000) >= risk(1_000 + more));
    }
}
