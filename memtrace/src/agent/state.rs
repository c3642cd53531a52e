//! All that the agent knows. Pure: it is told what was read and when, and reads nothing itself.

#[cfg(test)]
mod tests;

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    DomainRisk, Labels, LimitOwner,
    accounts::{Accounts, Counter, Untold},
    census::Reading,
    domain::Domain,
    kills::Kills,
    node::NodeSample,
    snapshot::{ContainerView, Health, NodeView, PodView, Snapshot, UnitView},
};
use crate::{
    identity::{Level, LogLinks, Name, Names},
    input::{CgroupVersion, MemoryStat, OwnedBy},
    model::{
        oom::{Earlier, Fate, KillStory},
        risk::{Room, Thrash, pinned},
    },
    view::oom::advice::Circumstances,
};

/// A watched cgroup.
#[derive(Debug, Default)]
struct Watched {
    path: String,
    domain: Domain,
    thrash: Thrash,
    unreclaimable_bytes: Option<u64>,
    stall_seconds: Option<f64>,
    refault_bytes: Option<u64>,
    /// Only if each part of the memory has a series.
    stat: Option<Box<MemoryStat>>,
    risk: DomainRisk,
}

/// See the module.
pub(super) struct State {
    version: CgroupVersion,
    page_size_bytes: u64,
    eviction_threshold_bytes: Option<u64>,
    /// Whether each part of the memory has a series.
    full: bool,
    names: Names,
    paths: BTreeMap<u64, String>,
    /// Half a kilobyte each, and so not in the tree's half-empty nodes.
    watched: BTreeMap<u64, Box<Watched>>,
    accounts: Accounts,
    kills: Kills,
    node: [Domain; 2],
    node_risks: [DomainRisk; 2],
    available_bytes: Option<u64>,
    predicted: Option<u64>,
}

/// Places in [`State::node`].
const NODE: usize = 0;
const EVICTION: usize = 1;

impl State {
    pub(super) fn new(
        version: CgroupVersion,
        page_size_bytes: u64,
        eviction_threshold_bytes: Option<u64>,
        full: bool,
        inherited: Option<BTreeMap<Counter, u64>>,
    ) -> Self {
        Self {
            version,
            page_size_bytes,
            eviction_threshold_bytes,
            full,
            names: Names::default(),
            paths: BTreeMap::new(),
            watched: BTreeMap::new(),
            accounts: Accounts::new(inherited),
            kills: Kills::default(),
            node: Default::default(),
            node_risks: Default::default(),
            available_bytes: None,
            predicted: None,
        }
    }

    pub(super) fn names(&mut self) -> &mut Names {
        &mut self.names
    }

    pub(super) fn name(&self, id: Option<u64>) -> Option<&Name> {
        self.names.of(id?)
    }

    pub(super) fn path(&self, id: u64) -> Option<&str> {
        self.paths.get(&id).map(String::as_str)
    }

    /// Path, risk and unreclaimable memory of a watched cgroup.
    pub(super) fn standing(&self, id: u64) -> Option<(&str, DomainRisk, Option<u64>)> {
        let watched = self.watched.get(&id)?;
        Some((&watched.path, watched.risk, watched.unreclaimable_bytes))
    }

    /// Of running out, and of the kubelet's eviction.
    pub(super) fn node_risks(&self) -> &[DomainRisk; 2] {
        &self.node_risks
    }

    pub(super) fn born(&mut self, id: u64, path: String) {
        if self.names.of(id).is_none() {
            self.names.born(id, &path);
        }
        self.paths.insert(id, path);
    }

    pub(super) fn died(&mut self, id: u64) {
        self.names.died(id);
        self.paths.remove(&id);
        self.watched.remove(&id);
    }

    /// The census is over.
    pub(super) fn counted(&mut self) {
        let paths = &self.paths;
        self.accounts.keep(|id| paths.contains_key(&id));
    }

    /// What was read at an instant of the monotonic clock. Returns the kills that the kernel counted
    /// and nobody told of, those of the innermost cgroups first.
    pub(super) fn learn<'a>(
        &mut self,
        now_ns: u64,
        readings: impl IntoIterator<Item = &'a Reading>,
        node: &NodeSample,
    ) -> Vec<Untold> {
        let mut counts = Vec::new();
        for Reading { id, sample } in readings {
            let (sample, min_bytes) = (&sample.cgroup, sample.min_bytes);
            let Some(path) = self.paths.get(id) else {
                continue;
            };
            let watched = self.watched.entry(*id).or_insert_with(|| {
                Box::new(Watched {
                    path: path.clone(),
                    ..Watched::default()
                })
            });
            let thrash = watched.thrash.learn(now_ns, sample);
            let room = Room::of_cgroup(sample, min_bytes);
            watched.risk = watched.domain.learn(now_ns, room, thrash);
            watched.unreclaimable_bytes = pinned(sample, min_bytes);
            let stalled = sample.pressure.map(|pressure| pressure.some_total_us);
            watched.stall_seconds = stalled.map(|us| us as f64 / 1e6);
            let stat = &sample.stat;
            let refaults = match (stat.workingset_refault_file, stat.workingset_refault_anon) {
                (None, None) => None,
                (file, anon) => Some(file.unwrap_or(0) + anon.unwrap_or(0)),
            };
            watched.refault_bytes = refaults.map(|pages| pages * self.page_size_bytes);
            if self.full {
                **watched.stat.get_or_insert_default() = *stat;
            }
            if let Some(count) = sample.events.oom_kill {
                let depth = path.matches('/').count();
                counts.push((depth, Counter::Cgroup(*id), count));
            }
        }
        self.learn_node(now_ns, node);
        counts.sort_by_key(|(depth, ..)| Reverse(*depth));
        counts.extend(node.oom_kills.map(|count| (0, Counter::Node, count)));
        let mut untold = Vec::new();
        for (_, counter, count) in counts {
            if let Some(found) = self.accounts.count(counter, count, now_ns) {
                self.told_of_untold(found, now_ns);
                untold.push(found);
            }
        }
        self.accounts.begun();
        untold
    }

    fn learn_node(&mut self, now_ns: u64, node: &NodeSample) {
        self.available_bytes = node.memory.available_bytes;
        let room = Room::of_node(&node.memory);
        self.node_risks[NODE] = self.node[NODE].learn(now_ns, room, None);
        let eviction = self
            .eviction_threshold_bytes
            .zip(node.working_set_bytes)
            .map(|(threshold, used)| Room::of_eviction(node.memory.total_bytes, used, threshold));
        self.node_risks[EVICTION] = self.node[EVICTION].learn(now_ns, eviction, None);
    }

    /// How it stands, before a kill is taken in.
    pub(super) fn circumstances(&self, story: &KillStory) -> Circumstances {
        let report = &story.report;
        let limit = story.limit.as_ref();
        let domain = match LimitOwner::of(limit) {
            LimitOwner::Node => Some(&self.node[NODE]),
            _ => limit
                .and_then(|limit| self.watched.get(&limit.cgroup_id?))
                .map(|watched| &watched.domain),
        };
        Circumstances {
            available_bytes: self.available_bytes,
            eviction_headroom_bytes: self.node_risks[EVICTION]
                .room
                .map(|room| room.headroom_bytes),
            risk_high_for_ns: domain.and_then(|domain| domain.high_for_ns(report.time_ns)),
            earlier: Earlier::default(),
        }
    }

    /// A kill was reported. Returns whom it counts for, and whose limit it was.
    pub(super) fn killed(&mut self, now_ns: u64, story: &KillStory, links: &LogLinks) {
        let report = &story.report;
        // Made and gone between two looks: the watch read its path when it came up.
        if let Some((id, path)) = report.victim.cgroup_id.zip(story.victim_path.as_deref())
            && self.names.of(id).is_none()
        {
            self.names.born(id, path);
            self.names.learn(links);
            self.names.died(id);
        }
        if story.fate == Fate::WasDying {
            return;
        }
        let victims: Vec<&OwnedBy> = std::iter::once(&report.victim)
            .chain(&report.also_killed)
            .collect();
        for victim in &victims {
            let counters = self.counters_of(victim.cgroup_id, story.victim_path.as_deref());
            self.accounts.told(counters, 1);
        }
        let labels = self.name(report.victim.cgroup_id).and_then(labels);
        let owner = LimitOwner::of(story.limit.as_ref());
        self.kills
            .count(labels, owner, victims.len() as u64, now_ns);
        self.kills.judge(story.foretold.as_ref());
        let domain = story.limit.as_ref().and_then(|limit| limit.cgroup_id);
        self.begin_anew(domain, report.victim.cgroup_id);
        if owner == LimitOwner::Node {
            self.node.iter_mut().for_each(Domain::forget);
        }
    }

    /// After a kill: those whose limit it was and who lost a process.
    pub(super) fn begin_anew(&mut self, domain: Option<u64>, victim: Option<u64>) {
        for id in [domain, victim].into_iter().flatten() {
            if let Some(watched) = self.watched.get_mut(&id) {
                watched.domain.forget();
            }
        }
    }

    fn told_of_untold(&mut self, untold: Untold, now_ns: u64) {
        let id = match untold.counter {
            Counter::Cgroup(id) => Some(id),
            Counter::Node => None,
        };
        let path = id.and_then(|id| self.paths.get(&id).cloned());
        let counters = self.counters_of(id, path.as_deref());
        self.accounts.told(counters, untold.kills);
        let labels = self.name(id).and_then(labels);
        self.kills
            .count(labels, LimitOwner::Unknown, untold.kills, now_ns);
        self.kills.node.untold += untold.kills;
    }

    /// The counters in which a kill in this cgroup shows: on v2 also those of the cgroups above
    /// (mm/memcontrol.c, `memcg_memory_event`).
    fn counters_of(&self, id: Option<u64>, path: Option<&str>) -> Vec<Counter> {
        let mut counters = vec![Counter::Node];
        counters.extend(id.map(Counter::Cgroup));
        if let Some(path) = path.filter(|_| self.version == CgroupVersion::V2) {
            let above = self
                .watched
                .iter()
                .filter(|(other, watched)| Some(**other) != id && is_below(path, &watched.path));
            counters.extend(above.map(|(id, _)| Counter::Cgroup(*id)));
        }
        counters
    }

    /// A cgroup's own limit's.
    pub(super) fn risk(&self, id: u64) -> DomainRisk {
        self.watched
            .get(&id)
            .map_or_else(DomainRisk::default, |watched| watched.risk)
    }

    /// What is accounted for.
    pub(super) fn balances(&self) -> Vec<(Counter, u64)> {
        self.accounts.balances().collect()
    }

    /// The victim's cgroup, were the machine to run out now.
    pub(super) fn predicted(&mut self, victim_cgroup: Option<u64>) {
        self.predicted = victim_cgroup;
    }

    /// What everybody reads.
    pub(super) fn snapshot(&self, time_ns: u64, mut health: Health) -> Snapshot {
        let mut containers = BTreeMap::new();
        let mut pods = BTreeMap::new();
        let mut units = BTreeMap::new();
        let mut worst: BTreeMap<&'static str, DomainRisk> = BTreeMap::new();
        // By id, so that of two with one name the newer one stays.
        for (id, watched) in &self.watched {
            let Some(name) = self.names.of(*id) else {
                continue;
            };
            let domain = match name.level {
                Level::Container => "container",
                Level::Pod => "pod",
                _ => "other",
            };
            let so_far = worst.entry(domain).or_default();
            *so_far = so_far.worse(watched.risk);
            match name.level {
                Level::Container => {
                    let whose = labels(name).filter(|labels| !labels.container.is_empty());
                    let Some(labels) = whose else {
                        health.containers_dropped += 1;
                        continue;
                    };
                    let view = watched.view(*id, labels.clone());
                    health.containers_dropped +=
                        usize::from(containers.insert(labels, view).is_some());
                }
                Level::Pod => {
                    if let (Some(labels), Some(_)) = (labels(name), watched.risk.room) {
                        let view = PodView {
                            labels: labels.clone(),
                            cgroup_id: *id,
                            domain: watched.risk,
                        };
                        pods.insert(labels, view);
                    }
                }
                _ => {
                    if let (Some(unit), Some(_)) = (&name.unit, watched.risk.room) {
                        let view = UnitView {
                            unit: unit.clone(),
                            cgroup_id: *id,
                            domain: watched.risk,
                        };
                        units.insert(unit.clone(), view);
                    }
                }
            }
        }
        worst.insert("node", self.node_risks[NODE]);
        if self.node_risks[EVICTION].room.is_some() {
            worst.insert("eviction", self.node_risks[EVICTION]);
        }
        let mut kills: BTreeMap<Labels, _> = containers
            .keys()
            .map(|labels| (labels.clone(), [0; 4]))
            .collect();
        kills.extend(
            self.kills
                .by_labels()
                .map(|(labels, counts)| (labels.clone(), counts)),
        );
        health.unknown = self.names.unknown();
        Snapshot {
            time_ns,
            containers: containers.into_values().collect(),
            pods: pods.into_values().collect(),
            units: units.into_values().collect(),
            kills: kills.into_iter().collect(),
            node_kills: self.kills.node,
            node: NodeView {
                risks: worst.into_iter().collect(),
                eviction_headroom_bytes: self.node_risks[EVICTION]
                    .room
                    .map(|room| room.headroom_bytes),
                predicted_victim: self.name(self.predicted).and_then(labels),
            },
            health,
            full: self.full,
        }
    }
}

impl Watched {
    fn view(&self, id: u64, labels: Labels) -> ContainerView {
        ContainerView {
            labels,
            cgroup_id: id,
            unreclaimable_bytes: self.unreclaimable_bytes,
            domain: self.risk,
            stall_seconds: self.stall_seconds,
            refault_bytes: self.refault_bytes,
            stat: self.stat.clone(),
        }
    }
}

fn is_below(path: &str, above: &str) -> bool {
    let rest = path.strip_prefix(above);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || above == "/")
}

/// `None` of what is neither in a pod with a name nor a container.
pub(super) fn labels(name: &Name) -> Option<Labels> {
    match (&name.namespace, &name.pod, &name.container_id) {
        (Some(namespace), Some(pod), _) => Some(Labels {
            namespace: namespace.clone(),
            pod: pod.clone(),
            container: name.container.clone().unwrap_or_default(),
        }),
        (None, None, Some(id)) if name.pod_uid.is_none() => Some(Labels {
            container: id.chars().take(12).collect(),
            ..Labels::default()
        }),
        _ => None,
    }
}
