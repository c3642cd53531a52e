//! What was known before a kill: snapshots of the last minute, and, of each domain, the one at which
//! it came near its limit. Predictions are made from them when a kill asks for one.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{growth::Room, tree::Tree};
use crate::input::{OomCgroup, OomMemory, OomSnapshot, OomTask, OwnedBy};

/// Newest snapshots that are kept apart from their size: the last may be later than a kill, and who
/// grows shows from two.
const NEWEST: usize = 3;
/// None is kept that is older than this.
const WINDOW_NS: u64 = 60_000_000_000;
/// All of them together: of large nodes fewer are kept.
const MAX_BYTES: usize = 8 << 20;
/// Share of a domain that is taken for good at which the forecast at the limit is kept.
const NEAR: f64 = 0.8;
/// It is forgotten when the share falls below this.
const FAR: f64 = 0.75;
/// Growth is looked at over this time, or what there is.
const GROWTH_NS: u64 = 1_000_000_000;
/// Deaths that are remembered.
const MAX_DEAD: usize = 1_024;

/// Two instants: the earlier, if there is one, tells who grows.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) earlier: Option<Arc<OomSnapshot>>,
    pub(super) later: Arc<OomSnapshot>,
    /// Who was killed since the later one, which does not show them: their cgroups, where known.
    dead_in: Vec<Option<u64>>,
}

impl Pair {
    fn new(earlier: Option<Arc<OomSnapshot>>, later: Arc<OomSnapshot>) -> Self {
        Self {
            earlier,
            later,
            dead_in: Vec::new(),
        }
    }

    /// Of a domain alone.
    fn within(&self, domain: u64) -> Self {
        let part = |snapshot: &Arc<OomSnapshot>| Arc::new(within(snapshot, domain));
        Self::new(self.earlier.as_ref().map(part), part(&self.later))
    }

    /// Without whom was killed since: a victim is gone when the next one is chosen, else the scan would
    /// wait for it.
    fn without(mut self, dead: &[u32]) -> Self {
        let is_dead = |task: &OomTask| task.victim.is_some() || dead.contains(&task.pid);
        if self.later.tasks.iter().any(is_dead) {
            let mut left = OomSnapshot::clone(&self.later);
            let gone = left.tasks.extract_if(.., |task| is_dead(task));
            self.dead_in = gone.map(|task| task.cgroup_id).collect();
            self.later = Arc::new(left);
        }
        self
    }

    /// Whether somebody of a domain (`None`: the machine) was killed since, and left more room in it
    /// than the later one shows.
    pub(super) fn has_more_room(&self, domain: Option<u64>) -> bool {
        let Some(domain) = domain else {
            return !self.dead_in.is_empty();
        };
        let tree = Tree::new(&self.later);
        let below = |id: u64| tree.upwards(id).iter().any(|cgroup| cgroup.id == domain);
        self.dead_in.iter().any(|cgroup| cgroup.is_none_or(below))
    }
}

/// A domain came near its limit.
#[derive(Debug)]
struct Approach {
    /// The look that first showed it.
    pair: Pair,
    /// When it was seen to be far again, `CLOCK_MONOTONIC`: after a kill, for one.
    left_ns: Option<u64>,
}

/// The history.
#[derive(Debug, Default)]
pub(super) struct Standing {
    history: VecDeque<Arc<OomSnapshot>>,
    /// By the domain's cgroup, oldest first.
    near: BTreeMap<u64, Vec<Approach>>,
    /// Processes that were killed, and when.
    dead: VecDeque<(u64, u32)>,
}

impl Standing {
    pub(super) fn learn(&mut self, snapshot: &Arc<OomSnapshot>) {
        let pair = Pair::new(self.before(snapshot), Arc::clone(snapshot));
        let now_ns = snapshot.time.monotonic_ns;
        for cgroup in &snapshot.cgroups {
            let Some(share) = cgroup.memory.as_deref().and_then(pinned_share) else {
                continue;
            };
            let approaches = self.near.entry(cgroup.id).or_default();
            match approaches.last_mut().filter(|last| last.left_ns.is_none()) {
                Some(last) if share < FAR => last.left_ns = Some(now_ns),
                Some(_) => {}
                None if share >= NEAR => approaches.push(Approach {
                    pair: pair.within(cgroup.id),
                    left_ns: None,
                }),
                None => {}
            }
        }
        let there = |id: &u64| snapshot.cgroups.iter().any(|cgroup| cgroup.id == *id);
        // A kill of that time may not have been told yet.
        let asked = |left_ns: u64| now_ns.saturating_sub(left_ns) < GROWTH_NS;
        self.near.retain(|id, approaches| {
            if let Some(last) = approaches.last_mut().filter(|_| !there(id)) {
                last.left_ns = last.left_ns.or(Some(now_ns));
            }
            approaches.retain(|one| one.left_ns.is_none_or(asked));
            !approaches.is_empty()
        });
        self.history.push_back(Arc::clone(snapshot));
        self.thin();
    }

    /// The newest snapshot that was taken before an instant, without those killed since.
    pub(super) fn pair_before(&self, time_ns: u64) -> Option<Pair> {
        let before = |snapshot: &&Arc<OomSnapshot>| done_ns(snapshot) < time_ns;
        let later = self.history.iter().rev().find(before)?;
        let pair = Pair::new(self.before(later), Arc::clone(later));
        Some(pair.without(&self.dead_since(later, time_ns)))
    }

    /// The pair at which a domain came near its limit, if it did and still is.
    pub(super) fn pair_near(&self, domain: u64, time_ns: u64) -> Option<Pair> {
        let stood = |one: &&Approach| {
            done_ns(&one.pair.later) < time_ns && one.left_ns.is_none_or(|left| left >= time_ns)
        };
        let Approach { pair, .. } = self.near.get(&domain)?.iter().rev().find(stood)?;
        let dead = self.dead_since(&pair.later, time_ns);
        Some(pair.clone().without(&dead))
    }

    /// All snapshots before an instant, newest first.
    pub(super) fn before_newest_first(&self, time_ns: u64) -> impl Iterator<Item = &OomSnapshot> {
        let before = move |snapshot: &&Arc<OomSnapshot>| done_ns(snapshot) < time_ns;
        self.history.iter().rev().filter(before).map(AsRef::as_ref)
    }

    pub(super) fn died(&mut self, time_ns: u64, task: &OwnedBy) {
        if self.dead.len() >= MAX_DEAD {
            self.dead.pop_front();
        }
        self.dead.push_back((time_ns, task.pid));
    }

    pub(super) fn path_of(&self, id: u64) -> Option<&str> {
        let mut newest_first = self.history.iter().rev();
        newest_first.find_map(|snapshot| {
            let cgroup = snapshot.cgroups.iter().find(|cgroup| cgroup.id == id)?;
            Some(cgroup.path.as_str())
        })
    }

    /// The cgroup at a path when it was last seen.
    pub(super) fn id_of(&self, path: &str) -> Option<u64> {
        let mut newest_first = self.history.iter().rev();
        newest_first.find_map(|snapshot| {
            let cgroup = snapshot.cgroups.iter().find(|cgroup| cgroup.path == path)?;
            Some(cgroup.id)
        })
    }

    /// The oldest snapshot of the time over which growth is looked at, or the next older one.
    fn before(&self, later: &OomSnapshot) -> Option<Arc<OomSnapshot>> {
        let time_ns = later.time.monotonic_ns;
        let older = || {
            let newest_first = self.history.iter().rev();
            newest_first.filter(|snapshot| snapshot.time.monotonic_ns < time_ns)
        };
        let recent =
            |snapshot: &&Arc<OomSnapshot>| time_ns - snapshot.time.monotonic_ns <= GROWTH_NS;
        older()
            .take_while(recent)
            .last()
            .or(older().next())
            .cloned()
    }

    /// Who was killed between a snapshot and an instant.
    fn dead_since(&self, snapshot: &OomSnapshot, time_ns: u64) -> Vec<u32> {
        let taken_ns = snapshot.time.monotonic_ns;
        // A margin, since a kill may fall between the time that a snapshot bears and its reading.
        let since = taken_ns.saturating_sub(GROWTH_NS)..time_ns;
        self.dead
            .iter()
            .filter(|(at_ns, _)| since.contains(at_ns))
            .map(|(_, pid)| *pid)
            .collect()
    }

    fn thin(&mut self) {
        let Some(newest_ns) = self
            .history
            .back()
            .map(|snapshot| snapshot.time.monotonic_ns)
        else {
            return;
        };
        let old = |snapshot: &Arc<OomSnapshot>| newest_ns - snapshot.time.monotonic_ns > WINDOW_NS;
        while self.history.len() > 1 && self.history.front().is_some_and(old) {
            self.history.pop_front();
        }
        // The older, the farther apart: one in between goes if its neighbours are no farther from
        // each other than from now. That leaves some twenty, whatever their pace.
        let at = |place: usize| self.history[place].time.monotonic_ns;
        let dense = self
            .between()
            .find(|place| at(place + 1) - at(place - 1) < newest_ns - at(place + 1));
        if let Some(place) = dense {
            self.history.remove(place);
        }
        let mut kept: usize = self.history.iter().map(|one| weight_bytes(one)).sum();
        while kept > MAX_BYTES && self.history.len() > NEWEST {
            // The oldest last: it tells the most of who grew slowly.
            let place = self.closest().unwrap_or(0);
            kept -= self
                .history
                .remove(place)
                .map_or(0, |one| weight_bytes(&one));
        }
    }

    /// Places of the snapshots but the oldest and the newest ones.
    fn between(&self) -> std::ops::Range<usize> {
        1..self.history.len().saturating_sub(NEWEST)
    }

    /// Of these the one whose neighbours are closest to each other.
    fn closest(&self) -> Option<usize> {
        let at = |place: usize| self.history[place].time.monotonic_ns;
        self.between()
            .min_by_key(|place| at(place + 1) - at(place - 1))
    }
}

/// What it takes to keep a snapshot, roughly: names and paths are short.
fn weight_bytes(snapshot: &OomSnapshot) -> usize {
    let with_memory = |cgroup: &&OomCgroup| cgroup.memory.is_some();
    let memories = snapshot.cgroups.iter().filter(with_memory).count();
    snapshot.tasks.len() * size_of::<OomTask>()
        + snapshot.cgroups.len() * size_of::<OomCgroup>()
        + memories * size_of::<OomMemory>()
}

/// What of a snapshot concerns a domain: cgroups in and above it, processes in it or with memory of
/// such. A domain may stand near its limit for months, and would else keep the whole of a large node.
fn within(snapshot: &OomSnapshot, domain: u64) -> OomSnapshot {
    let tree = Tree::new(snapshot);
    let below: BTreeSet<u64> = tree.downwards(domain).into_iter().collect();
    let above: BTreeSet<u64> = tree.upwards(domain).iter().map(|one| one.id).collect();
    let is_in = |task: &&OomTask| task.cgroup_id.is_some_and(|id| below.contains(&id));
    let members = snapshot.tasks.iter().filter(is_in);
    let memories: BTreeSet<u32> = members.filter_map(|task| task.memory).collect();
    let shares = |task: &OomTask| task.memory.is_some_and(|memory| memories.contains(&memory));
    let cgroups = snapshot.cgroups.iter();
    let cgroups = cgroups.filter(|one| below.contains(&one.id) || above.contains(&one.id));
    let tasks = snapshot.tasks.iter();
    let tasks = tasks.filter(|task| is_in(task) || shares(task));
    OomSnapshot {
        cgroups: cgroups.cloned().collect(),
        tasks: tasks.cloned().collect(),
        memtrace_version: snapshot.memtrace_version.clone(),
        kernel_release: snapshot.kernel_release.clone(),
        target: snapshot.target.clone(),
        source_reason: snapshot.source_reason.clone(),
        ..*snapshot
    }
}

/// When all of a snapshot had been read: one under way while a process is killed may miss it.
fn done_ns(snapshot: &OomSnapshot) -> u64 {
    snapshot.done_ns.unwrap_or(snapshot.time.monotonic_ns)
}

/// The share of a domain that reclaim cannot take away; `None` without a limit.
pub fn pinned_share(memory: &OomMemory) -> Option<f64> {
    let room = Room::of_cgroup(memory)?;
    let whole = room.pinned_bytes.saturating_add(room.headroom_bytes);
    (whole > 0).then(|| room.pinned_bytes as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{predict_domain, tests},
        *,
    };

    #[test]
    fn of_a_thousand_domains_fewer_snapshots_are_kept_and_still_the_oldest() {
        let cgroups: Vec<_> = (1..=1_000)
            .map(|id| tests::cgroup(id, None, Some(64)))
            .collect();
        let mut standing = Standing::default();
        for second in 0..60_u64 {
            let mut snapshot = tests::snapshot(1, cgroups.clone(), Vec::new());
            snapshot.time.monotonic_ns = second * 1_000_000_000;
            standing.learn(&Arc::new(snapshot));
        }
        let at = |place: usize| standing.history[place].time.monotonic_ns / 1_000_000_000;
        let kept = standing.history.len();
        assert!((NEWEST + 2..=10).contains(&kept), "{kept}");
        assert_eq!(at(0), 0);
        let newest: Vec<_> = (kept - NEWEST..kept).map(at).collect();
        assert_eq!(newest, [57, 58, 59]);
    }
    #[test]
    fn of_a_domain_s_part_the_same_is_foretold_as_of_the_whole() {
        let (root, pod, app, other) = (1, 10, 11, 20);
        let cgroups = vec![
            tests::cgroup(root, None, None),
            tests::cgroup(pod, Some(root), Some(64)),
            tests::cgroup(app, Some(pod), None),
            tests::cgroup(other, Some(root), Some(64)),
        ];
        let mut stranger = tests::task(300, other, 9_000, 0);
        // It has the memory of one in the domain, and dies with it.
        stranger.memory = Some(101);
        let tasks = vec![
            tests::task(100, app, 4_000, 0),
            tests::task(101, app, 9_000, 0),
            tests::task(200, other, 12_000, 0),
            stranger,
        ];
        let whole = tests::snapshot(root, cgroups, tasks);
        let part = within(&whole, pod);
        let ids: Vec<_> = part.cgroups.iter().map(|one| one.id).collect();
        assert_eq!(ids, [root, pod, app]);
        let pids: Vec<_> = part.tasks.iter().map(|task| task.pid).collect();
        assert_eq!(pids, [100, 101, 300]);
        let told = |snapshot: &OomSnapshot| {
            let forecast = predict_domain(None, snapshot, Some(pod)).unwrap();
            (
                format!("{:?}", forecast.now),
                format!("{:?}", forecast.at_limit),
            )
        };
        assert_eq!(told(&part), told(&whole));
    }
}
