//! The cgroups of a snapshot: who is below whom, and in which order the kernel scans them.

use std::collections::{BTreeMap, BTreeSet};

use crate::input::{OomCgroup, OomSnapshot, OomTask};

/// Lookups into a snapshot's cgroups.
pub struct Tree<'a> {
    by_id: BTreeMap<u64, &'a OomCgroup>,
    children: BTreeMap<u64, Vec<u64>>,
}

/// A process and its place in the order of the scan.
#[derive(Clone, Copy)]
pub struct Placed<'a> {
    /// The process.
    pub task: &'a OomTask,
    /// Its cgroup's place. Two processes with equal places are in one cgroup.
    pub cgroup_place: usize,
    /// Whether its place among the processes of its cgroup is known and not just likely.
    pub place_known: bool,
}

impl<'a> Tree<'a> {
    /// Of a snapshot.
    pub fn new(snapshot: &'a OomSnapshot) -> Self {
        let by_id: BTreeMap<_, _> = snapshot.cgroups.iter().map(|c| (c.id, c)).collect();
        let mut children: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        // By id, which grows: the order in which they were made, and that of the kernel's list.
        for cgroup in by_id.values() {
            if let Some(parent) = cgroup.parent_id {
                children.entry(parent).or_default().push(cgroup.id);
            }
        }
        Self { by_id, children }
    }

    /// The cgroup with an id.
    pub fn get(&self, id: u64) -> Option<&'a OomCgroup> {
        self.by_id.get(&id).copied()
    }

    /// A cgroup and its ancestors, upwards. Ends at a parent that was visited before.
    pub fn upwards(&self, id: u64) -> Vec<&'a OomCgroup> {
        let mut seen = BTreeSet::new();
        std::iter::successors(self.get(id), |cgroup| self.get(cgroup.parent_id?))
            .take_while(|cgroup| seen.insert(cgroup.id))
            .collect()
    }

    /// A cgroup and all below it, parents before children, children in the order of their creation:
    /// the kernel's `css_next_descendant_pre`, which `mem_cgroup_scan_tasks` walks.
    pub fn downwards(&self, top: u64) -> Vec<u64> {
        let mut order = Vec::new();
        let mut waiting = vec![top];
        while let Some(id) = waiting.pop() {
            order.push(id);
            if let Some(children) = self.children.get(&id) {
                waiting.extend(children.iter().rev());
            }
        }
        order
    }

    /// The processes at or below a cgroup, in the order in which the OOM killer scans them. KERNEL:
    /// mm/memcontrol.c, `mem_cgroup_scan_tasks`: cgroup after cgroup, in each by the order in which
    /// they joined. v2's cgroup.procs tells that order; elsewhere it is taken to be the order in
    /// which they started, which is the same unless some were moved there.
    pub fn members(&self, snapshot: &'a OomSnapshot, top: u64) -> Vec<Placed<'a>> {
        let place: BTreeMap<u64, usize> = self
            .downwards(top)
            .into_iter()
            .enumerate()
            .map(|(place, id)| (id, place))
            .collect();
        let mut members: Vec<_> = snapshot
            .tasks
            .iter()
            .filter_map(|task| {
                let id = task.cgroup_id?;
                let cgroup_place = *place.get(&id)?;
                let listed = self.by_id.get(&id).and_then(|cgroup| cgroup.procs.as_ref());
                let known = listed.and_then(|pids| pids.iter().position(|pid| *pid == task.pid));
                let placed = Placed {
                    task,
                    cgroup_place,
                    place_known: known.is_some(),
                };
                let key = (
                    cgroup_place,
                    known.unwrap_or(usize::MAX),
                    task.start_boottime_ns,
                );
                Some((key, task.pid, placed))
            })
            .collect();
        members.sort_by_key(|(key, pid, _)| (*key, *pid));
        members.into_iter().map(|(_, _, placed)| placed).collect()
    }

    /// All processes in the order in which they were forked, as `for_each_process` goes.
    pub fn everybody(snapshot: &'a OomSnapshot) -> Vec<Placed<'a>> {
        let mut tasks: Vec<&OomTask> = snapshot.tasks.iter().collect();
        tasks.sort_by_key(|task| (task.start_boottime_ns, task.pid));
        tasks
            .into_iter()
            .map(|task| Placed {
                task,
                cgroup_place: 0,
                place_known: true,
            })
            .collect()
    }
}
