mod document;
mod kernel;
mod ownership;

use insta::assert_snapshot;
use memtrace_ebpf::record::RunKind;

use crate::{
    input::{Input, LruKind, OwnedBy, Sample, VictimEvent},
    model::{
        Explanation, Rule,
        testing::{self, MIB, PAGES, Story, TARGET, activate, grow},
    },
};

/// Each sentence with the rule that said it.
fn told(explanation: &Explanation) -> String {
    let sentences = explanation.verdict.sentences.iter();
    let lines: Vec<_> = sentences
        .map(|s| format!("{}: {}", s.rule.id(), s.text))
        .collect();
    lines.join("\n")
}

fn anon(sample: &mut Sample, mib: i64) {
    grow!(sample, mib, anon);
}

#[test]
fn second_access() {
    let explanation = Story::begin()
        .run(RunKind::Activation, 1, 4711, 100)
        .end(|after| activate(after, 100));
    assert_snapshot!(told(&explanation), @r#"
    second_access: Working set +100.0 MiB: 100.0 MiB is page cache of /data/t.log that cat (pid 4711) read a second time; the kernel can drop it.
    advice: No need to raise the limit for it; but node eviction counts it, too.
    "#);
}

#[test]
fn second_access_of_many_files_by_a_guess() {
    let mut guess = testing::run(RunKind::Activation, 2, 4712, 14);
    guess.task_certain = false;
    let explanation = Story::begin()
        .and(Input::Run(guess))
        .run(RunKind::Activation, 1, 4711, 12)
        .end(|after| activate(after, 26));
    assert_snapshot!(told(&explanation), @r#"
    second_access: Working set +26.0 MiB: 26.0 MiB is page cache of 2 files, first of them /data/idx/seg_41.dat (14.0 MiB), that probably grep (pid 4712) and 1 other read a second time; the kernel can drop it.
    advice: No need to raise the limit for it; but node eviction counts it, too.
    "#);
}

#[test]
fn a_file_read_twice_and_dropped_is_not_the_growth() {
    let explanation = Story::begin()
        .run(RunKind::Activation, 2, 4712, 500)
        .run(RunKind::CacheDeleteActive, 2, 4712, 500)
        .run(RunKind::Activation, 1, 4711, 20)
        .end(|after| activate(after, 20));
    assert_snapshot!(told(&explanation), @r#"
    second_access: Working set +20.0 MiB: 20.0 MiB is page cache of /data/t.log that cat (pid 4711) read a second time; the kernel can drop it.
    advice: No need to raise the limit for it; but node eviction counts it, too.
    "#);
}

#[test]
fn dirty_cache_comes_back_after_writeback() {
    let explanation = Story::begin()
        .run(RunKind::Activation, 1, 4711, 30)
        .end(|after| {
            activate(after, 30);
            after.cgroup.stat.file_dirty = Some(400 * MIB);
        });
    assert_snapshot!(told(&explanation), @r#"
    second_access: Working set +30.0 MiB: 30.0 MiB is page cache of /data/t.log that cat (pid 4711) read a second time; the kernel can drop it once it is written back.
    advice: No need to raise the limit for it; but node eviction counts it, too.
    "#);
}

#[test]
fn inserted_active() {
    let explanation = Story::begin()
        .run(RunKind::InsertionActive, 1, 4711, 9)
        .end(|after| grow!(after, 9, file, active_file));
    assert_snapshot!(told(&explanation), @r#"
    inserted_active: Working set +9.0 MiB: 9.0 MiB is page cache of /data/t.log that came in active (read again soon after it was evicted, or moved), by cat (pid 4711); the kernel can drop it.
    advice: No need to raise the limit for it; but node eviction counts it, too.
    "#);
}

#[test]
fn mglru() {
    let mut facts = testing::facts();
    facts.lru = LruKind::MultiGen;
    let explanation = Story::new(facts, |_| ())
        .run(RunKind::CacheAdd, 1, 4711, 30)
        .end(|after| grow!(after, 30, file, active_file));
    assert_snapshot!(told(&explanation), @r#"
    mglru: Working set +30.0 MiB: 30.0 MiB is page cache in the two youngest generations (MGLRU does not tell who used it); most that came in is /data/t.log, by cat (pid 4711); the kernel can drop it.
    advice: No need to raise the limit for it; but node eviction counts it, too.
    "#);
}

#[test]
fn active_file_that_nobody_is_known_for() {
    let explanation = Story::begin().end(|after| activate(after, 10));
    assert_snapshot!(told(&explanation), @r#"
    unattributed: Working set +10.0 MiB: 10.0 MiB is active page cache, through whom is not known; the kernel can drop it.
    advice: No need to raise the limit for it; but node eviction counts it, too.
    "#);
}

#[test]
fn removed() {
    let explanation = Story::begin()
        .run(RunKind::CacheDeleteActive, 1, 4711, 8)
        .end(|after| grow!(after, -8, file, active_file));
    assert_snapshot!(told(&explanation), @r#"
    removed: Working set -8.0 MiB: 8.0 MiB was page cache of /data/t.log that cat (pid 4711) deleted, truncated or dropped.
    "#);
}

#[test]
fn evicted() {
    let mut evicted = testing::run(RunKind::CacheDeleteActive, 1, 4711, 8);
    evicted.in_reclaim = true;
    let explanation = Story::begin()
        .and(Input::Run(evicted))
        .end(|after| grow!(after, -8, file, active_file));
    assert_snapshot!(told(&explanation), @r#"
    evicted: Working set -8.0 MiB: 8.0 MiB was page cache of /data/t.log that reclaim evicted.
    "#);
}

#[test]
fn deactivated() {
    let explanation = Story::begin().end(|after| {
        activate(after, -8);
        after.cgroup.stat.pgdeactivate = Some(9 * PAGES);
    });
    assert_snapshot!(told(&explanation), @r#"
    deactivated: Working set -8.0 MiB: 8.0 MiB is page cache that went back to the inactive list.
    "#);
}

#[test]
fn anon_of_one_process() {
    let explanation = Story::begin().end(|after| {
        anon(after, 64);
        after.tasks = Some(vec![testing::process(100, "java", 84)]);
    });
    assert_snapshot!(told(&explanation), @r#"
    anon: Working set +64.0 MiB: 64.0 MiB is anonymous memory of java (pid 100); it stays: there is no swap to move it to.
    advice: It counts fully against the limit of 2048.0 MiB.
    "#);
}

#[test]
fn anon_of_many_processes_with_swap() {
    let explanation = Story::begin().end(|after| {
        anon(after, 60);
        after.cgroup.swap_available_bytes = Some(1024 * MIB);
        let cc = (0..6).map(|n| testing::process(200 + n, "cc1", 10));
        after.tasks.as_mut().unwrap().extend(cc);
    });
    assert_snapshot!(told(&explanation), @r#"
    anon: Working set +60.0 MiB: 60.0 MiB is anonymous memory of 6 processes, first of them cc1 (pid 200) (10.0 MiB); under pressure it can only go to swap.
    advice: It counts fully against the limit of 2048.0 MiB.
    "#);
}

#[test]
fn anon_that_went_with_its_process() {
    let explanation = Story::begin().end(|after| {
        anon(after, -20);
        after.tasks = Some(Vec::new());
    });
    assert_snapshot!(told(&explanation), @r#"
    anon: Working set -20.0 MiB: 20.0 MiB was anonymous memory of java (pid 100), which has ended.
    "#);
}

#[test]
fn anon_that_a_process_gave_back() {
    let explanation = Story::begin().end(|after| {
        anon(after, -12);
        after.tasks = Some(vec![testing::process(100, "java", 8)]);
    });
    assert_snapshot!(told(&explanation), @r#"
    anon: Working set -12.0 MiB: 12.0 MiB was anonymous memory of java (pid 100), which gave it back.
    "#);
}

#[test]
fn anon_without_a_scan() {
    let explanation = Story::begin().end(|after| {
        anon(after, 12);
        after.tasks = None;
    });
    assert_snapshot!(told(&explanation), @r#"
    unattributed: Working set +12.0 MiB: 12.0 MiB is anonymous memory, through whom is not known; it stays: there is no swap to move it to.
    advice: It counts fully against the limit of 2048.0 MiB.
    "#);
}

#[test]
fn parts_of_huge_pages_that_were_given_back() {
    let listed = |before: &mut Sample| {
        // Anon and shmem; and what of the page cache is on neither of its lists.
        before.cgroup.stat.inactive_anon = Some(28 * MIB);
        before.cgroup.stat.active_anon = Some(0);
        before.cgroup.stat.unevictable = Some(2 * MIB);
    };
    let explanation = Story::new(testing::facts(), listed).end(|after| {
        grow!(after, 64, inactive_anon);
    });
    assert_snapshot!(told(&explanation), @"lru_unmapped: Working set +64.0 MiB: 64.0 MiB is memory that was given back and is not free yet (parts of huge pages, mostly); the kernel can free most of it.");
}

#[test]
fn shmem() {
    let explanation = Story::begin()
        .file(3, "/dev/shm/cache", "tmpfs")
        .run(RunKind::ShmemInsertion, 3, 4711, 48)
        .end(|after| grow!(after, 48, shmem, file));
    assert_snapshot!(told(&explanation), @r#"
    shmem: Working set +48.0 MiB: 48.0 MiB is shared memory of /dev/shm/cache, added by cat (pid 4711); it stays: there is no swap to move it to.
    advice: It counts fully against the limit of 2048.0 MiB until the file is deleted.
    "#);
}

#[test]
fn shmem_freed() {
    let explanation = Story::begin()
        .file(3, "/dev/shm/cache", "tmpfs")
        .run(RunKind::ShmemDelete, 3, 4711, 8)
        .end(|after| grow!(after, -8, shmem, file));
    assert_snapshot!(told(&explanation), @r#"
    shmem: Working set -8.0 MiB: 8.0 MiB was shared memory of /dev/shm/cache, freed by cat (pid 4711).
    "#);
}

#[test]
fn slab() {
    let explanation = Story::begin().end(|after| grow!(after, 30, kernel, slab_reclaimable));
    assert_snapshot!(told(&explanation), @r#"
    kernel: Working set +30.0 MiB: 30.0 MiB is kernel memory: reclaimable slab (dentries, inodes); the kernel can free most of it.
    "#);
}

#[test]
fn kernel_memory_of_v1() {
    let explanation = Story::new(testing::facts(), |before| {
        let cgroup = &mut before.cgroup;
        cgroup.kmem_bytes = cgroup.stat.kernel.take();
        let stat = &mut cgroup.stat;
        (
            stat.slab_reclaimable,
            stat.slab_unreclaimable,
            stat.kernel_stack,
        ) = (None, None, None);
        (stat.pagetables, stat.percpu, stat.vmalloc, stat.sock) = (None, None, None, None);
        grow!(before, -1);
    })
    .end(|after| {
        grow!(after, 3);
        after.cgroup.kmem_bytes = after.cgroup.kmem_bytes.map(|v| v + 3 * MIB);
    });
    assert_snapshot!(told(&explanation), @r#"
    kernel: Working set +3.0 MiB: 3.0 MiB is kernel memory (cgroup v1 does not take it apart); how much of it could be freed is not told.
    advice: It counts against the limit of 2048.0 MiB, and no process shows it.
    "#);
}

#[test]
fn page_cache_on_neither_list() {
    let explanation = Story::begin().end(|after| grow!(after, 30, file));
    assert_snapshot!(told(&explanation), @r#"
    unattributed: Working set +30.0 MiB: 30.0 MiB is page cache on neither list (locked, isolated or on its way to one); it stays until its owner lets go.
    "#);
}

#[test]
fn residual() {
    // Usage grows and no counter says why.
    let explanation = Story::begin().end(|after| grow!(after, 30));
    assert_snapshot!(told(&explanation), @r#"
    residual: Working set +30.0 MiB: 30.0 MiB is in no part that the kernel's counters tell.
    weakened: Careful: the residual of 30.0 MiB is beyond its bound of 0.6: part of the change is of a kind that memtrace does not know.
    "#);
}

#[test]
fn no_change() {
    assert_snapshot!(told(&Story::begin().end(|_| ())), @r#"
    no_change: Working set 56.0 MiB, no change beyond the counters' own error (+0.0 MiB, bound 0.6 MiB).
    "#);
}

#[test]
fn a_watched_change_is_real_even_on_a_machine_of_many_cpus() {
    let mut facts = testing::facts();
    facts.stat_error.stat_pages = 100 * PAGES;
    let watched = Story::new(facts.clone(), |_| ())
        .run(RunKind::Activation, 1, 4711, 30)
        .end(|after| activate(after, 30));
    assert_eq!(watched.verdict.sentences[0].rule, Rule::SecondAccess);
    let only_counted = Story::new(facts, |_| ()).end(|after| activate(after, 30));
    assert_eq!(only_counted.verdict.sentences[0].rule, Rule::NoChange);
}

#[test]
fn page_cache_that_is_not_counted() {
    let explanation = Story::begin()
        .run(RunKind::CacheAdd, 1, 4711, 100)
        .end(|after| {
            grow!(after, 100, file, inactive_file);
            grow!(after, 3, kernel, slab_reclaimable);
        });
    assert_snapshot!(told(&explanation), @r#"
    kernel: Working set +3.0 MiB: 3.0 MiB is kernel memory: reclaimable slab (dentries, inodes); the kernel can free most of it.
    cache_outside: Not counted in it: inactive_file +100.0 MiB, page cache used once, most of /data/t.log, by cat (pid 4711); a second read would move it into the working set.
    "#);
}

#[test]
fn unknown() {
    let explanation = Story::begin().end(|after| after.cgroup.usage_bytes = None);
    assert_snapshot!(told(&explanation), @r#"
    unknown: Working set unknown: usage or inactive_file could not be read at the end.
    "#);
}

#[test]
fn also() {
    let explanation = Story::begin()
        .run(RunKind::Activation, 1, 4711, 30)
        .end(|after| {
            activate(after, 30);
            anon(after, 20);
            after.tasks = Some(vec![testing::process(100, "java", 40)]);
        });
    assert_snapshot!(told(&explanation), @r#"
    second_access: Working set +50.0 MiB: 30.0 MiB is page cache of /data/t.log that cat (pid 4711) read a second time; the kernel can drop it.
    also: Also +20.0 MiB: 20.0 MiB is anonymous memory of java (pid 100); it stays: there is no swap to move it to.
    advice: No need to raise the limit for it; but node eviction counts it, too.
    "#);
}

#[test]
fn a_process_that_is_partly_guessed_is_one_process() {
    let mut guessed = testing::run(RunKind::Activation, 1, 4711, 2);
    guessed.task_certain = false;
    let explanation = Story::begin()
        .run(RunKind::Activation, 1, 4711, 28)
        .and(Input::Run(guessed))
        .end(|after| activate(after, 30));
    let headline = &explanation.verdict.sentences[0].text;
    assert!(headline.contains("that cat (pid 4711) read"), "{headline}");
}

#[test]
fn after_peak() {
    let explanation = Story::command()
        .peak(|peak| {
            anon(peak, 64);
            let hog = testing::process(300, "hog", 64);
            peak.tasks.as_mut().unwrap().push(hog);
        })
        .end(|after| {
            anon(after, -64);
            after.tasks.as_mut().unwrap().pop();
        });
    assert_snapshot!(told(&explanation), @r#"
    anon: Working set +64.0 MiB at its peak: 64.0 MiB is anonymous memory of hog (pid 300); it stays: there is no swap to move it to.
    after_peak: Then -64.0 MiB (+0.0 MiB in all): 64.0 MiB was anonymous memory of hog (pid 300), which has ended.
    "#);
}

#[test]
fn oom_kill() {
    let owned = |pid, comm: &str| OwnedBy {
        pid,
        comm: Some(comm.to_owned()),
        cgroup_id: Some(TARGET),
        start_boottime_ns: None,
    };
    let explanation = Story::begin()
        .and(Input::Victim(VictimEvent {
            time_ns: 1,
            received_ns: None,
            victim: owned(100, "java"),
            trigger: owned(101, "sh"),
        }))
        .end(|after| {
            anon(after, -20);
            after.tasks = Some(Vec::new());
        });
    assert_snapshot!(told(&explanation), @r#"
    anon: Working set -20.0 MiB: 20.0 MiB was anonymous memory of java (pid 100), which has ended.
    oom_kill: The OOM killer killed java (pid 100); the allocation that failed was sh (pid 101)'s.
    "#);
}

#[test]
fn weakened() {
    let explanation = Story::begin()
        .run(RunKind::Activation, 1, 4711, 30)
        .end(|after| {
            activate(after, 30);
            after.hooks[0].records_lost = 9;
            after.hooks[0].pages_lost = 900;
        });
    assert_snapshot!(told(&explanation), @r#"
    second_access: Working set +30.0 MiB: 30.0 MiB is page cache of /data/t.log that cat (pid 4711) read a second time; the kernel can drop it.
    weakened: Careful: 9 events with 900 pages were lost: attributed figures are too low, and a larger ring buffer may help.
    advice: No need to raise the limit for it; but node eviction counts it, too.
    "#);
}

#[test]
fn a_damaged_recording_is_said() {
    let explanation = Story::begin().end(|after| activate(after, 30));
    let damage = "the recording is damaged from byte 4096 on".to_owned();
    let explanation = explanation.with_source_warnings([damage]);
    assert_eq!(explanation.trust.warnings[0].id(), "source");
    let careful = &explanation.verdict.sentences[1];
    assert_eq!(careful.rule, Rule::Weakened);
    assert_eq!(
        careful.text,
        "Careful: the recording is damaged from byte 4096 on."
    );
}
