//! Kills put together, told, and held against what stood before.

use std::sync::Arc;

use super::{ROOT, cgroup, snapshot, task};
use crate::{
    input::{
        CgroupPath, HookOutcome, Input, OomConstraint, OomGoneEvent, OomKillEvent, OomLogEvent,
        OomLogTask, OomSnapshot, OomWatchFacts, OwnedBy, RssCounters, VictimEvent,
    },
    model::oom::{
        Cause, Confidence, Fate, Held, KillReport, KillStory, Kills, Owner, TableSource, Told,
    },
};

const MS: u64 = 1_000_000;
const CGROUP: u64 = 7;

fn facts(log_unreadable: Option<&str>) -> Box<OomWatchFacts> {
    Box::new(OomWatchFacts {
        memtrace_version: "0".into(),
        kernel_release: "test".into(),
        page_size_bytes: 4096,
        rss_counters: RssCounters::Atomic,
        realtime_minus_monotonic_ns: 0,
        hooks: vec![HookOutcome {
            signal: "OOM kill".into(),
            attached: None,
            refused: Vec::new(),
            cost: String::new(),
            optional: true,
            opt_in: None,
        }],
        log_unreadable: log_unreadable.map(str::to_owned),
        within: None,
    })
}

fn owned(pid: u32) -> OwnedBy {
    OwnedBy {
        pid,
        comm: Some(format!("p{pid}")),
        cgroup_id: Some(CGROUP),
        start_boottime_ns: None,
    }
}

fn victim(time_ns: u64, pid: u32, trigger: u32) -> Input {
    Input::Victim(VictimEvent {
        time_ns,
        received_ns: None,
        victim: owned(pid),
        trigger: owned(trigger),
    })
}

/// A herd of `(pid, pages)` in a cgroup of 64 MiB, at an instant.
fn look(at_ns: u64, herd: &[(u32, i64)]) -> OomSnapshot {
    let tasks = herd
        .iter()
        .map(|(pid, pages)| task(*pid, CGROUP, *pages, 0));
    let cgroups = vec![
        cgroup(ROOT, None, None),
        cgroup(CGROUP, Some(ROOT), Some(64)),
    ];
    let mut snapshot = snapshot(ROOT, cgroups, tasks.collect());
    snapshot.time.monotonic_ns = at_ns;
    snapshot
}

fn logged(pid: u32, tasks: &[(u32, i64)]) -> OomLogEvent {
    let task = |(pid, pages): &(u32, i64)| OomLogTask {
        tid: *pid,
        pid: *pid,
        rss_pages: *pages as u64,
        comm: format!("p{pid}"),
        ..OomLogTask::default()
    };
    OomLogEvent {
        read_ns: 1_000 * MS,
        trigger_comm: Some("p3".into()),
        trigger_tid: Some(3),
        constraint: Some(OomConstraint::Memcg),
        order: Some(0),
        gfp_mask: Some(0xcc0),
        domain: Some("/c7".into()),
        victim_cgroup: Some("/c7".into()),
        chosen_pid: Some(pid),
        limit_bytes: Some(64 << 20),
        tasks: tasks.iter().map(task).collect(),
        killed_tid: pid,
        killed_comm: format!("p{pid}"),
        killed_by_memcg: true,
        ..OomLogEvent::default()
    }
}

/// One kill of `killed` at 1 s, after these looks, with what the log says.
fn told(looks: Vec<OomSnapshot>, killed: u32, log: OomLogEvent) -> KillStory {
    let mut kills = Kills::new(facts(None));
    for look in looks {
        kills.apply(&Input::OomSnapshot(Arc::new(look)));
    }
    kills.apply(&victim(1_000 * MS, killed, 3));
    kills.apply(&Input::OomLog(Box::new(log)));
    let gone = OomGoneEvent {
        time_ns: 1_010 * MS,
        pid: killed,
    };
    kills.apply(&Input::OomGone(gone));
    assert!(kills.settled(1_030 * MS).is_empty(), "its group may follow");
    let mut stories = kills.settled(1_050 * MS);
    assert_eq!(stories.len(), 1);
    stories.remove(0)
}

fn chosen(time_ns: u64, pid: u32, trigger: u32) -> Input {
    Input::OomKill(OomKillEvent {
        time_ns,
        victim: owned(pid),
        trigger: owned(trigger),
        trigger_tid: trigger,
        domain_cgroup_id: Some(CGROUP),
        constraint: Some(OomConstraint::Memcg),
        order: 0,
        gfp_mask: 0xcc0,
        points: 900,
        totalpages: 16_384,
    })
}

fn facts_with_hooks() -> Box<OomWatchFacts> {
    let mut facts = facts(Some("not permitted"));
    facts.hooks = ["OOM victim", "OOM kill"]
        .map(|signal| HookOutcome {
            signal: signal.into(),
            attached: Some("by a hook".into()),
            refused: Vec::new(),
            cost: String::new(),
            optional: false,
            opt_in: None,
        })
        .into();
    facts
}

/// The model knows signals by name only; a name that no hook bears would never be on.
#[test]
fn signals_are_named_as_the_hooks_are() {
    use crate::model::oom::{kills::VICTIM_SIGNAL, stalls::RECLAIM_SIGNALS, story::KILL_SIGNAL};
    for name in [VICTIM_SIGNAL, KILL_SIGNAL]
        .into_iter()
        .chain(RECLAIM_SIGNALS)
    {
        let named = |signal: &crate::kernel::hooks::Signal| signal.name == name;
        assert!(crate::kernel::hooks::signals().any(named), "{name}");
        assert!(crate::kernel::hooks::OOM_SIGNALS.contains(&name), "{name}");
    }
}

/// The kernel prints its report between the choice and the mark, to a slow console.
#[test]
fn a_mark_that_comes_late_is_no_second_kill() {
    let mut kills = Kills::new(facts_with_hooks());
    kills.apply(&chosen(1_000 * MS, 4, 3));
    assert!(kills.settled(3_900 * MS).is_empty(), "the mark may come");
    kills.apply(&victim(4_000 * MS, 4, 3));
    kills.apply(&victim(4_001 * MS, 5, 3));
    assert!(kills.settled(4_020 * MS).is_empty(), "its group may follow");
    let stories = kills.settled(4_200 * MS);
    assert_eq!(stories.len(), 1);
    let report = &stories[0].report;
    assert_eq!((report.time_ns, report.victim.pid), (1_000 * MS, 4));
    assert_eq!(report.also_killed, [owned(5)]);
    assert_eq!(stories[0].complete_after_ns, 199 * MS, "since the mark");
    assert!(kills.rest(5_000 * MS).is_empty());
}

#[test]
fn a_choice_whose_victim_had_gone_is_told_with_the_next_one() {
    let mut kills = Kills::new(facts_with_hooks());
    kills.apply(&chosen(1_000 * MS, 4, 3));
    assert!(kills.settled(2_000 * MS).is_empty());
    kills.apply(&chosen(2_000 * MS, 5, 3));
    let stories = kills.settled(2_010 * MS);
    assert_eq!(stories.len(), 1);
    assert_eq!(stories[0].report.victim.pid, 4);
    kills.apply(&victim(2_020 * MS, 5, 3));
    assert_eq!(kills.settled(2_200 * MS)[0].report.victim.pid, 5);
    // Without another one it is told in the end.
    kills.apply(&chosen(3_000 * MS, 6, 3));
    assert!(kills.settled(12_900 * MS).is_empty());
    assert_eq!(kills.settled(13_000 * MS).len(), 1);
}

#[test]
fn a_foretold_choice_is_certain_if_the_room_that_was_left_could_not_change_it() {
    let confidence = |usage_mib: u64, killed_before: Option<u32>| {
        let mut look = look(900 * MS, &[(5, 9_000), (2, 6_000), (4, 500)]);
        let memory = look.cgroups[1].memory.as_mut().unwrap();
        Arc::make_mut(memory).sample.usage_bytes = Some(usage_mib << 20);
        let mut kills = Kills::new(facts(None));
        kills.apply(&Input::OomSnapshot(Arc::new(look)));
        let victims = killed_before.into_iter().map(|pid| (950 * MS, pid));
        for (at_ns, pid) in victims.chain([(1_000 * MS, 5)]) {
            kills.apply(&victim(at_ns, pid, 3));
            let mut log = logged(pid, &[]);
            log.read_ns = at_ns;
            kills.apply(&Input::OomLog(Box::new(log)));
        }
        let mut stories = kills.settled(9_000 * MS).into_iter();
        let story = stories.find(|story| story.report.victim.pid == 5).unwrap();
        let now = story.foretold.unwrap().now;
        assert_eq!(now.held, Held::Right);
        now.confidence
    };
    // 3,000 pages ahead; 4 MiB are 1,024 pages, 16 MiB are 4,096.
    assert_eq!(confidence(60, None), Some(Confidence::Certain));
    assert_eq!(confidence(48, None), Some(Confidence::Likely));
    // The dead one's memory is to be had again.
    assert_eq!(confidence(60, Some(4)), Some(Confidence::Likely));
}

#[test]
fn a_pid_that_came_again_is_not_the_process_foretold() {
    let herd = [(3, 100), (4, 900), (5, 500)];
    let mut again = owned(4);
    for (started_ns, held, since) in [
        // As the look has it, or rounded to a clock tick by /proc: the same process.
        (Some(4_000), Held::Right, true),
        (Some(9_999_999), Held::Right, true),
        (None, Held::Right, true),
        (Some(990 * MS), Held::Wrong(Cause::NotThere), false),
    ] {
        again.start_boottime_ns = started_ns;
        let mut kills = Kills::new(facts(None));
        kills.apply(&Input::OomSnapshot(Arc::new(look(980 * MS, &herd))));
        kills.apply(&Input::Victim(VictimEvent {
            time_ns: 1_000 * MS,
            received_ns: None,
            victim: again.clone(),
            trigger: owned(3),
        }));
        kills.apply(&Input::OomLog(Box::new(logged(4, &[(3, 110), (4, 910)]))));
        let story = kills.rest(1_050 * MS).remove(0);
        let foretold = story.foretold.unwrap();
        assert_eq!(foretold.now.held, held, "{started_ns:?}");
        assert_eq!(foretold.since_ns.is_some(), since, "{started_ns:?}");
    }
}

#[test]
fn a_limit_that_was_lowered_is_told() {
    let herd = [(3, 100), (4, 900)];
    let mut log = logged(4, &[(3, 110), (4, 910)]);
    log.limit_bytes = Some(32 << 20);
    log.stat = Some(crate::input::MemoryStat::default());
    let looks = vec![look(500 * MS, &herd), look(980 * MS, &herd)];
    let story = told(looks.clone(), 4, log.clone());
    let before = story.at_kill.unwrap().limit_before;
    assert_eq!(before, Some((64 << 20, 20 * MS)));
    log.limit_bytes = Some(64 << 20);
    let story = told(looks, 4, log);
    assert_eq!(story.at_kill.unwrap().limit_before, None);
}

/// After the last look, and without a word in the log.
#[test]
fn a_limit_that_was_lowered_is_told_by_what_the_kernel_reckoned_with() {
    let at_kill = |limit_mib: u64, swap_bytes: u64| {
        let mut look = look(980 * MS, &[(3, 100), (4, 900)]);
        look.node.swap_total_bytes = swap_bytes;
        let mut kills = Kills::new(facts_with_hooks());
        kills.apply(&Input::OomSnapshot(Arc::new(look)));
        let Input::OomKill(mut kill) = chosen(1_000 * MS, 4, 3) else {
            unreachable!("a choice");
        };
        kill.totalpages = limit_mib << 8;
        kills.apply(&Input::OomKill(kill));
        kills.apply(&victim(1_001 * MS, 4, 3));
        let story = kills.settled(1_200 * MS).remove(0);
        let memory = story.at_kill.unwrap();
        (memory.limit_bytes, memory.limit_before)
    };
    assert_eq!(at_kill(24, 0), (Some(24 << 20), Some((64 << 20, 20 * MS))));
    assert_eq!(at_kill(64, 0), (Some(64 << 20), None));
    // With swap it is not the limit alone.
    assert_eq!(at_kill(96, 32 << 20), (Some(64 << 20), None));
}

#[test]
fn without_hooks_the_log_and_the_looks_tell() {
    let herd = [(3, 100), (4, 900), (5, 500)];
    let story = told(
        vec![look(500 * MS, &herd), look(980 * MS, &herd)],
        4,
        logged(4, &[(3, 110), (4, 910), (5, 500)]),
    );
    let limit = story.limit.as_ref().unwrap();
    assert_eq!((limit.owner, limit.told), (Owner::Own, Told::KernelLog));
    assert_eq!(limit.cgroup_id, Some(CGROUP));
    assert_eq!((story.fate, story.totalpages), (Fate::Chosen, Some(16_384)));
    let table = story.table.as_ref().unwrap();
    assert_eq!(
        (table.source, table.rows.len()),
        (TableSource::KernelLog, 3)
    );
    assert_eq!(story.points(), Some((910, false)));
    let foretold = story.foretold.as_ref().unwrap();
    assert_eq!(foretold.now.held, Held::Right);
    assert_eq!(foretold.now.before_ns, 20 * MS);
    assert_eq!(foretold.since_ns, Some(500 * MS));
    assert_eq!(story.window.as_ref().unwrap().victim_grew_pages, Some(0));
    assert_eq!(story.complete_after_ns, 50 * MS);
    assert!(story.differences.is_empty());
}

#[test]
fn without_hooks_the_log_tells_who_died_as_a_group() {
    let mut kills = Kills::new(facts(None));
    for (at_ns, pid) in [(1_000, 4), (1_010, 5), (1_030, 6), (1_040, 7)] {
        kills.apply(&victim(at_ns * MS, pid, 3));
    }
    let member = |pid: u32, group: Option<&str>| {
        Input::OomLog(Box::new(OomLogEvent {
            read_ns: 1_050 * MS,
            killed_tid: pid,
            group: group.map(str::to_owned),
            ..OomLogEvent::default()
        }))
    };
    kills.apply(&Input::OomLog(Box::new(logged(4, &[(4, 900)]))));
    kills.apply(&Input::OomGone(OomGoneEvent {
        time_ns: 1_045 * MS,
        pid: 4,
    }));
    assert!(kills.settled(1_060 * MS).is_empty(), "are those its group?");
    // The kernel tells of the first one once more.
    for pid in [4, 5, 6] {
        kills.apply(&member(pid, Some("/c7")));
    }
    kills.apply(&member(7, None));
    let stories = kills.settled(9_000 * MS);
    let told: Vec<_> = stories.iter().map(|story| &story.report).collect();
    let along = |report: &KillReport| report.also_killed.iter().map(|task| task.pid).collect();
    let along: Vec<Vec<u32>> = told.into_iter().map(along).collect();
    assert_eq!(along, [vec![5, 6], vec![]], "7 is another kill");
}

#[test]
fn a_wrong_prediction_names_its_cause() {
    let herd = [(3, 100), (4, 900), (5, 850)];
    let cause = |killed, log| match told(vec![look(980 * MS, &herd)], killed, log).foretold {
        Some(foretold) => foretold.now.held,
        None => panic!("nothing foretold"),
    };
    let grew = logged(5, &[(3, 100), (4, 900), (5, 950)]);
    assert_eq!(cause(5, grew), Held::Wrong(Cause::Moved));
    let late = logged(6, &[(3, 100), (4, 900), (6, 950)]);
    assert_eq!(cause(6, late), Held::Wrong(Cause::NotThere));
    let without = logged(5, &[(3, 100), (5, 850)]);
    assert_eq!(cause(5, without), Held::Wrong(Cause::Gone));
    let mut smaller = logged(5, &[(3, 100), (4, 900), (5, 850)]);
    smaller.limit_bytes = Some(32 << 20);
    assert_eq!(cause(5, smaller), Held::Wrong(Cause::LimitChanged));
    let mut adjusted = logged(5, &[(3, 100), (4, 900), (5, 850)]);
    adjusted.tasks[1].oom_score_adj = -500;
    assert_eq!(cause(5, adjusted), Held::Wrong(Cause::AdjChanged));
    let same = logged(5, &herd);
    assert_eq!(cause(5, same), Held::Wrong(Cause::Unexplained));
}

#[test]
fn the_dead_are_left_out_of_what_stands() {
    let mut kills = Kills::new(facts(Some("no such file")));
    let herd = [(3, 100), (4, 900), (5, 850)];
    kills.apply(&Input::OomSnapshot(Arc::new(look(980 * MS, &herd))));
    for (at_ms, pid) in [(1_000, 4), (1_001, 5)] {
        kills.apply(&victim(at_ms * MS, pid, pid));
    }
    let stories = kills.settled(1_200 * MS);
    assert_eq!(stories.len(), 2);
    // Neither hook nor log: whose limit it was is unknown, and so is what stood for it.
    for story in &stories {
        assert_eq!(story.fate, Fate::Unknown);
        assert!(story.limit.is_none() && story.foretold.is_none());
    }

    let mut kills = Kills::new(facts(None));
    kills.apply(&Input::OomSnapshot(Arc::new(look(980 * MS, &herd))));
    for (at_ms, pid) in [(1_000, 4), (1_001, 5)] {
        kills.apply(&victim(at_ms * MS, pid, 3 + pid));
        kills.apply(&Input::OomLog(Box::new(logged(pid, &herd))));
    }
    let stories = kills.settled(1_200 * MS);
    let held = |story: &KillStory| story.foretold.as_ref().map(|foretold| foretold.now.held);
    assert_eq!(held(&stories[0]), Some(Held::Right));
    assert_eq!(held(&stories[1]), Some(Held::Right));
}

#[test]
fn a_mark_without_a_word_in_the_log_was_no_choice() {
    let mut kills = Kills::new(facts(None));
    kills.apply(&victim(1_000 * MS, 4, 4));
    assert!(kills.settled(3_900 * MS).is_empty(), "the log may be late");
    let stories = kills.settled(4_000 * MS);
    assert_eq!(stories[0].fate, Fate::WasDying);
}

#[test]
fn the_log_is_held_against_the_hooks() {
    let mut kills = Kills::new(facts(None));
    let path = Some("/elsewhere".to_owned());
    kills.apply(&Input::CgroupPath(CgroupPath { id: CGROUP, path }));
    // The log may be read first.
    kills.apply(&Input::OomLog(Box::new(logged(4, &[(4, 900)]))));
    kills.apply(&victim(1_000 * MS, 4, 9));
    let stories = kills.rest(1_001 * MS);
    let what: Vec<_> = stories[0].differences.iter().map(|one| one.what).collect();
    assert_eq!(what, ["victim_cgroup", "trigger_comm"]);
}

/// The look after the kill shows a domain that is far from its limit; what stood before it counts.
#[test]
fn what_was_foretold_near_the_limit_outlives_the_kill() {
    let herd = [(3, 100), (4, 900)];
    let full = |at_ns, used_mib: u64| {
        let mut look = look(at_ns, &herd);
        let memory = look.cgroups[1].memory.as_mut().unwrap();
        Arc::make_mut(memory).sample.usage_bytes = Some(used_mib << 20);
        look
    };
    let mut kills = Kills::new(facts(None));
    for look in [full(800 * MS, 40), full(900 * MS, 54), full(980 * MS, 60)] {
        kills.apply(&Input::OomSnapshot(Arc::new(look)));
    }
    kills.apply(&victim(1_000 * MS, 4, 3));
    kills.apply(&Input::OomLog(Box::new(logged(4, &herd))));
    kills.apply(&Input::OomSnapshot(Arc::new(full(1_010 * MS, 20))));
    let stories = kills.settled(1_200 * MS);
    let foretold = stories[0].foretold.as_ref().unwrap();
    let at_limit = foretold.at_limit.as_ref().unwrap();
    assert_eq!((at_limit.held, at_limit.before_ns), (Held::Right, 100 * MS));
    assert_eq!(foretold.now.before_ns, 20 * MS);
}

/// However fast the looks come, a minute of them stays a few dozen.
#[test]
fn the_history_stays_small() {
    let mut kills = Kills::new(facts(None));
    for at in 0..7_000_u64 {
        kills.apply(&Input::OomSnapshot(Arc::new(look(
            at * 10 * MS,
            &[(4, 900)],
        ))));
    }
    let kept: Vec<_> = kills.standing().before_newest_first(u64::MAX).collect();
    let oldest = kept.last().unwrap().time.monotonic_ns;
    assert!(kept.len() < 40, "{}", kept.len());
    assert!((69_990 * MS - oldest) > 20_000 * MS, "{oldest}");
}
