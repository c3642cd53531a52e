//! What was known before a kill: snapshots of the last minute, and, of each domain, the one at which
//! it came near its limit. Predictions are made from them when a kill asks for one.

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use super::{growth::Room, tree::Tree};
use crate::input::{OomMemory, OomSnapshot, OomTask, OwnedBy};

/// Newest snapshots that are all kept.
const NEWEST: usize = 4;
/// None is kept that is older than this.
const WINDOW_NS: u64 = 60_000_000_000;
/// Memory files of cgroups that are kept in all: a snapshot of a thousand domains is over a MiB, and
/// of those fewer are kept.
const MAX_MEMORIES: usize = 8_192;
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
    pub(super) earlier: Option<Rc<OomSnapshot>>,
    pub(super) later: Rc<OomSnapshot>,
    /// Who was killed since the later one, which does not show them: their cgroups, where known.
    dead_in: Vec<Option<u64>>,
}

impl Pair {
    fn new(earlier: Option<Rc<OomSnapshot>>, later: Rc<OomSnapshot>) -> Self {
        Self {
            earlier,
            later,
            dead_in: Vec::new(),
        }
    }

    /// Without whom was killed since: a victim is gone when the next one is chosen, else the scan would
    /// wait for it.
    fn without(mut self, dead: &[u32]) -> Self {
        let is_dead = |task: &OomTask| task.victim.is_some() || dead.contains(&task.pid);
        if self.later.tasks.iter().any(is_dead) {
            let mut left = OomSnapshot::clone(&self.later);
            let gone = left.tasks.extract_if(.., |task| is_dead(task));
            self.dead_in = gone.map(|task| task.cgroup_id).collect();
            self.later = Rc::new(left);
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
    history: VecDeque<Rc<OomSnapshot>>,
    /// By the domain's cgroup, oldest first.
    near: BTreeMap<u64, Vec<Approach>>,
    /// Processes that were killed, and when.
    dead: VecDeque<(u64, u32)>,
}

impl Standing {
    pub(super) fn learn(&mut self, snapshot: &OomSnapshot) {
        let later = Rc::new(snapshot.clone());
        let pair = Pair::new(self.before(&later), Rc::clone(&later));
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
                    pair: pair.clone(),
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
        self.history.push_back(later);
        self.thin();
    }

    /// The newest snapshot that was taken before an instant, without those killed since.
    pub(super) fn pair_before(&self, time_ns: u64) -> Option<Pair> {
        let before = |snapshot: &&Rc<OomSnapshot>| done_ns(snapshot) < time_ns;
        let later = self.history.iter().rev().find(before)?;
        let pair = Pair::new(self.before(later), Rc::clone(later));
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
        let before = move |snapshot: &&Rc<OomSnapshot>| done_ns(snapshot) < time_ns;
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
    fn before(&self, later: &OomSnapshot) -> Option<Rc<OomSnapshot>> {
        let time_ns = later.time.monotonic_ns;
        let older = || {
            let newest_first = self.history.iter().rev();
            newest_first.filter(|snapshot| snapshot.time.monotonic_ns < time_ns)
        };
        let recent =
            |snapshot: &&Rc<OomSnapshot>| time_ns - snapshot.time.monotonic_ns <= GROWTH_NS;
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
        let old = |snapshot: &Rc<OomSnapshot>| newest_ns - snapshot.time.monotonic_ns > WINDOW_NS;
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
        let mut kept: usize = self.history.iter().map(|one| memories(one)).sum();
        while kept > MAX_MEMORIES
            && let Some(place) = self.closest()
            && let Some(removed) = self.history.remove(place)
        {
            kept -= memories(&removed);
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

fn memories(snapshot: &OomSnapshot) -> usize {
    let with_memory = |cgroup: &&crate::input::OomCgroup| cgroup.memory.is_some();
    snapshot.cgroups.iter().filter(with_memory).count()
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
    use super::{super::tests, *};

    #[test]
    fn of_a_thousand_domains_fewer_snapshots_are_kept_and_still_the_oldest() {
        let cgroups: Vec<_> = (1..=1_000)
            .map(|id| tests::cgroup(id, None, Some(64)))
            .collect();
        let mut standing = Standing::default();
        for second in 0..60_u64 {
            let mut snapshot = tests::snapshot(1, cgroups.clone(), Vec::new());
            snapshot.time.monotonic_ns = second * 1_000_000_000;
            standing.learn(&snapshot);
        }
        let at = |place: usize| standing.history[place].time.monotonic_ns / 1_000_000_000;
        let kept = standing.history.len();
        assert!((NEWEST + 2..=8).contains(&kept), "{kept}");
        assert_eq!(at(0), 0);
        let newest: Vec<_> = (kept - NEWEST..kept).map(at).collect();
        assert_eq!(newest, [56, 57, 58, 59]);
    }
}
