mod long;

use memtrace_ebpf::record::RunKind;

use super::*;
use crate::{
    input::{HookCounters, Instant, OwnedBy, ReclaimEvent, ReclaimKind},
    model::{
        CauseKind, ComponentName, PhaseName, Warning,
        testing::{self, ELSEWHERE, MIB, PAGES, Story, TARGET, grow},
    },
};

#[test]
fn an_unfinished_session_says_what_is_missing() {
    let mut aggregator = Aggregator::new();
    assert_eq!(aggregator.explain().unwrap_err(), Incomplete::NoFacts);
    aggregator.apply(&Input::Facts(Box::new(testing::facts())));
    assert_eq!(aggregator.explain().unwrap_err(), Incomplete::NoBefore);
    let before = testing::sample(Instant::Before, 0);
    aggregator.apply(&Input::Sample(Box::new(before)));
    assert_eq!(aggregator.explain().unwrap_err(), Incomplete::NoAfter);
}

#[test]
fn only_runs_between_the_samples_count_but_all_were_seen() {
    let mut aggregator = Aggregator::new();
    let run = |mib| Input::Run(testing::run(RunKind::Activation, 1, 4711, mib));
    let sample = |instant, second| Input::Sample(Box::new(testing::sample(instant, second)));
    aggregator.apply(&Input::Facts(Box::new(testing::facts())));
    aggregator.apply(&run(1));
    aggregator.apply(&sample(Instant::Before, 0));
    aggregator.apply(&run(2));
    aggregator.apply(&sample(Instant::After, 1));
    aggregator.apply(&run(4));
    let explanation = aggregator.explain().unwrap();
    let causes: i64 = explanation
        .whole
        .ledger
        .causes
        .iter()
        .map(|c| c.bytes)
        .sum();
    assert_eq!(causes, 2 * MIB as i64);
    assert_eq!(explanation.trust.pages_seen, 7 * PAGES);
    assert_eq!(explanation.trust.delivery_delay.count, 3);
    let late = explanation.trust.delivery_delay.max_ns as f64;
    assert!((late / 2e6 - 1.0).abs() < 0.01, "{late}");
}

#[test]
fn runs_are_split_at_the_highest_sample() {
    let explanation = Story::command()
        .run(RunKind::ShmemInsertion, 1, 4711, 30)
        .peak(|peak| grow!(peak, 30, shmem, file))
        .run(RunKind::ShmemDelete, 1, 4711, 10)
        // Lower than the peak: does not move it.
        .peak(|lower| grow!(lower, -10, shmem, file))
        .run(RunKind::ShmemInsertion, 2, 4712, 50)
        .peak(|higher| grow!(higher, 50, shmem, file))
        .run(RunKind::ShmemDelete, 2, 4712, 60)
        .end(|after| grow!(after, -60, shmem, file));
    let phases: Vec<_> = explanation
        .phases
        .iter()
        .map(|phase| {
            let causes: Vec<_> = phase
                .ledger
                .causes
                .iter()
                .map(|c| (c.kind, c.bytes / MIB as i64))
                .collect();
            let unattributed = phase
                .ledger
                .component(ComponentName::Shmem)
                .unwrap()
                .unattributed_bytes;
            (phase.name, causes, unattributed)
        })
        .collect();
    assert_eq!(
        phases,
        [
            (
                PhaseName::BeforeToPeak,
                vec![
                    (CauseKind::Added, 50),
                    (CauseKind::Added, 30),
                    (CauseKind::Freed, -10)
                ],
                0
            ),
            (PhaseName::PeakToAfter, vec![(CauseKind::Freed, -60)], 0),
        ]
    );
    let peak = explanation.peak.unwrap();
    assert_eq!(peak.working_set_bytes, (56 + 70) * MIB);
}

#[test]
fn the_last_sample_may_be_the_peak() {
    let explanation = Story::command()
        .run(RunKind::Activation, 1, 4711, 10)
        .end(|after| testing::activate(after, 10));
    let [up, down] = explanation.phases.as_slice() else {
        panic!("a command has two phases");
    };
    assert_eq!(up.ledger.causes.len(), 1);
    assert!(down.is_empty());
    assert_eq!(down.ledger.unexplained_bytes, Some(0));
    assert_eq!(explanation.peak.unwrap().working_set_bytes, 66 * MIB);
}

#[test]
fn a_cgroup_made_during_the_window_belongs_to_the_target() {
    let mut charged_below = testing::run(RunKind::Activation, 1, 4711, 3);
    charged_below.charged_cgroup_id = Some(43);
    let explanation = Story::begin().and(Input::Run(charged_below)).end(|after| {
        testing::activate(after, 3);
        after
            .members
            .push(testing::member(43, "/shop/search/worker"));
    });
    let cause = &explanation.whole.ledger.causes[0];
    let charged = cause.charged_cgroup.as_ref().unwrap();
    assert_eq!(charged.path.as_deref(), Some("/shop/search/worker"));
}

#[test]
fn the_payer_and_the_reader_are_two_facts() {
    let paid_here = testing::run(RunKind::Activation, 1, 999, 5);
    let mut paid_elsewhere = testing::run(RunKind::Activation, 2, 4711, 8);
    paid_elsewhere.charged_cgroup_id = Some(ELSEWHERE);
    let explanation = Story::begin()
        .task(999, "backup", ELSEWHERE)
        .and(Input::Run(paid_here))
        .and(Input::Run(paid_elsewhere))
        .end(|after| testing::activate(after, 5));
    let causes = &explanation.whole.ledger.causes;
    assert_eq!(causes.len(), 1);
    let task = causes[0].task.as_ref().unwrap();
    assert_eq!((task.pid, task.cgroup_id), (999, Some(ELSEWHERE)));
    assert_eq!(causes[0].charged_cgroup.as_ref().unwrap().id, TARGET);
    assert_eq!(explanation.foreign.len(), 1);
    assert_eq!(explanation.foreign[0].bytes, 8 * MIB);
    let payer = explanation.foreign[0].charged_cgroup.as_ref().unwrap();
    assert_eq!(payer.id, ELSEWHERE);
}

#[test]
fn a_process_goes_by_its_name_after_exec() {
    let explanation = Story::begin()
        .task(4711, "memtrace", TARGET)
        .run(RunKind::Activation, 1, 4711, 1)
        .task(4711, "dd", TARGET)
        .end(|after| testing::activate(after, 1));
    let task = explanation.whole.ledger.causes[0].task.clone().unwrap();
    assert_eq!(task.comm.as_deref(), Some("dd"));
}

fn pass(task: u64, target: Option<u64>, milliseconds: u64) -> Input {
    Input::Reclaim(ReclaimEvent {
        kind: ReclaimKind::Memcg,
        ended_ns: 1,
        duration_ns: milliseconds * 1_000_000,
        pid: 100,
        tid: 100,
        order: 0,
        task_cgroup_id: Some(task),
        target_cgroup_id: target,
        reclaimed_pages: 10,
        cause: None,
        may_swap: None,
    })
}

#[test]
fn reclaim_counts_if_the_target_waited_or_gave() {
    let explanation = Story::begin()
        .and(pass(TARGET, None, 1))
        .and(pass(ELSEWHERE, Some(TARGET), 100))
        .and(pass(ELSEWHERE, Some(ELSEWHERE), 1000))
        .end(|_| ());
    let [group] = explanation.reclaim.groups.as_slice() else {
        panic!("{:?}", explanation.reclaim);
    };
    assert_eq!((group.passes, group.reclaimed_pages), (2, 20));
    assert_eq!(group.stall_total_ns, 101_000_000);
    let slowest = group.stall.max_ns as f64;
    assert!((slowest / 1e8 - 1.0).abs() < 0.01, "{slowest}");
}

#[test]
fn a_kill_elsewhere_is_none_of_ours() {
    let killed = |cgroup_id| {
        let owned = |pid, comm: Option<&str>| OwnedBy {
            pid,
            comm: comm.map(str::to_owned),
            cgroup_id: Some(cgroup_id),
            start_boottime_ns: None,
        };
        Input::Victim(VictimEvent {
            time_ns: 5_000_000_000,
            received_ns: None,
            victim: owned(100, None),
            trigger: owned(101, Some("sh")),
        })
    };
    let explanation = Story::begin()
        .and(killed(ELSEWHERE))
        .and(killed(TARGET))
        .end(|_| ());
    let [kill] = explanation.oom_kills.as_slice() else {
        panic!("{:?}", explanation.oom_kills);
    };
    // The hook gave a pid only: the name comes from the scan.
    assert_eq!(kill.victim.comm.as_deref(), Some("java"));
    assert_eq!(kill.unix_ns % 60_000_000_000, 5_000_000_000);
}

#[test]
fn losses_and_pages_still_under_way_are_warned_of() {
    let explanation = Story::begin()
        .run(RunKind::Activation, 1, 4711, 1)
        .end(|after| {
            testing::activate(after, 1);
            after.hooks = vec![HookCounters {
                hook: "mm_lru_activate".to_owned(),
                pages_produced: PAGES + 30,
                pages_lost: 20,
                records_sent: 1,
                records_lost: 2,
                recursion_misses: 3,
            }];
        });
    let trust = &explanation.trust;
    assert_eq!(trust.events_lost, 5);
    assert_eq!(trust.pages_unsent(), 10);
    let lost = Warning::EventsLost {
        records: 2,
        pages: 20,
        skipped: 3,
    };
    assert!(trust.warnings.contains(&lost));
    assert!(trust.warnings.contains(&Warning::PagesUnsent { pages: 10 }));
}

#[test]
fn a_peak_that_no_sample_caught_is_warned_of() {
    let explanation = Story::command().end(|after| {
        after.cgroup.usage_peak_bytes = Some(600 * MIB);
    });
    assert!(explanation.trust.warnings.contains(&Warning::PeakMissed {
        kernel_bytes: 600 * MIB,
        sampled_bytes: 456 * MIB,
    }));
}
