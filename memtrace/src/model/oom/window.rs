//! A domain's memory at a kill, and what became of it in the window before.

use std::collections::BTreeSet;

use super::{
    kills::Kills,
    limit::Limit,
    report::KillReport,
    stalls::{RECLAIM_SIGNALS, Stalled},
    tree::Tree,
};
use crate::input::{CgroupSample, MemoryStat, OomNode, OomSnapshot, Pressure};

/// The parts of a domain's memory, by their names in `memory.stat`.
pub const PARTS: &[&str] = &[
    "anon",
    "shmem",
    "file",
    "slab_reclaimable",
    "slab_unreclaimable",
    "kernel_stack",
    "pagetables",
    "percpu",
    "sock",
    "vmalloc",
];

/// One of [`PARTS`], bytes. The file part is what is cache alone: `memory.stat` counts tmpfs there
/// too, which stays, as shmem.
pub fn part(stat: &MemoryStat, name: &str) -> Option<u64> {
    match name {
        "anon" => stat.anon,
        "shmem" => stat.shmem,
        "file" => Some(stat.file?.saturating_sub(stat.shmem?)),
        "slab_reclaimable" => stat.slab_reclaimable,
        "slab_unreclaimable" => stat.slab_unreclaimable,
        "kernel_stack" => stat.kernel_stack,
        "pagetables" => stat.pagetables,
        "percpu" => stat.percpu,
        "sock" => stat.sock,
        "vmalloc" => stat.vmalloc,
        _ => None,
    }
}

/// A domain's memory at a kill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AtKill {
    /// How long before the kill it was read, ns; `None` if the kernel itself told, at the kill.
    pub before_ns: Option<u64>,
    /// Usage, bytes.
    pub usage_bytes: Option<u64>,
    /// Limit, bytes.
    pub limit_bytes: Option<u64>,
    /// The limit before that, bytes, and how long before the kill it was last seen, ns; `None` if it
    /// was never seen to be another one.
    pub limit_before: Option<(u64, u64)>,
    /// `memory.stat`.
    pub stat: MemoryStat,
}

/// Shares of a time in which tasks waited for memory (PSI).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waited {
    /// Some task.
    pub some: f64,
    /// All tasks.
    pub full: f64,
}

impl Waited {
    fn between(before: Option<Pressure>, after: Option<Pressure>, length_ns: u64) -> Option<Self> {
        let (before, after) = before.zip(after)?;
        let share = |before: u64, after: u64| {
            (after.saturating_sub(before) as f64 * 1e3 / length_ns as f64).min(1.0)
        };
        Some(Self {
            some: share(before.some_total_us, after.some_total_us),
            full: share(before.full_total_us, after.full_total_us),
        })
    }
}

/// What became of a domain in the window before a kill.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// How long it was, ns: from the oldest sample to the newest one before the kill.
    pub length_ns: u64,
    /// Change of each part that the kernel counts, bytes.
    pub change: Vec<(&'static str, i64)>,
    /// How much the victim grew, pages; `None` if it was not there at the start.
    pub victim_grew_pages: Option<i64>,
    /// Waiting for memory in the domain (PSI); `None` on v1 and where it is off.
    pub waited: Option<Waited>,
    /// The same of the whole machine.
    pub waited_on_node: Option<Waited>,
    /// Pages that reclaim looked at and took; `None` where the cgroup does not count them (v1).
    pub scanned_and_stolen: Option<(u64, u64)>,
    /// Times that usage was about to exceed the limit.
    pub max_events: Option<u64>,
    /// What the tasks in it waited in reclaim, until the kill; `None` where no hook tells.
    pub stalled: Option<Stalled>,
}

impl AtKill {
    /// From the kernel log, else from the last sample; `None` of the node, and without either.
    pub(super) fn of(kill: &KillReport, limit: Option<&Limit>, kills: &Kills) -> Option<Self> {
        let id = limit.and_then(|limit| limit.cgroup_id);
        let limit_before = |now: Option<u64>| {
            let mut looks = samples(kill, id?, kills);
            looks.find_map(|(time_ns, sample, _)| {
                let then = sample.limit_bytes.filter(|then| Some(*then) != now)?;
                Some((then, kill.time_ns - time_ns))
            })
        };
        if let Some((log, stat)) = kill.log.as_ref().and_then(|log| Some((log, log.stat?))) {
            return Some(Self {
                before_ns: None,
                usage_bytes: log.usage_bytes,
                limit_bytes: log.limit_bytes,
                limit_before: limit_before(log.limit_bytes).filter(|_| log.limit_bytes.is_some()),
                stat,
            });
        }
        let (time_ns, sample, node) = samples(kill, id?, kills).next()?;
        let limit_bytes = limit_in_force(kill, node, kills).or(sample.limit_bytes);
        Some(Self {
            before_ns: Some(kill.time_ns - time_ns),
            usage_bytes: sample.usage_bytes,
            limit_bytes,
            limit_before: limit_before(limit_bytes),
            stat: sample.stat,
        })
    }
}

/// The limit by which the kernel reckoned, which the last look may not have seen yet. On a machine
/// with swap `totalpages` says more than the limit ([`super::totalpages`]).
fn limit_in_force(kill: &KillReport, node: &OomNode, kills: &Kills) -> Option<u64> {
    let choice = kill.choice.as_ref()?;
    (node.swap_total_bytes == 0).then(|| choice.totalpages * kills.facts().page_size_bytes)
}

impl Window {
    /// From the samples there are; `None` with fewer than two.
    pub(super) fn of(kill: &KillReport, limit: Option<&Limit>, kills: &Kills) -> Option<Self> {
        let id = limit?.cgroup_id?;
        let (end_ns, last, last_node) = samples(kill, id, kills).next()?;
        let (start_ns, first, first_node) = samples(kill, id, kills).last()?;
        let length_ns = end_ns.checked_sub(start_ns).filter(|length| *length > 0)?;
        let moved = |name: &&'static str| {
            let change = part(&last.stat, name)? as i64 - part(&first.stat, name)? as i64;
            Some((*name, change))
        };
        let between =
            |before: Option<u64>, after: Option<u64>| Some(after?.saturating_sub(before?));
        Some(Self {
            length_ns,
            change: PARTS.iter().filter_map(moved).collect(),
            victim_grew_pages: grown(kill, kills),
            waited: Waited::between(first.pressure, last.pressure, length_ns),
            waited_on_node: Waited::between(first_node.pressure, last_node.pressure, length_ns),
            scanned_and_stolen: between(first.stat.pgscan, last.stat.pgscan)
                .zip(between(first.stat.pgsteal, last.stat.pgsteal)),
            max_events: between(first.events.max, last.events.max),
            stalled: stalled(kill, id, start_ns, kills),
        })
    }
}

/// `None` unless a hook on reclaim is on.
fn stalled(kill: &KillReport, domain: u64, start_ns: u64, kills: &Kills) -> Option<Stalled> {
    if !RECLAIM_SIGNALS.iter().any(|signal| kills.is_on(signal)) {
        return None;
    }
    let last = kills.standing().before_newest_first(kill.time_ns).next()?;
    let members: BTreeSet<u64> = Tree::new(last).downwards(domain).into_iter().collect();
    let name = |pid| {
        let task = last.tasks.iter().find(|task| task.pid == pid)?;
        Some(task.comm.clone())
    };
    let within = |cgroup: Option<u64>| cgroup.is_some_and(|id| members.contains(&id));
    Some(kills.stalls().between(start_ns, kill.time_ns, within, name))
}

/// A domain's samples before a kill, newest first, as long as it was there.
fn samples<'a>(
    kill: &KillReport,
    id: u64,
    kills: &'a Kills,
) -> impl Iterator<Item = (u64, &'a CgroupSample, &'a OomNode)> {
    let sample = move |snapshot: &'a OomSnapshot| {
        let cgroup = snapshot.cgroups.iter().find(|cgroup| cgroup.id == id)?;
        let sample = &cgroup.memory.as_ref()?.sample;
        Some((snapshot.time.monotonic_ns, sample, &snapshot.node))
    };
    kills
        .standing()
        .before_newest_first(kill.time_ns)
        .map_while(sample)
}

/// From the first snapshot that knows the victim to the last.
fn grown(kill: &KillReport, kills: &Kills) -> Option<i64> {
    let facts = kills.facts();
    let mut held = kills
        .standing()
        .before_newest_first(kill.time_ns)
        .map_while(|snapshot| {
            let task = snapshot
                .tasks
                .iter()
                .find(|task| task.pid == kill.victim.pid)?;
            let terms = super::badness(task, 0, facts.rss_counters, facts.page_size_bytes);
            Some((task.start_boottime_ns, terms.memory_pages()))
        });
    let (start, last) = held.next()?;
    // Another process had the pid before.
    let first = held.take_while(|(other, _)| *other == start).last()?;
    Some(last - first.1)
}
