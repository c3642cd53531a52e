//! Of a parent: the children that account for its change.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{CgroupRef, WorkingSet};
use crate::input::Sample;

/// A cgroup right below the target, over the whole window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Which.
    pub cgroup: CgroupRef,
    /// Its working set at the start, in bytes; `None` if it did not exist yet.
    pub before_bytes: Option<u64>,
    /// And at the end; `None` if it did not exist any more.
    pub after_bytes: Option<u64>,
}

impl Child {
    /// What it adds to the change of its parent. One that is gone takes its pages with it or leaves
    /// them to the parent; only the parent's own part can tell.
    pub fn delta_bytes(&self) -> i64 {
        self.after_bytes.unwrap_or(0) as i64 - self.before_bytes.unwrap_or(0) as i64
    }
}

/// The change of a parent by its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Children {
    /// Those that existed at either end, the largest change first.
    pub rows: Vec<Child>,
    /// What the children leave of the parent's change: its own processes, page cache that removed
    /// children left behind, and what moved while one after the other was read. `None` if the parent's
    /// change is unknown.
    pub own_delta_bytes: Option<i64>,
}

impl Children {
    /// Between two samples; `None` if there are no children, or they were not read at both ends.
    pub(crate) fn between(before: &Sample, after: &Sample) -> Option<Self> {
        let mut found: BTreeMap<u64, Child> = BTreeMap::new();
        for (sample, is_after) in [(before, false), (after, true)] {
            for child in sample.children.as_ref()? {
                let row = found.entry(child.id).or_insert_with(|| Child {
                    cgroup: CgroupRef {
                        id: child.id,
                        path: Some(child.path.clone()),
                        gone: false,
                    },
                    before_bytes: None,
                    after_bytes: None,
                });
                match is_after {
                    false => row.before_bytes = Some(child.working_set_bytes),
                    true => row.after_bytes = Some(child.working_set_bytes),
                }
            }
        }
        if found.is_empty() {
            return None;
        }
        let mut rows: Vec<Child> = found.into_values().collect();
        for row in &mut rows {
            row.cgroup.gone = row.after_bytes.is_none();
        }
        rows.sort_by_key(|row| Reverse(row.delta_bytes().unsigned_abs()));
        let theirs: i64 = rows.iter().map(Child::delta_bytes).sum();
        let whole = WorkingSet::between(&before.cgroup, &after.cgroup).delta_bytes();
        Some(Self {
            rows,
            own_delta_bytes: whole.map(|whole| whole - theirs),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        input::{ChildSample, Instant},
        model::testing::{MIB, grow, sample},
    };

    fn child(id: u64, mib: u64) -> ChildSample {
        ChildSample {
            id,
            path: format!("/shop/search/{id}"),
            working_set_bytes: mib * MIB,
        }
    }

    #[test]
    fn children_and_the_parents_own_part_are_the_change() {
        let mut before = sample(Instant::Before, 0);
        before.children = Some(vec![child(1, 10), child(2, 7)]);
        let mut after = sample(Instant::After, 9);
        grow!(after, 30, anon);
        after.children = Some(vec![child(1, 12), child(3, 33)]);
        let children = Children::between(&before, &after).unwrap();
        let deltas: Vec<_> = children
            .rows
            .iter()
            .map(|row| {
                (
                    row.cgroup.id,
                    row.delta_bytes() / MIB as i64,
                    row.cgroup.gone,
                )
            })
            .collect();
        assert_eq!(deltas, [(3, 33, false), (2, -7, true), (1, 2, false)]);
        assert_eq!(children.own_delta_bytes, Some(2 * MIB as i64));
    }

    #[test]
    fn children_that_were_not_read_are_unknown() {
        let before = sample(Instant::Before, 0);
        let mut after = sample(Instant::After, 9);
        after.children = Some(vec![child(1, 12)]);
        assert_eq!(Children::between(&before, &after), None);
        after.children = Some(Vec::new());
        assert_eq!(Children::between(&after, &after), None);
    }
}
