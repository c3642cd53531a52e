//! Reclaim: who waited for it, why, what it evicted on whose behalf, and what came back.

use std::{cmp::Reverse, collections::BTreeMap};

use memtrace_ebpf::record::RunKind;

use super::{CgroupRef, Evidence, FileRef, Names, Quantiles, TaskRef};
use crate::input::{Facts, FileId, ReclaimCause, ReclaimKind, Sample, ShrinkKind, ShrinkSum};

/// Reclaim passes that tasks waited for, alike in kind, or in kind, cause and target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReclaimGroup {
    /// Who asked for it.
    pub kind: ReclaimKind,
    /// Why; `None` if unknown, of the node's reclaim, and in a sum over causes.
    pub cause: Option<ReclaimCause>,
    /// The cgroup that was short; `None` if unknown, of the node's reclaim, and in a sum.
    pub target: Option<CgroupRef>,
    /// How often.
    pub passes: u64,
    /// Pages freed.
    pub reclaimed_pages: u64,
    /// Time all tasks waited, summed.
    pub stall_total_ns: u64,
    /// Time one task waited, per pass.
    pub stall: Quantiles,
}

/// How long one process waited for reclaim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// The process.
    pub task: TaskRef,
    /// How often.
    pub passes: u64,
    /// Time its threads waited, summed.
    pub stall_total_ns: u64,
}

/// File pages that came back after reclaim had evicted them, as the hook counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refaulted {
    /// All of them.
    pub pages: u64,
    /// Those that were active at once, being part of the working set.
    pub activated_pages: u64,
}

/// Pages of the target that reclaim evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// Their file; `None` for what went to swap.
    pub file: Option<FileRef>,
    /// They were anonymous, tmpfs or SysV pages, and went to swap.
    pub to_swap: bool,
    /// Who paid for them.
    pub victim: Option<CgroupRef>,
    /// The cgroup that was short; `None` if the node was.
    pub target: Option<CgroupRef>,
    /// Pages.
    pub pages: u64,
}

/// Work of reclaim on one cgroup's lists on behalf of another, or of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrinking {
    /// Who did it, and why.
    pub kind: ShrinkKind,
    /// The cgroup whose lists were shrunk.
    pub victim: Option<CgroupRef>,
    /// The cgroup that was short; `None` if the node was.
    pub target: Option<CgroupRef>,
    /// Calls.
    pub calls: u64,
    /// Pages scanned.
    pub scanned_pages: u64,
    /// Pages reclaimed.
    pub reclaimed_pages: u64,
    /// Time in it.
    pub duration_ns: u64,
}

/// Reclaim that hit the target or that its tasks waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reclaim {
    /// By kind; kinds that did not occur are absent.
    pub groups: Vec<ReclaimGroup>,
    /// By kind, cause and target, the longest stall first.
    pub causes: Vec<ReclaimGroup>,
    /// By process, the longest stall first.
    pub tasks: Vec<Stalled>,
    /// File pages that came back; `None` without the hook.
    pub refaulted: Option<Refaulted>,
    /// By file, victim and target, the largest first; `None` without the hook.
    pub evictions: Option<Vec<Eviction>>,
    /// By kind, victim and target, the most reclaimed first; `None` without the hook.
    pub shrinkings: Option<Vec<Shrinking>>,
}

/// Whether a signal has its hook.
fn has_signal(facts: &Facts, name: &str) -> bool {
    let mut signals = facts.hooks.iter();
    signals.any(|hook| hook.signal == name && hook.attached.is_some())
}

/// Refaults of pages that the target pays for.
pub(crate) fn refaulted(evidence: &Evidence<'_>) -> Option<Refaulted> {
    let Evidence { facts, names, runs } = evidence;
    has_signal(facts, "refault").then(|| {
        let mut sum = Refaulted::default();
        for (key, run) in runs.iter() {
            let activated = match key.kind {
                RunKind::Refault => false,
                RunKind::RefaultActivated => true,
                _ => continue,
            };
            if names.is_member(key.charged_cgroup_id) {
                sum.pages += run.pages;
                sum.activated_pages += if activated { run.pages } else { 0 };
            }
        }
        sum
    })
}

/// What was evicted from the target.
pub(crate) fn evictions(evidence: &Evidence<'_>) -> Option<Vec<Eviction>> {
    let Evidence { facts, names, runs } = evidence;
    has_signal(facts, "eviction").then(|| {
        type Key = (Option<FileId>, bool, Option<u64>, Option<u64>);
        let mut sums: BTreeMap<Key, u64> = BTreeMap::new();
        for (key, run) in runs.iter() {
            let to_swap = match key.kind {
                RunKind::Eviction => false,
                RunKind::SwapEviction => true,
                _ => continue,
            };
            if names.is_member(key.charged_cgroup_id) {
                let (victim, target) = (key.charged_cgroup_id, key.target_cgroup_id);
                *sums.entry((key.file, to_swap, victim, target)).or_default() += run.pages;
            }
        }
        let mut evictions: Vec<Eviction> = sums
            .into_iter()
            .map(|((file, to_swap, victim, target), pages)| Eviction {
                file: file.map(|id| names.file(id)),
                to_swap,
                victim: victim.map(|id| names.cgroup(id)),
                target: target.map(|id| names.cgroup(id)),
                pages,
            })
            .collect();
        // The key's own order decides between equals: the sort is stable.
        evictions.sort_by_key(|eviction| Reverse(eviction.pages));
        evictions
    })
}

/// Whose lists were shrunk between two samples, where the target gave pages or was short.
pub(crate) fn shrinkings(before: &Sample, after: &Sample, names: &Names) -> Option<Vec<Shrinking>> {
    type Key = (ShrinkKind, Option<u64>, Option<u64>);
    let key = |sum: &ShrinkSum| -> Key { (sum.kind, sum.victim_cgroup_id, sum.target_cgroup_id) };
    let mut sums: BTreeMap<Key, [i128; 4]> = BTreeMap::new();
    for (sign, sample) in [(-1, before), (1, after)] {
        for sum in sample.shrinks.as_ref()? {
            let counts = sums.entry(key(sum)).or_default();
            let ShrinkSum {
                victim_cgroup_id: _,
                target_cgroup_id: _,
                kind: _,
                calls,
                scanned_pages,
                reclaimed_pages,
                duration_ns,
            } = *sum;
            let now = [calls, scanned_pages, reclaimed_pages, duration_ns];
            for (count, now) in counts.iter_mut().zip(now) {
                *count += sign * i128::from(now);
            }
        }
    }
    let mut shrinkings: Vec<Shrinking> = sums
        .into_iter()
        .filter(|((_, victim, target), _)| names.is_member(*victim) || names.is_member(*target))
        .map(|((kind, victim, target), counts)| {
            let [calls, scanned_pages, reclaimed_pages, duration_ns] =
                counts.map(|count| u64::try_from(count).unwrap_or(0));
            Shrinking {
                kind,
                victim: victim.map(|id| names.cgroup(id)),
                target: target.map(|id| names.cgroup(id)),
                calls,
                scanned_pages,
                reclaimed_pages,
                duration_ns,
            }
        })
        .filter(|shrinking| shrinking.calls > 0)
        .collect();
    shrinkings.sort_by_key(|shrinking| Reverse(shrinking.reclaimed_pages));
    Some(shrinkings)
}
