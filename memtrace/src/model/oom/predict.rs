//! The prediction: per domain who would be killed now, who at the limit, and why.

use std::collections::BTreeMap;

use super::{
    advice::{adj_changes, not_the_biggest},
    confidence::{judge, settled},
    fallen::fallen,
    forecast::{AlsoKilled, Confidence, DomainForecast, DomainKind, Outcome, Prediction},
    growth::{Fill, Identity, Room},
    risk::Risk,
    scan::{Chosen, Scale, last_of_the_best, scan},
    totalpages,
    tree::{Placed, Tree},
};
use crate::input::{OomCgroup, OomMemory, OomSnapshot, TaskSource};

/// How far ahead [`Risk`] looks: what automation can still react to.
const HORIZON_SECONDS: f64 = 60.0;

/// Predicts from one instant, or two: from two it also tells who will be the victim at the limit.
pub fn predict<'a>(earlier: Option<&OomSnapshot>, snapshot: &'a OomSnapshot) -> Prediction<'a> {
    let tree = Tree::new(snapshot);
    let before = earlier.map(|earlier| Before::new(earlier, snapshot));
    let asker = Asker {
        snapshot,
        tree: &tree,
        before: before.as_ref(),
    };
    let mut domains: Vec<_> = chain(&tree, snapshot)
        .into_iter()
        .filter_map(|(kind, cgroup)| asker.cgroup(kind, cgroup))
        .collect();
    domains.push(asker.node());
    Prediction {
        domains,
        caveats: caveats(snapshot),
        snapshot,
    }
}

/// The same for one domain alone: a cgroup with a limit by its id, or the machine. `None` if the
/// snapshot has no such cgroup, or it has no limit.
pub fn predict_domain<'a>(
    earlier: Option<&OomSnapshot>,
    snapshot: &'a OomSnapshot,
    domain: Option<u64>,
) -> Option<DomainForecast<'a>> {
    let tree = Tree::new(snapshot);
    let before = earlier.map(|earlier| Before::new(earlier, snapshot));
    let asker = Asker {
        snapshot,
        tree: &tree,
        before: before.as_ref(),
    };
    match domain {
        Some(id) => asker.cgroup(DomainKind::Own, tree.get(id)?),
        None => Some(asker.node()),
    }
}

/// The cgroups of the question, those with and without limits.
fn chain<'a>(tree: &Tree<'a>, snapshot: &OomSnapshot) -> Vec<(DomainKind, &'a OomCgroup)> {
    let target = snapshot.target_cgroup_id;
    let mut upwards = tree.upwards(target).into_iter();
    let own = upwards.next().map(|cgroup| (DomainKind::Own, cgroup));
    let below = tree.downwards(target).into_iter().skip(1);
    let below = below.filter_map(|id| Some((DomainKind::Below, tree.get(id)?)));
    let above = upwards.map(|cgroup| (DomainKind::Ancestor, cgroup));
    own.into_iter().chain(below).chain(above).collect()
}

/// What the first of two instants tells.
struct Before<'a> {
    seconds: f64,
    memory: BTreeMap<u64, &'a OomMemory>,
    held: BTreeMap<Identity, i64>,
    snapshot: &'a OomSnapshot,
}

impl<'a> Before<'a> {
    fn new(earlier: &'a OomSnapshot, later: &OomSnapshot) -> Self {
        let elapsed = later
            .time
            .monotonic_ns
            .saturating_sub(earlier.time.monotonic_ns);
        let held = earlier
            .tasks
            .iter()
            .map(|task| {
                let badness =
                    super::badness(task, 0, earlier.rss_counters, earlier.page_size_bytes);
                ((task.pid, task.start_boottime_ns), badness.memory_pages())
            })
            .collect();
        Self {
            seconds: elapsed as f64 / 1e9,
            memory: earlier
                .cgroups
                .iter()
                .filter_map(|cgroup| Some((cgroup.id, cgroup.memory.as_deref()?)))
                .collect(),
            held,
            snapshot: earlier,
        }
    }
}

struct Asker<'a, 'b> {
    snapshot: &'a OomSnapshot,
    tree: &'b Tree<'a>,
    before: Option<&'b Before<'b>>,
}

/// A domain before its processes are looked at.
struct Domain<'a> {
    kind: DomainKind,
    cgroup: Option<&'a OomCgroup>,
    limit_bytes: u64,
    usage_bytes: Option<u64>,
    totalpages: u64,
    /// What happens instead of a choice.
    instead: Option<Outcome>,
    room: Option<Room>,
    room_before: Option<Room>,
}

impl<'a> Asker<'a, '_> {
    /// `None` for a cgroup without a limit.
    fn cgroup(&self, kind: DomainKind, cgroup: &'a OomCgroup) -> Option<DomainForecast<'a>> {
        let memory = cgroup.memory.as_deref()?;
        let limit_bytes = memory.sample.limit_bytes?;
        let OomSnapshot {
            node,
            cgroup_version,
            page_size_bytes,
            ..
        } = self.snapshot;
        let totalpages = totalpages::of_cgroup(memory, node, *cgroup_version, *page_size_bytes)?;
        // mm/memcontrol.c asks for v1's switch before it calls the OOM killer; `check_panic_on_oom`
        // (mm/oom_kill.c) lets a cgroup's limit stop the machine at 2 only.
        let instead = if memory.kill_disabled {
            Some(Outcome::TasksWait)
        } else if node.panic_on_oom == Some(2) {
            Some(Outcome::Panic)
        } else {
            None
        };
        let before = self.before.and_then(|before| before.memory.get(&cgroup.id));
        let domain = Domain {
            kind,
            cgroup: Some(cgroup),
            limit_bytes,
            usage_bytes: memory.sample.usage_bytes,
            totalpages,
            instead,
            room: Room::of_cgroup(memory),
            room_before: before.and_then(|memory| Room::of_cgroup(memory)),
        };
        let mut forecast = self.forecast(domain, &self.tree.members(self.snapshot, cgroup.id));
        forecast.risk = forecast.fill.as_ref().map(|fill| {
            let both = before.map(|before| (&before.sample, &memory.sample));
            Risk::new(fill, HORIZON_SECONDS, *page_size_bytes, both)
        });
        Some(forecast)
    }

    fn node(&self) -> DomainForecast<'a> {
        let node = &self.snapshot.node;
        let page_size_bytes = self.snapshot.page_size_bytes;
        let instead = match (node.panic_on_oom, node.kill_allocating_task) {
            (Some(1..), _) => Some(Outcome::Panic),
            (_, Some(true)) => Some(Outcome::KillTrigger),
            _ => None,
        };
        let domain = Domain {
            kind: DomainKind::Node,
            cgroup: None,
            limit_bytes: node.total_bytes,
            usage_bytes: node
                .available_bytes
                .map(|available| node.total_bytes.saturating_sub(available)),
            totalpages: totalpages::of_node(node, page_size_bytes),
            instead,
            room: Room::of_node(node),
            room_before: self
                .before
                .and_then(|before| Room::of_node(&before.snapshot.node)),
        };
        let mut forecast = self.forecast(domain, &Tree::everybody(self.snapshot));
        forecast.risk = forecast
            .fill
            .as_ref()
            .map(|fill| Risk::new(fill, HORIZON_SECONDS, page_size_bytes, None));
        forecast
    }

    fn forecast(&self, domain: Domain<'a>, members: &[Placed<'a>]) -> DomainForecast<'a> {
        let snapshot = self.snapshot;
        let scale = Scale {
            totalpages: domain.totalpages,
            counters: snapshot.rss_counters,
            page_size_bytes: snapshot.page_size_bytes,
        };
        let (candidates, chosen) = scan(members, scale);
        let judge = |chosen, later: Option<&[i64]>| {
            judge(
                snapshot,
                &candidates,
                chosen,
                domain.instead.as_ref(),
                later,
            )
        };
        let now = judge(chosen, None);
        let fill = self.before.zip(domain.room_before).zip(domain.room).map(
            |((before, room_before), room)| {
                Fill::between(before.seconds, &before.held, room_before, &candidates, room)
            },
        );
        let settled = match now.outcome {
            Outcome::Kill(victim) => settled(snapshot, &candidates, victim, domain.room),
            _ => false,
        };
        let at_limit = fill
            .as_ref()
            .filter(|fill| fill.seconds_left(snapshot.page_size_bytes).is_some())
            .map(|fill| {
                let points = fill.points_after(&candidates, snapshot.page_size_bytes);
                let chosen = match chosen {
                    // Until then it is long dead.
                    Chosen::Aborted(_) | Chosen::Victim(_) => {
                        last_of_the_best(points.iter().copied(), &candidates)
                    }
                    Chosen::Nobody => Chosen::Nobody,
                };
                let mut later = judge(chosen, Some(&points));
                if !settled && later.confidence == Some(Confidence::Certain) {
                    later.confidence = Some(Confidence::Likely);
                }
                later
            });
        let victim = match now.outcome {
            Outcome::Kill(index) => Some(index),
            _ => None,
        };
        let also_killed = victim.map_or_else(Vec::new, |index| {
            let id = domain.cgroup.map(|cgroup| cgroup.id);
            fallen(snapshot, self.tree, candidates[index].task, id)
                .into_iter()
                .map(|fallen| AlsoKilled {
                    pid: fallen.task.pid,
                    comm: fallen.task.comm.clone(),
                    why: fallen.why,
                })
                .collect()
        });
        let mut ranking: Vec<usize> = (0..candidates.len()).collect();
        ranking.sort_by_key(|index| {
            let candidate = &candidates[*index];
            let points = (candidate.is_eligible(), candidate.points());
            std::cmp::Reverse((points, candidate.badness.memory_pages(), *index))
        });
        DomainForecast {
            kind: domain.kind,
            cgroup: domain.cgroup.map(|cgroup| cgroup.path.as_str()),
            limit_bytes: domain.limit_bytes,
            usage_bytes: domain.usage_bytes,
            totalpages: domain.totalpages,
            not_the_biggest: victim
                .and_then(|index| not_the_biggest(&candidates, index, domain.totalpages)),
            adj_changes: victim.map_or_else(Vec::new, |index| {
                adj_changes(&candidates, index, domain.totalpages)
            }),
            now,
            at_limit,
            settled,
            also_killed,
            ranking,
            candidates,
            fill,
            risk: None,
        }
    }
}

fn caveats(snapshot: &OomSnapshot) -> Vec<String> {
    let mut caveats = Vec::new();
    if snapshot.source == TaskSource::Proc {
        let reason = snapshot
            .source_reason
            .as_deref()
            .map_or(String::new(), |reason| format!(" ({reason})"));
        caveats.push(format!(
            "processes were read from /proc{reason}: not at one instant, and without vfork, victims \
             that are dying, memory that was reaped, and who shares memory"
        ));
    }
    if let Some(nodes @ 2..) = snapshot.node.memory_nodes {
        caveats.push(format!(
            "this machine has {nodes} memory nodes: an allocation bound to some of them by a cpuset \
             or a mempolicy has a size and candidates of its own, which are not predicted"
        ));
    }
    caveats
}
