//! Reclaim passes, summed by whom they concern.

use std::collections::BTreeMap;

use super::Durations;
use crate::{
    input::{ReclaimEvent, ReclaimKind},
    model::{Names, Reclaim, ReclaimGroup},
};

/// Who asked, who waited, who gave: (kind, the waiting task's cgroup, the cgroup reclaimed from).
type Key = (ReclaimKind, Option<u64>, Option<u64>);

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
pub(super) struct ReclaimTotals(BTreeMap<Key, Sum>);

impl ReclaimTotals {
    pub(super) fn add(&mut self, event: &ReclaimEvent) {
        let key = (event.kind, event.task_cgroup_id, event.target_cgroup_id);
        let sum = self.0.entry(key).or_default();
        sum.passes += 1;
        sum.reclaimed_pages += event.reclaimed_pages;
        sum.stall.record(event.duration_ns);
    }

    /// What concerns the target: its tasks waited, or it was reclaimed from.
    pub(super) fn summary(&self, names: &Names) -> Reclaim {
        let mut by_kind: BTreeMap<ReclaimKind, Sum> = BTreeMap::new();
        for ((kind, task_cgroup, target_cgroup), sum) in &self.0 {
            if names.is_member(*task_cgroup) || names.is_member(*target_cgroup) {
                by_kind.entry(*kind).or_default().merge(sum);
            }
        }
        let groups = by_kind
            .into_iter()
            .map(|(kind, sum)| ReclaimGroup {
                kind,
                passes: sum.passes,
                reclaimed_pages: sum.reclaimed_pages,
                stall_total_ns: sum.stall.total_ns,
                stall: sum.stall.quantiles(),
            })
            .collect();
        Reclaim { groups }
    }
}
