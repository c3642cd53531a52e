//! The prediction: per domain who would be killed now, who at the limit, and why.

use std::collections::BTreeMap;

use super::{
    advice::{AdjChange, NotTheBiggest, adj_changes, not_the_biggest},
    fallen::{Why, fallen},
    growth::{Fill, Identity, Room},
    risk::Risk,
    scan::{Candidate, Chosen, Scale, last_of_the_best, scan},
    totalpages,
    tree::{Placed, Tree},
};
use crate::input::{OomCgroup, OomMemory, OomSnapshot, TaskSource};

/// How far ahead [`Risk`] looks: what automation can still react to.
const HORIZON_SECONDS: f64 = 60.0;

/// What kind of domain it is, seen from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainKind {
    /// The target's own limit.
    Own,
    /// The limit of a cgroup below the target.
    Below,
    /// The limit of an ancestor.
    Ancestor,
    /// The machine.
    Node,
}

impl DomainKind {
    /// Stable name, for JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Below => "below",
            Self::Ancestor => "ancestor",
            Self::Node => "node",
        }
    }
}

/// What the OOM killer would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Kill the candidate of this number.
    Kill(usize),
    /// Nothing: this candidate was killed before and is still dying.
    WaitForDying(usize),
    /// Nothing: nobody may be killed.
    Nobody,
    /// `vm.panic_on_oom`: stop the machine.
    Panic,
    /// `vm.oom_kill_allocating_task`: kill whoever asks for memory then.
    KillTrigger,
    /// v1, `oom_kill_disable`: nobody is killed, tasks wait for memory.
    TasksWait,
}

/// How sure a prediction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// Nothing that can be known leaves room for another: not the counters' error, and of a choice
    /// to come, not the room that is left either, whoever takes it.
    Certain,
    /// It is the best guess; an error bound, or what may grow until then, leaves room for another.
    Likely,
    /// Several have equal points: the order of the scan decides.
    Tie,
}

impl Confidence {
    /// Stable name, for JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Tie => "tie",
        }
    }
}

/// One of the two answers for a domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// What would happen.
    pub outcome: Outcome,
    /// The victim's points; of the forecast at the limit, what they will have become.
    pub points: Option<i64>,
    /// By how much the victim leads; `None` without a victim or a second.
    pub margin_points: Option<i64>,
    /// How sure; `None` without a victim.
    pub confidence: Option<Confidence>,
    /// Numbers of other candidates with the victim's points.
    pub tied: Vec<usize>,
}

/// A process that dies with the victim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlsoKilled {
    /// Process id.
    pub pid: u32,
    /// Name.
    pub comm: String,
    /// Why.
    pub why: Why,
}

/// One domain's prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct DomainForecast<'a> {
    /// What it is.
    pub kind: DomainKind,
    /// Path of the cgroup; `None` for the machine.
    pub cgroup: Option<&'a str>,
    /// Its limit, or the machine's memory.
    pub limit_bytes: u64,
    /// What it holds; `None` if unknown.
    pub usage_bytes: Option<u64>,
    /// As the kernel reckons it.
    pub totalpages: u64,
    /// If it ran out this instant.
    pub now: Forecast,
    /// If it runs out because those who grow now go on; `None` if nothing was seen to grow.
    pub at_limit: Option<Forecast>,
    /// The choice of now is also the one when it runs out, whoever takes the room that is left.
    pub settled: bool,
    /// Every process in it, in the order of the scan.
    pub candidates: Vec<Candidate<'a>>,
    /// Their numbers, highest points first; of equals, the one that wins first.
    pub ranking: Vec<usize>,
    /// Who dies with the victim of now.
    pub also_killed: Vec<AlsoKilled>,
    /// Why the victim is not the biggest, if it is not.
    pub not_the_biggest: Option<NotTheBiggest>,
    /// What would change the choice.
    pub adj_changes: Vec<AdjChange>,
    /// How it fills; `None` from a single instant.
    pub fill: Option<Fill>,
    /// How near it is.
    pub risk: Option<Risk>,
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction<'a> {
    /// What it is made of.
    pub snapshot: &'a OomSnapshot,
    /// Domains: the target's own limit, those below, its ancestors', the machine.
    pub domains: Vec<DomainForecast<'a>>,
    /// What could not be known.
    pub caveats: Vec<String>,
}

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
        let now = self.judge(&domain, &candidates, chosen, None);
        let fill = self.before.zip(domain.room_before).zip(domain.room).map(
            |((before, room_before), room)| {
                Fill::between(before.seconds, &before.held, room_before, &candidates, room)
            },
        );
        let settled = match now.outcome {
            Outcome::Kill(victim) => domain
                .room
                .and_then(|room| self.gain_pages(room))
                .is_some_and(|gain| out_of_reach(&candidates, victim, gain)),
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
                let mut later = self.judge(&domain, &candidates, chosen, Some(&points));
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

    /// Puts margin and confidence to a choice; `later` has the points that candidates will have.
    fn judge(
        &self,
        domain: &Domain<'_>,
        candidates: &[Candidate<'_>],
        chosen: Chosen,
        later: Option<&[i64]>,
    ) -> Forecast {
        let outcome = match (&domain.instead, chosen) {
            (Some(instead), _) => instead.clone(),
            (None, Chosen::Victim(index)) => Outcome::Kill(index),
            (None, Chosen::Aborted(index)) => Outcome::WaitForDying(index),
            (None, Chosen::Nobody) => Outcome::Nobody,
        };
        let Outcome::Kill(victim) = outcome else {
            return Forecast {
                outcome,
                points: None,
                margin_points: None,
                confidence: None,
                tied: Vec::new(),
            };
        };
        let points = |index: usize| later.map_or(candidates[index].points(), |all| all[index]);
        let own = points(victim);
        let others: Vec<usize> = (0..candidates.len())
            .filter(|index| *index != victim && candidates[*index].is_eligible())
            .collect();
        let tied: Vec<usize> = others
            .iter()
            .copied()
            .filter(|index| points(*index) == own)
            .collect();
        let second = others.iter().map(|index| points(*index)).max();
        let within_error = others.iter().any(|index| {
            let errors =
                candidates[*index].badness.error_pages + candidates[victim].badness.error_pages;
            own.saturating_sub(points(*index)) <= errors
        });
        let confidence = if !tied.is_empty() {
            Confidence::Tie
        } else if within_error || self.snapshot.source == TaskSource::Proc {
            Confidence::Likely
        } else {
            Confidence::Certain
        };
        Forecast {
            outcome: Outcome::Kill(victim),
            points: Some(own),
            margin_points: second.map(|second| own.saturating_sub(second)),
            confidence: Some(confidence),
            tied,
        }
    }

    /// By how many pages processes can grow, all together, before the domain runs out; `None` if that
    /// is not known. What usage holds in advance is given back before anybody is killed
    /// (mm/memcontrol.c, `drain_all_stock` in `try_charge_memcg`).
    fn gain_pages(&self, room: Room) -> Option<i64> {
        let headroom = room.headroom_bytes / self.snapshot.page_size_bytes as i64;
        Some(headroom.saturating_add_unsigned(self.snapshot.stock_pages?))
    }
}

/// Whether no other candidate can overtake one by `gain_pages`, also when the file pages that this one
/// maps are reclaimed on the way, as they may be.
fn out_of_reach(candidates: &[Candidate<'_>], victim: usize, gain_pages: i64) -> bool {
    let error = |index: usize| candidates[index].badness.error_pages;
    let file = candidates[victim].task.rss.file.max(0);
    let least = candidates[victim]
        .points()
        .saturating_sub(file.saturating_add(error(victim)));
    (0..candidates.len())
        .filter(|index| *index != victim && candidates[*index].is_eligible())
        .all(|index| {
            let most = candidates[index].points().saturating_add(error(index));
            most.saturating_add(gain_pages) < least
        })
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
