//! What is kept of each watched cgroup: a row a minute. Pure: it is told what was read and when.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use super::{DomainRisk, census::Reading, node::NodeSample, state::State};
use crate::{
    identity::Name,
    input::{CgroupSample, Pressure},
    model::{
        levels,
        past::{Count, Gauge, Instant, Row, Share, Size, Span, Subject},
    },
    store::{MACHINE, Minute},
};

const MINUTE_MS: u64 = 60_000;
/// Samples so far apart have a gap between them: the machine slept, the clock was set, the agent hung.
const GAP_MS: u64 = 30_000;
/// Cgroups that are gone and whose last row waits: more of them make the minute end early.
const MAX_GONE: usize = 1_024;

/// One subject's row, as far as it is.
#[derive(Debug, Default)]
struct Slot {
    number: u32,
    path: String,
    row: Row,
    /// Counters as of the last sample.
    before: Option<[Option<u64>; Count::ALL.len()]>,
    /// When it was seen last.
    seen: Instant,
    gone: bool,
    /// What was told of who it is.
    told: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Recorder {
    /// A kilobyte each, and so not in the tree's half-empty nodes.
    slots: BTreeMap<u64, Box<Slot>>,
    machine: Slot,
    next: u32,
    /// Made since the first look: their counters began with 0.
    newborn: BTreeSet<u64>,
    gone: usize,
    /// Which minute it is, since 1970, and the time that its row is of, as far as it is.
    minute: Option<(u64, Span)>,
}

impl Recorder {
    /// The first new series gets the number `next`.
    pub(super) fn new(next: u32) -> Self {
        Self {
            slots: BTreeMap::new(),
            machine: Slot {
                number: MACHINE,
                path: "/".to_owned(),
                ..Slot::default()
            },
            next,
            newborn: BTreeSet::new(),
            gone: 0,
            minute: None,
        }
    }

    /// A cgroup was found. Those that were there at the first look are older than the agent.
    pub(super) fn born(&mut self, id: u64) {
        if self.minute.is_some() {
            self.newborn.insert(id);
        }
    }

    /// A cgroup is gone; what is known of it is kept with this minute.
    pub(super) fn died(&mut self, id: u64) {
        self.newborn.remove(&id);
        if let Some(slot) = self.slots.get_mut(&id) {
            self.gone += usize::from(!slot.gone);
            slot.gone = true;
        }
    }

    /// Learns what was read at an instant, and gives the minute before, if it is over.
    pub(super) fn learn<'a>(
        &mut self,
        now: Instant,
        readings: impl IntoIterator<Item = &'a Reading>,
        node: &NodeSample,
        state: &State,
    ) -> Option<Minute> {
        let over = self.end_if_over(now, state);
        let fresh = Span {
            from: now,
            until: now,
        };
        let (_, span) = self.minute.get_or_insert((now.0 / MINUTE_MS, fresh));
        span.until = now;
        for Reading { id, sample } in readings {
            let Some((path, risk, unreclaimable)) = state.standing(*id) else {
                continue;
            };
            let newborn = self.newborn.remove(id);
            let next = &mut self.next;
            let slot = self.slots.entry(*id).or_insert_with(|| {
                let number = *next;
                *next += 1;
                Box::new(Slot {
                    number,
                    path: path.to_owned(),
                    before: newborn.then_some([Some(0); Count::ALL.len()]),
                    ..Slot::default()
                })
            });
            slot.learn(now, counters(&sample.cgroup));
            slot.learn_cgroup(&sample.cgroup, &risk, unreclaimable);
        }
        let machine = &mut self.machine;
        machine.learn(now, counters_of_node(node));
        machine.learn_node(node, state.node_risks());
        over
    }

    fn end_if_over(&mut self, now: Instant, state: &State) -> Option<Minute> {
        let (number, Span { until, .. }) = self.minute?;
        let slept = now < until || now.0 - until.0 > GAP_MS;
        let over = number != now.0 / MINUTE_MS;
        if !slept && !over && self.gone <= MAX_GONE {
            return None;
        }
        let minute = self.end(state);
        // Without a gap the next one begins where this one ended.
        let next = (now.0 / MINUTE_MS, Span { from: until, until });
        self.minute = (!slept).then_some(next);
        minute
    }

    /// Ends the minute, whether it is over or not.
    pub(super) fn end(&mut self, state: &State) -> Option<Minute> {
        let (_, span) = self.minute.take()?;
        let mut subjects = Vec::new();
        for (id, slot) in &mut self.slots {
            subjects.extend(slot.subject(*id, state.name(Some(*id))));
        }
        let slots = self.slots.values_mut().map(Box::as_mut);
        let mut with_rows: Vec<_> = slots.filter(|slot| slot.row.samples > 0).collect();
        with_rows.push(&mut self.machine);
        with_rows.sort_by_key(|slot| slot.number);
        let rows = with_rows.iter().map(|slot| (slot.number, &slot.row));
        let minute = Minute::new(span, rows, subjects);
        for slot in with_rows {
            slot.row = Row::default();
        }
        self.slots.retain(|_, slot| !slot.gone);
        self.gone = 0;
        Some(minute)
    }
}

impl Slot {
    fn learn(&mut self, now: Instant, counters: [Option<u64>; Count::ALL.len()]) {
        self.row.samples += 1;
        self.seen = now;
        for (place, count) in counters.iter().enumerate() {
            let before = match &self.before {
                None => *count,
                Some(before) => before[place],
            };
            // A counter that falls is another's: nothing is known of what was between.
            let since = count
                .zip(before)
                .map(|(now, before)| now.saturating_sub(before));
            let sum = &mut self.row.counts[place];
            *sum = match (*sum, since) {
                (Some(sum), Some(since)) => Some(sum.saturating_add(since)),
                (sum, since) => sum.or(since),
            };
        }
        self.before = Some(counters);
    }

    fn size(&mut self, size: Size, bytes: Option<u64>) {
        self.signed(size, bytes.and_then(|bytes| i64::try_from(bytes).ok()));
    }

    fn signed(&mut self, size: Size, bytes: Option<i64>) {
        let Some(bytes) = bytes else {
            return;
        };
        match &mut self.row.sizes[size.place()] {
            Some(gauge) => gauge.learn(bytes),
            unknown => *unknown = Some(Gauge::new(bytes)),
        }
    }

    fn learn_cgroup(
        &mut self,
        sample: &CgroupSample,
        risk: &DomainRisk,
        unreclaimable_bytes: Option<u64>,
    ) {
        self.size(Size::Usage, sample.usage_bytes);
        self.size(Size::WorkingSet, sample.working_set_bytes());
        self.size(Size::Unreclaimable, unreclaimable_bytes);
        self.size(Size::Limit, sample.limit_bytes);
        self.size(Size::Headroom, risk.room.map(|room| room.headroom_bytes));
        self.size(Size::Swap, sample.swap_bytes);
        for (name, bytes) in levels(sample) {
            self.signed(Size::Part(name), Some(bytes));
        }
        learn_risk(&mut self.row.risks, risk);
    }

    fn learn_node(&mut self, node: &NodeSample, [risk, eviction]: &[DomainRisk; 2]) {
        let memory = &node.memory;
        self.size(Size::Usage, risk.room.map(|room| room.pinned_bytes));
        self.size(Size::WorkingSet, node.working_set_bytes);
        self.size(Size::Limit, Some(memory.total_bytes));
        self.size(Size::Headroom, risk.room.map(|room| room.headroom_bytes));
        let swap = memory.swap_total_bytes.checked_sub(memory.swap_free_bytes);
        self.size(Size::Swap, swap);
        let room = eviction.room.map(|room| room.headroom_bytes);
        self.size(Size::EvictionHeadroom, room);
        learn_risk(&mut self.row.risks, risk);
        learn_risk(&mut self.row.eviction_risks, eviction);
    }

    /// Who it is, if that was not told, or has changed.
    fn subject(&mut self, id: u64, name: Option<&Name>) -> Option<(u32, Subject)> {
        let mut subject = Subject {
            cgroup: self.path.clone(),
            cgroup_id: id,
            gone: self.gone,
            ended: self.gone.then_some(self.seen),
            ..Subject::default()
        };
        if let Some(name) = name {
            subject.namespace.clone_from(&name.namespace);
            subject.pod.clone_from(&name.pod);
            subject.container.clone_from(&name.container);
            subject.container_id.clone_from(&name.container_id);
            subject.restarts = name.restarts;
            // Of what is inside a unit the unit is not the name.
            let is_unit = |unit: &&String| self.path.rsplit('/').next() == Some(unit.as_str());
            subject.unit = name.unit.as_ref().filter(is_unit).cloned();
        }
        let mut hasher = DefaultHasher::new();
        subject.hash(&mut hasher);
        let hash = hasher.finish();
        (self.told.replace(hash) != Some(hash)).then_some((self.number, subject))
    }
}

fn learn_risk(shares: &mut [Option<Share>; 2], domain: &DomainRisk) {
    for (share, risk) in shares.iter_mut().zip(domain.risks) {
        let Some(risk) = risk else {
            continue;
        };
        let last = (risk.score.clamp(0.0, 1.0) * 1e3).round() as u16;
        let most = share.map_or(last, |share| share.most.max(last));
        *share = Some(Share { most, last });
    }
}

/// By the place in [`Count::ALL`].
fn counters(sample: &CgroupSample) -> [Option<u64>; Count::ALL.len()] {
    let (stat, events) = (&sample.stat, &sample.events);
    Count::ALL.map(|count| match count {
        Count::Scanned => stat.pgscan,
        Count::Reclaimed => stat.pgsteal,
        Count::RefaultFile => stat.workingset_refault_file,
        Count::RefaultAnon => stat.workingset_refault_anon,
        Count::SomeUs | Count::FullUs => waited(sample.pressure, count),
        Count::LimitHits => events.max,
        Count::Oom => events.oom,
        Count::Kills => events.oom_kill,
    })
}

fn counters_of_node(node: &NodeSample) -> [Option<u64>; Count::ALL.len()] {
    Count::ALL.map(|count| match count {
        Count::SomeUs | Count::FullUs => waited(node.memory.pressure, count),
        Count::Kills => node.oom_kills,
        _ => None,
    })
}

fn waited(pressure: Option<Pressure>, count: Count) -> Option<u64> {
    let pressure = pressure?;
    Some(match count {
        Count::FullUs => pressure.full_total_us,
        _ => pressure.some_total_us,
    })
}
