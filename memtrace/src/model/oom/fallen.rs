//! Who dies with the victim.

use std::collections::BTreeSet;

use super::{badness::OOM_SCORE_ADJ_MIN, tree::Tree};
use crate::input::{CgroupVersion, OomSnapshot, OomTask};

/// Why a process dies that was not chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It shares the memory of this process, which dies.
    SharesMemory(u32),
    /// It is in this cgroup, which has memory.oom.group set.
    Group(String),
}

/// A process that dies with the victim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallen<'a> {
    /// Which.
    pub task: &'a OomTask,
    /// Why.
    pub why: Why,
}

/// Everybody who dies with `victim` when `domain` runs out (`None`: the node). Order: those who
/// share its memory, then its group, each by pid.
///
/// KERNEL: mm/oom_kill.c, `__oom_kill_process`: every process that shares the memory, in whatever
/// cgroup and with whatever `oom_score_adj`, but init and kernel threads. mm/memcontrol.c,
/// `mem_cgroup_get_oom_group`: on v2, the highest cgroup from the victim's up to the domain that has
/// memory.oom.group, unless the victim is in the root; `oom_kill_memcg_member`: all in it but
/// `oom_score_adj` -1000 and init.
pub fn fallen<'a>(
    snapshot: &'a OomSnapshot,
    tree: &Tree<'a>,
    victim: &'a OomTask,
    domain: Option<u64>,
) -> Vec<Fallen<'a>> {
    let mut dead = BTreeSet::from([victim.pid]);
    let mut fallen = Vec::new();
    let mut kill = |task: &'a OomTask, why: Why, fallen: &mut Vec<Fallen<'a>>| {
        if dead.insert(task.pid) {
            fallen.push(Fallen { task, why });
        }
    };
    for task in sharers(snapshot, victim) {
        kill(task, Why::SharesMemory(victim.pid), &mut fallen);
    }
    let Some(group) = group(snapshot, tree, victim, domain) else {
        return fallen;
    };
    let below: BTreeSet<u64> = tree.downwards(group.id).into_iter().collect();
    let mut members: Vec<&OomTask> = snapshot
        .tasks
        .iter()
        .filter(|task| {
            task.cgroup_id.is_some_and(|id| below.contains(&id))
                && task.oom_score_adj != OOM_SCORE_ADJ_MIN
                && task.pid != 1
                && !task.no_memory
                && !task.kernel_thread
        })
        .collect();
    members.sort_by_key(|task| task.pid);
    for task in members {
        kill(task, Why::Group(group.path.clone()), &mut fallen);
        for sharer in sharers(snapshot, task) {
            kill(sharer, Why::SharesMemory(task.pid), &mut fallen);
        }
    }
    fallen
}

/// Everybody who shares a process's memory but init and kernel threads, by pid.
pub(super) fn sharers<'a>(
    snapshot: &'a OomSnapshot,
    with: &'a OomTask,
) -> impl Iterator<Item = &'a OomTask> {
    let mut sharers: Vec<_> = snapshot
        .tasks
        .iter()
        .filter(|task| {
            task.memory.is_some()
                && task.memory == with.memory
                && task.pid != with.pid
                && task.pid != 1
                && !task.kernel_thread
        })
        .collect();
    sharers.sort_by_key(|task| task.pid);
    sharers.into_iter()
}

fn group<'a>(
    snapshot: &OomSnapshot,
    tree: &Tree<'a>,
    victim: &OomTask,
    domain: Option<u64>,
) -> Option<&'a crate::input::OomCgroup> {
    if snapshot.cgroup_version == CgroupVersion::V1 {
        return None;
    }
    let chain = tree.upwards(victim.cgroup_id?);
    // The victim is in the root cgroup, which has no such file.
    chain.first()?.parent_id?;
    let top = match domain {
        None => chain.len(),
        // A victim that moved out of the domain takes nobody along.
        Some(domain) => 1 + chain.iter().position(|cgroup| cgroup.id == domain)?,
    };
    chain[..top]
        .iter()
        .rev()
        .find(|cgroup| cgroup.oom_group == Some(true))
        .copied()
}
