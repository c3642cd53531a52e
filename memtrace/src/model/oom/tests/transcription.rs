//! The kernel's selection written down as plainly as it stands in C, and random processes put to
//! both.

use proptest::prelude::*;

use super::{ROOT, cgroup, snapshot, task};
use crate::{
    input::{OomTask, RssCounters, RssPages},
    model::oom::{Outcome, badness, predict},
};

/// mm/oom_kill.c of 7.2, `oom_badness`, with the reading of the counters left to the caller.
fn oom_badness(task: &OomTask, totalpages: u64, read: impl Fn(i64, i64) -> i64) -> i64 {
    if task.pid == 1 || task.kernel_thread {
        return i64::MIN;
    }
    if task.no_memory {
        return i64::MIN;
    }
    let mut adj = i64::from(task.oom_score_adj);
    if adj == -1000 || task.oom_skip == Some(true) || task.vfork == Some(true) {
        return i64::MIN;
    }
    let unsynced = task.unsynced.unwrap_or_default();
    let mut points = read(task.rss.file, unsynced.file)
        + read(task.rss.anon, unsynced.anon)
        + read(task.rss.shmem, unsynced.shmem);
    points += read(task.rss.swap, unsynced.swap);
    points += (task.pagetable_bytes / 4096) as i64;
    adj *= (totalpages / 1000) as i64;
    points += adj;
    points
}

/// `oom_evaluate_task` for each in order; `Err` if the scan is aborted.
fn select(
    tasks: &[OomTask],
    totalpages: u64,
    read: impl Fn(i64, i64) -> i64,
) -> Result<Option<u32>, u32> {
    let (mut chosen, mut chosen_points) = (None, i64::MIN);
    for task in tasks {
        if task.pid == 1 || task.kernel_thread {
            continue;
        }
        if let Some(reaped) = task.victim {
            if reaped {
                continue;
            }
            return Err(task.pid);
        }
        let points = if task.origin == Some(true) {
            i64::MAX
        } else {
            oom_badness(task, totalpages, &read)
        };
        if points == i64::MIN || points < chosen_points {
            continue;
        }
        (chosen, chosen_points) = (Some(task.pid), points);
    }
    Ok(chosen)
}

fn any_task(pid: u32) -> impl Strategy<Value = OomTask> {
    // Few values, so that ties and exceptions are common.
    let pages = prop_oneof![Just(0i64), Just(100), Just(101), -70i64..5_000];
    let counters = prop::array::uniform4(pages);
    let unsynced = prop::array::uniform4(-64i64..64);
    let adj = prop_oneof![Just(0), Just(-1000), Just(1000), -999i32..1000];
    let rare = || prop::bool::weighted(0.05);
    let flags = (rare(), rare(), rare(), rare(), rare());
    let victim = prop_oneof![
        40 => Just(None),
        1 => Just(Some(true)),
        1 => Just(Some(false))
    ];
    (counters, unsynced, 0u64..400_000, adj, flags, victim).prop_map(
        move |(rss, unsynced, pagetable_bytes, adj, flags, victim)| {
            let pages = |[file, anon, shmem, swap]: [i64; 4]| RssPages {
                file,
                anon,
                shmem,
                swap,
            };
            OomTask {
                rss: pages(rss),
                unsynced: Some(pages(unsynced)),
                pagetable_bytes,
                kernel_thread: flags.0,
                no_memory: flags.1,
                oom_skip: Some(flags.2),
                vfork: Some(flags.3),
                origin: Some(flags.4),
                victim,
                ..task(pid, 2, 0, adj)
            }
        },
    )
}

fn any_tasks() -> impl Strategy<Value = Vec<OomTask>> {
    (1usize..12).prop_flat_map(|count| (1..=count as u32).map(any_task).collect::<Vec<_>>())
}

fn clamp_shared(shared: i64, _: i64) -> i64 {
    shared.max(0)
}

fn clamp_sum(shared: i64, unsynced: i64) -> i64 {
    (shared + unsynced).max(0)
}

proptest! {
    #[test]
    fn the_model_chooses_as_the_kernel_does(
        tasks in any_tasks(),
        limit_mib in 1u64..4096,
        kernel in 0..3usize,
    ) {
        let counters = [
            RssCounters::Atomic,
            RssCounters::PerCpu { lag_pages: 64 },
            RssCounters::Summed,
        ][kernel];
        let read = if kernel == 2 { clamp_sum } else { clamp_shared };
        let mut asked = snapshot(
            2,
            vec![cgroup(ROOT, None, None), cgroup(2, Some(ROOT), Some(limit_mib))],
            tasks.clone(),
        );
        asked.rss_counters = counters;
        let totalpages = limit_mib << 8;
        for task in &tasks {
            if oom_badness(task, totalpages, read) != i64::MIN {
                let ours = badness(task, totalpages, counters, 4096);
                prop_assert_eq!(ours.points, oom_badness(task, totalpages, read));
            }
        }
        let prediction = predict(None, &asked);
        let domain = &prediction.domains[0];
        prop_assert_eq!(domain.totalpages, totalpages);
        let pid = |index: usize| domain.candidates[index].task.pid;
        let ours = match domain.now.outcome {
            Outcome::Kill(index) => Ok(Some(pid(index))),
            Outcome::WaitForDying(index) => Err(pid(index)),
            _ => Ok(None),
        };
        prop_assert_eq!(ours, select(&tasks, totalpages, read));
    }
}
