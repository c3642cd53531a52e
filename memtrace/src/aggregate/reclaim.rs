//! Reclaim passes, summed by whom they concern.

use std::{cmp::Reverse, collections::BTreeMap};

use super::Durations;
use crate::{
    input::{ReclaimCause, ReclaimEvent, ReclaimKind},
    model::{Names, ReclaimGroup, Stalled},
};

/// Who asked, and why, who waited, who was short: (kind, cause, the waiting task's cgroup, the
/// cgroup reclaimed for).
type Key = (ReclaimKind, Option<ReclaimCause>, Option<u64>, Option<u64>);

/// (process, its cgroup, the cgroup reclaimed for).
type TaskKey = (u32, Option<u64>, Option<u64>);

/// Sums kept apart where they are the target's, and where they are others'; each has a histogram of some
/// 36 KiB.
const OWN_KEYS: usize = 192;
const OTHER_KEYS: usize = 96;

/// Processes kept apart. Those that a session meets beyond them are in the other sums only.
const TASKS: usize = 4_096;

#[derive(Clone, Debug, Default)]
struct Sum {
    passes: u64,
    reclaimed_pages: u64,
    stall: Durations,
}

impl Sum {
    fn merge(&mut self, other: &Self) {
        self.passes += other.passes;
        self.reclaimed_pages += other.reclaimed_pages;
        self.stall.merge(&other.stall);
    }
}

/// Sums per key. Which cgroups belong to the target is known only in the end.
#[derive(Debug, Default)]
pub(super) struct ReclaimTotals {
    passes: BTreeMap<Key, Sum>,
    /// (passes, ns waited) by process.
    tasks: BTreeMap<TaskKey, (u64, u64)>,
}

impl ReclaimTotals {
    pub(super) fn add(&mut self, event: &ReclaimEvent, names: &Names) {
        let (task, target) = (event.task_cgroup_id, event.target_cgroup_id);
        let key = (event.kind, event.cause, task, target);
        let most = match concerns(names, task, target) {
            true => OWN_KEYS,
            // A child that was just made is not known to be one yet.
            false => OTHER_KEYS,
        };
        let key = match self.passes.len() < most || self.passes.contains_key(&key) {
            true => key,
            // Whose task it was is not told apart any more.
            false => (
                event.kind,
                event.cause,
                None,
                target.filter(|_| most == OWN_KEYS),
            ),
        };
        let sum = self.passes.entry(key).or_default();
        sum.passes += 1;
        sum.reclaimed_pages += event.reclaimed_pages;
        sum.stall.record(event.duration_ns);
        let key = (event.pid, task, target);
        if self.tasks.len() < TASKS || self.tasks.contains_key(&key) {
            let (passes, stall_ns) = self.tasks.entry(key).or_default();
            *passes += 1;
            *stall_ns = stall_ns.saturating_add(event.duration_ns);
        }
    }

    /// The cgroups that were short when reclaim concerned the target.
    pub(super) fn targets(&self, names: &Names) -> impl Iterator<Item = u64> {
        (self.passes.keys())
            .filter(|key| concerns(names, key.2, key.3))
            .filter_map(|key| key.3)
    }

    /// What concerns the target, by kind.
    pub(super) fn by_kind(&self, names: &Names) -> Vec<ReclaimGroup> {
        self.grouped(names, |(kind, _, _, _)| (kind, None, None))
    }

    /// What concerns the target, by kind, cause and target, the longest stall first.
    pub(super) fn by_cause(&self, names: &Names) -> Vec<ReclaimGroup> {
        let mut groups = self.grouped(names, |(kind, cause, _, target)| (kind, cause, target));
        groups.sort_by_key(|group| Reverse(group.stall_total_ns));
        groups
    }

    /// The target's processes that waited, the longest first.
    pub(super) fn by_task(&self, names: &Names) -> Vec<Stalled> {
        let mut sums: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for ((pid, task, target), (passes, stall_ns)) in &self.tasks {
            if concerns(names, *task, *target) {
                let sum = sums.entry(*pid).or_default();
                sum.0 += passes;
                sum.1 = sum.1.saturating_add(*stall_ns);
            }
        }
        let mut tasks: Vec<Stalled> = sums
            .into_iter()
            .map(|(pid, (passes, stall_total_ns))| Stalled {
                task: names.task(pid, true),
                passes,
                stall_total_ns,
            })
            .collect();
        tasks.sort_by_key(|task| Reverse(task.stall_total_ns));
        tasks
    }

    fn grouped(
        &self,
        names: &Names,
        group: impl Fn(Key) -> (ReclaimKind, Option<ReclaimCause>, Option<u64>),
    ) -> Vec<ReclaimGroup> {
        let mut groups: BTreeMap<_, Sum> = BTreeMap::new();
        for (key, sum) in &self.passes {
            if concerns(names, key.2, key.3) {
                groups.entry(group(*key)).or_default().merge(sum);
            }
        }
        groups
            .into_iter()
            .map(|((kind, cause, target), sum)| ReclaimGroup {
                kind,
                cause,
                target: target.map(|id| names.cgroup(id)),
                passes: sum.passes,
                reclaimed_pages: sum.reclaimed_pages,
                stall_total_ns: sum.stall.total_ns,
                stall: sum.stall.quantiles(),
            })
            .collect()
    }
}

/// The target's tasks waited, or it was reclaimed from.
fn concerns(names: &Names, task_cgroup: Option<u64>, target_cgroup: Option<u64>) -> bool {
    names.is_member(task_cgroup) || names.is_member(target_cgroup)
}
