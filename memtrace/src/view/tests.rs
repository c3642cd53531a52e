use insta::assert_snapshot;
use memtrace_ebpf::record::RunKind;
use serde_json::Value;

use super::{json, text};
use crate::{
    input::{Input, ReclaimCause, ReclaimEvent, ReclaimKind, ShrinkKind, ShrinkSum},
    model::{
        CauseKind, Explanation,
        testing::{self, ELSEWHERE, MIB, Story, TARGET, activate, grow},
    },
};

/// A bit of everything: second reads, a guess, a child, anon, traffic, reclaim.
fn rich() -> Explanation {
    let mut guess = testing::run(RunKind::Activation, 2, 4712, 30);
    guess.task_certain = false;
    let mut child = testing::run(RunKind::InsertionActive, 5, 4712, 3);
    child.charged_cgroup_id = Some(43);
    let mut elsewhere = testing::run(RunKind::Activation, 2, 4711, 12);
    elsewhere.charged_cgroup_id = Some(ELSEWHERE);
    let mut evicted = testing::run(RunKind::Eviction, 2, 4712, 16);
    evicted.target_cgroup_id = Some(TARGET);
    evicted.in_reclaim = true;
    let mut facts = testing::facts();
    for (signal, hook) in [
        ("refault", "fexit/workingset_refault"),
        ("eviction", "fentry/workingset_eviction"),
    ] {
        facts.hooks.push(testing::hook(signal, Some(hook)));
    }
    let shrunk = |calls| ShrinkSum {
        victim_cgroup_id: Some(TARGET),
        target_cgroup_id: Some(TARGET),
        kind: ShrinkKind::Memcg,
        calls,
        scanned_pages: 3 * calls,
        reclaimed_pages: 2 * calls,
        duration_ns: calls,
    };
    let long = "/var/lib/containers/storage/overlay/9c41/diff/idx/segments/seg_40.dat";
    Story::new(facts, |before| before.shrinks = Some(vec![shrunk(10)]))
        .file(5, long, "ext4")
        .run(RunKind::CacheAdd, 1, 4711, 250)
        .run(RunKind::Activation, 1, 4711, 250)
        .and(Input::Run(guess))
        .and(Input::Run(child))
        .and(Input::Run(elsewhere))
        .run(RunKind::CacheDeleteActive, 2, 4712, 6)
        .run(RunKind::RefaultInsertion, 2, 4712, 4)
        .run(RunKind::RefaultActivated, 2, 4712, 4)
        .run(RunKind::Refault, 2, 4712, 8)
        .and(Input::Run(evicted))
        .run(RunKind::Eviction, 1, 4711, 1)
        .and(Input::Reclaim(ReclaimEvent {
            kind: ReclaimKind::Memcg,
            ended_ns: 1,
            duration_ns: 12_000_000,
            pid: 100,
            tid: 100,
            order: 0,
            task_cgroup_id: Some(TARGET),
            target_cgroup_id: Some(TARGET),
            reclaimed_pages: 512,
            cause: Some(ReclaimCause::Max),
            may_swap: None,
        }))
        .end(|after| {
            activate(after, 274);
            after.shrinks = Some(vec![shrunk(15)]);
            grow!(after, 2, kernel, slab_reclaimable);
            grow!(after, 9, anon);
            after.tasks = Some(vec![testing::process(100, "java", 28)]);
            after
                .members
                .push(testing::member(43, "/shop/search/worker"));
        })
}

/// 64 MiB come and go.
fn command() -> Explanation {
    Story::command()
        .and(Input::CommandStarted {
            pid: 300,
            argv: vec!["./hog".to_owned(), "64".to_owned()],
        })
        .peak(|peak| {
            grow!(peak, 64, anon);
            let hog = testing::process(300, "hog", 64);
            peak.tasks.as_mut().unwrap().push(hog);
        })
        .and(Input::CommandEnded {
            code: None,
            signal: Some(9),
        })
        .and(Input::LeftBehind {
            tasks: vec![(100, "java".to_owned())],
        })
        .end(|after| {
            grow!(after, -64, anon);
            after.tasks.as_mut().unwrap().pop();
            after.hooks[0].records_lost = 2;
        })
}

#[test]
fn text_of_a_rich_session() {
    assert_snapshot!(text::render(&rich()), @r#"
    Working set +285.0 MiB: 250.0 MiB is page cache of /data/t.log that cat (pid
    4711) read a second time; the kernel can drop it.
    No need to raise the limit for it; but node eviction counts it, too.

    TARGET  /shop/search  10.0 s from 2026-11-21T02:14:00.000000000Z
    VIEWS, MiB, at the end (limit 2048.0)
      usage                  467.0  what the cgroup is charged for
      - inactive_file        126.0  page cache used once or long ago
      = working set          341.0  kubectl top, node eviction
      - active_file          284.0  page cache in use
      - file_other             2.0  page cache on neither list
      - shmem                  8.0  tmpfs, memfd, SysV
      - kernel and sock       18.0  slab, stacks, ...
      - counters' lag          0.0  usage against statistics
      = anon (rss)            29.0  ~ ps
      + counted apart         -1.0  shared since fork; counters' lag
      + mapped files           1.0  in the processes' rss
      + mapped shmem           0.0  in the processes' rss
      + swapped out            0.0
      + page tables            2.0
      = OOM killer counts     31.0  all processes, without oom_score_adj
    CHANGE                     MiB  comes back?
      active_file           +274.0  now
        second read         +250.0  /data/t.log  cat[4711]
        second read          +30.0  /data/idx/seg_41.dat  grep[4712]?
        removed               -6.0  /data/idx/seg_41.dat  grep[4712]
        refault               +4.0  /data/idx/seg_41.dat  grep[4712]
        came in active        +3.0  /var/li…ments/seg_40.dat  grep[4712]  in worker
        unattributed          -7.0
      anon                    +9.0  swap only; no swap
        grew                  +8.0  java[100]
        unattributed          +1.0
      slab_reclaimable        +2.0  mostly
      residual                +0.0  bound 0.6
      = working set         +285.0  56.0 -> 341.0
    CACHE IN AND OUT           MiB  not active: no working set
      read in                250.0  /data/t.log  cat[4711]
    USED, NOT PAID FOR         MiB  charged elsewhere
      second read             12.0  /data/idx/seg_41.dat  cat[4711]  on cgroup 7
    RECLAIM  at the limit of this cgroup: passes 1, 2.0 MiB freed
             stall, ms: p50 12.0, p90 12.0, p99 12.0, max 12.0; sum 12.0
    EVICTED                    MiB  from this cgroup
      by reclaim              16.0  /data/idx/seg_41.dat  for this cgroup
      by reclaim               1.0  /data/t.log  for the node
    TRUST  0 lost; hooks complete; classic LRU; cgroup v2; delay max 2.0 ms
    "#);
}

#[test]
fn text_of_a_command() {
    assert_snapshot!(text::render(&command()), @r#"
    Working set +64.0 MiB at its peak: 64.0 MiB is anonymous memory of hog (pid
    300); it stays: there is no swap to move it to.
    Then -64.0 MiB (+0.0 MiB in all): 64.0 MiB was anonymous memory of hog (pid
    300), which has ended.

    TARGET  /shop/search  20.0 s from 2026-11-21T02:14:00.000000000Z
    RUN     ./hog 64  ended by signal 9
            left running: java[100]
    VIEWS, MiB, at the end (limit 2048.0)
      usage                  456.0  what the cgroup is charged for
      - inactive_file        400.0  page cache used once or long ago
      = working set           56.0  kubectl top, node eviction
      - active_file           10.0  page cache in use
      - file_other             2.0  page cache on neither list
      - shmem                  8.0  tmpfs, memfd, SysV
      - kernel and sock       16.0  slab, stacks, ...
      - counters' lag          0.0  usage against statistics
      = anon (rss)            20.0  ~ ps
      + counted apart          0.0  shared since fork; counters' lag
      + mapped files           1.0  in the processes' rss
      + mapped shmem           0.0  in the processes' rss
      + swapped out            0.0
      + page tables            2.0
      = OOM killer counts     23.0  all processes, without oom_score_adj
    CHANGE TO THE PEAK         MiB  comes back?
      anon                   +64.0  swap only; no swap
        new                  +64.0  hog[300]
      pagetables              +0.0  no
        new                   +2.0  hog[300]
        unattributed          -2.0
      residual                +0.0  bound 0.6
      = working set          +64.0  56.0 -> 120.0
    CHANGE SINCE PEAK          MiB  comes back?
      anon                   -64.0  swap only; no swap
        gone                 -64.0  hog[300]
      pagetables              +0.0  no
        gone                  -2.0  hog[300]
        unattributed          +2.0
      residual                +0.0  bound 0.6
      = working set          -64.0  120.0 -> 56.0
      ! 2 events with 0 pages were lost: attributed figures are too low, and a
        larger ring buffer may help
    TRUST  2 lost; hooks complete; classic LRU; cgroup v2; delay max 0.0 ms
    "#);
}

#[test]
fn lines_keep_to_80_columns() {
    for explanation in [rich(), command()] {
        for line in text::render(&explanation).lines() {
            assert!(line.chars().count() < 80, "{line}");
        }
    }
}

#[test]
fn json_has_the_keys_that_programs_rely_on() {
    let text = json::render(&rich());
    assert_eq!(text, json::render(&rich()), "equal inputs, equal bytes");
    let json: Value = serde_json::from_str(&text).unwrap();
    let mib = |value: &Value| value.as_i64().map(|bytes| bytes / MIB as i64);
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["command"], "explain");
    assert_eq!(mib(&json["working_set"]["before_bytes"]), Some(56));
    assert!(json["working_set"].get("peak_bytes").is_none());
    assert_eq!(json["window"]["start"], "2026-11-21T02:14:00.000000000Z");
    assert_eq!(json["window"]["duration_seconds"], 10.0);
    let active = &json["components"][0];
    assert_eq!(active["name"], "active_file");
    assert_eq!(mib(&active["delta_bytes"]), Some(274));
    assert_eq!(active["reclaimable"], "now");
    let cause = &json["causes"][0];
    assert_eq!(cause["component"], "active_file");
    assert_eq!(cause["kind"], "second_access");
    assert_eq!(mib(&cause["bytes"]), Some(250));
    assert_eq!(cause["file"]["path"], "/data/t.log");
    assert_eq!(cause["file"]["fs_path"], "/data/t.log");
    assert_eq!(cause["file"]["fstype"], "ext4");
    assert_eq!(cause["file"]["device"], 8 << 20 | 1);
    assert_eq!(cause["file"]["inode"], 1);
    assert_eq!(cause["file"]["deleted"], false);
    assert_eq!(cause["file"]["truncated"], false);
    assert_eq!(cause["task"]["pid"], 4711);
    assert_eq!(cause["task"]["comm"], "cat");
    assert_eq!(cause["task"]["certain"], true);
    assert_eq!(cause["charged_cgroup"], "/shop/search");
    assert_eq!(json["unexplained_bytes"].as_i64(), Some(0));
    assert!(json["error_bound_bytes"].is_u64());
    assert!(json["verdict"].as_str().unwrap().contains("/data/t.log"));
    assert_eq!(json["trust"]["events_lost"], 0);
    assert_eq!(json["trust"]["hooks_missing"], Value::Array(Vec::new()));
}

#[test]
fn reclaim_tells_cause_victim_and_target() {
    let json: Value = serde_json::from_str(&json::render(&rich())).unwrap();
    let reclaim = &json["reclaim"];
    assert_eq!(reclaim["by_cause"][0]["cause"], "max");
    assert_eq!(reclaim["by_cause"][0]["target_cgroup"], "/shop/search");
    assert_eq!(reclaim["by_task"][0]["task"]["pid"], 100);
    assert_eq!(reclaim["refaulted_bytes"], 12 * MIB);
    assert_eq!(reclaim["refaulted_active_bytes"], 4 * MIB);
    let evicted = &reclaim["evicted"];
    assert_eq!(evicted["bytes"], 17 * MIB);
    assert_eq!(evicted["rows"][0]["file"]["path"], "/data/idx/seg_41.dat");
    assert_eq!(evicted["rows"][0]["victim_cgroup"], "/shop/search");
    assert_eq!(evicted["rows"][0]["target_cgroup"], "/shop/search");
    assert_eq!(evicted["rows"][1]["target_cgroup"], Value::Null);
    assert_eq!(reclaim["shrunk"][0]["calls"], 5);
    assert_eq!(reclaim["shrunk"][0]["reclaimed_bytes"], 10 * 4096);
}

#[test]
fn what_no_hook_saw_is_unknown() {
    let json: Value = serde_json::from_str(&json::render(&command())).unwrap();
    for key in ["refaulted_bytes", "evicted", "shrunk"] {
        assert_eq!(json["reclaim"][key], Value::Null, "{key}");
    }
}

#[test]
fn a_refault_is_counted_once() {
    let explanation = rich();
    let causes = explanation.whole.ledger.causes.iter();
    let refaults: Vec<_> = causes
        .filter(|cause| cause.kind == CauseKind::Refault)
        .map(|cause| cause.bytes)
        .collect();
    assert_eq!(refaults, [4 * MIB as i64]);
}

#[test]
fn json_of_a_command_has_both_ways() {
    let json: Value = serde_json::from_str(&json::render(&command())).unwrap();
    assert_eq!(json["working_set"]["peak_bytes"], 120 * MIB);
    assert_eq!(json["phases"][0]["name"], "before_to_peak");
    assert_eq!(json["phases"][1]["causes"][0]["kind"], "gone");
    assert_eq!(json["run"]["signal"], 9);
    assert_eq!(json["run"]["exit_code"], Value::Null);
    assert_eq!(json["run"]["left_behind"][0]["comm"], "java");
    assert_eq!(json["trust"]["events_lost"], 2);
}

#[test]
fn many_causes_are_capped_and_their_sum_is_kept() {
    let mut story = Story::begin();
    for inode in 0..300 {
        story = story.run(RunKind::Activation, inode, 4711, 1);
    }
    let explanation = story.end(|after| activate(after, 300));
    let json: Value = serde_json::from_str(&json::render(&explanation)).unwrap();
    let causes = json["causes"].as_array().unwrap();
    assert_eq!(causes.len(), 201);
    assert_eq!(causes[200]["kind"], "rest");
    assert_eq!(causes[200]["causes"], 100);
    let sum: i64 = causes.iter().map(|c| c["bytes"].as_i64().unwrap()).sum();
    assert_eq!(sum, 300 * MIB as i64);
    let active = &json["components"][0];
    assert_eq!(active["delta_bytes"], 300 * MIB);
    assert!(text::render(&explanation).lines().count() < 60);
}

#[test]
fn every_key_is_documented() {
    fn keys(value: &Value, found: &mut std::collections::BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    found.insert(key.clone());
                    keys(value, found);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let document = include_str!("../../../docs/json/explain.md");
    let mut found = std::collections::BTreeSet::new();
    for explanation in [rich(), command()] {
        let json = json::render(&explanation);
        keys(&serde_json::from_str(&json).unwrap(), &mut found);
    }
    let undocumented: Vec<_> = found
        .iter()
        .filter(|key| {
            let (plain, list) = (format!("`{key}`"), format!("`{key}[]`"));
            !document.contains(&plain) && !document.contains(&list)
        })
        .collect();
    assert!(undocumented.is_empty(), "{undocumented:?}");
    assert!(found.len() > 80, "{}", found.len());
}
