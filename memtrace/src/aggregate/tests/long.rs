//! A session that meets far more files, processes and cgroups than it keeps.

use memtrace_ebpf::record::RunKind;

use crate::{
    aggregate::Aggregator,
    input::{
        FileEvent, FileId, Input, Instant, OwnedBy, ReclaimCause, ReclaimEvent, ReclaimKind,
        RunEvent, TaskEvent, VictimEvent,
    },
    model::{
        ComponentName,
        testing::{self, ELSEWHERE, MIB, PAGES, TARGET},
    },
    view,
};

const LITTER: u64 = 90_000;

fn litter(number: u64) -> [Input; 3] {
    let id = FileId {
        device: 1,
        inode: 1_000 + number,
        generation: 0,
    };
    let pid = 10_000 + (number / 50) as u32;
    [
        Input::File(FileEvent {
            id,
            fs_path: format!("/build/obj/{number}.o"),
            fstype: "ext4".to_owned(),
            truncated: false,
            deleted: false,
        }),
        Input::Task(TaskEvent {
            pid,
            comm: "cc1".to_owned(),
            cgroup_id: Some(TARGET),
            start_boottime_ns: u64::from(pid),
            renamed: false,
        }),
        Input::Run(RunEvent {
            file: Some(id),
            pages: 2,
            folios: 2,
            ..testing::run(RunKind::Activation, 0, pid, 1)
        }),
    ]
}

fn reclaim(number: u64) -> Input {
    Input::Reclaim(ReclaimEvent {
        kind: ReclaimKind::Memcg,
        ended_ns: number,
        duration_ns: 1_000 * number,
        pid: number as u32,
        tid: number as u32,
        order: 0,
        task_cgroup_id: Some(ELSEWHERE + number % 5_000),
        target_cgroup_id: Some(if number.is_multiple_of(100) {
            TARGET
        } else {
            ELSEWHERE
        }),
        reclaimed_pages: 1,
        cause: Some(ReclaimCause::Max),
        may_swap: None,
    })
}

#[test]
fn an_hour_of_litter_stays_small_and_adds_up() {
    let mut aggregator = Aggregator::new();
    aggregator.apply(&Input::Facts(Box::new(testing::facts())));
    let before = testing::sample(Instant::Before, 0);
    aggregator.apply(&Input::Sample(Box::new(before)));
    let log = testing::run(RunKind::Activation, 1, 4711, 1);
    let own = |pid| OwnedBy {
        pid,
        comm: Some("cc1".to_owned()),
        cgroup_id: Some(TARGET),
        start_boottime_ns: None,
    };
    for number in 0..LITTER {
        for input in litter(number) {
            aggregator.apply(&input);
        }
        if number.is_multiple_of(300) {
            aggregator.apply(&Input::Run(log));
            aggregator.apply(&Input::Victim(VictimEvent {
                time_ns: number,
                received_ns: None,
                victim: own(number as u32),
                trigger: own(1),
            }));
        }
        if number.is_multiple_of(10) {
            aggregator.apply(&reclaim(number));
        }
    }
    let pages = 2 * LITTER + LITTER / 300 * PAGES;
    let mut after = testing::sample(Instant::After, 3_600);
    testing::activate(&mut after, 0);
    let bytes = pages * 4096;
    let stat = &mut after.cgroup.stat;
    (stat.active_file, stat.inactive_file) = (
        stat.active_file.map(|now| now + bytes),
        stat.inactive_file.map(|now| now.saturating_sub(bytes)),
    );
    aggregator.apply(&Input::Sample(Box::new(after)));
    assert!(aggregator.files_in_window().len() <= 2 * 16_384 + 8_192);
    let explanation = aggregator.explain().unwrap();

    // Every page has a row, though most have no file of their own.
    let causes = explanation
        .whole
        .ledger
        .causes_of(ComponentName::ActiveFile);
    let told: i64 = causes.map(|cause| cause.bytes).sum();
    assert_eq!(told, bytes as i64);
    // The one large file is known to what is said to be missing at most.
    let log: i64 = (explanation.whole.ledger.causes.iter())
        .filter(|cause| cause.file.as_ref().is_some_and(|file| file.id.inode == 1))
        .map(|cause| cause.bytes)
        .sum();
    let log_bytes = (LITTER / 300 * MIB) as i64;
    assert!(log <= log_bytes && log >= log_bytes * 99 / 100, "{log}");
    assert!(explanation.verdict.text().contains("many files"));
    let warned = explanation
        .trust
        .warnings
        .iter()
        .any(|w| w.id() == "summed");
    assert!(warned);
    // One pass in ten had the target short, whoever's tasks waited.
    let passes: u64 = explanation.reclaim.groups.iter().map(|g| g.passes).sum();
    assert_eq!(passes, LITTER / 100);

    let text = view::text::render(&explanation);
    assert!(text.lines().count() < 100, "{text}");
    let json = view::json::render(&explanation);
    assert!(json.len() < 1 << 20, "{} bytes", json.len());
}
