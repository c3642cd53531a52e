//! One workload on a replayed node, day in and day out: begun, gone on with, ended, begun again.

use memtrace::agent::{Reading, Replay};
use memtrace::identity::Annotations;

use crate::bench::risk::recording::{Recording, Row};
use crate::bench::risk::workload::{Level, Life, Workload};

/// From its end until it is there again.
const RESTART_S: u32 = 10;
/// The census walks the tree so often.
const CENSUS_S: u32 = 5;
/// What is repeated of a start, once it is over.
const TAIL_S: u32 = 60;
/// A start lasts so long; where it is known to last less, see [`Tenant::settled`].
const SETTLED_S: u32 = 20;
/// A service lives for so long at least, and at most.
const LIVES_S: std::ops::Range<u32> = 3_600..43_200;

/// A kill, as it was recorded.
#[derive(Clone, Debug)]
pub struct Kill {
    /// Second of the node's day.
    pub second: u32,
    /// Number of the node.
    pub node: usize,
    /// The workload, and how far it is stretched.
    pub workload: &'static str,
    /// Seconds become so many.
    pub stretch: u32,
    /// Seconds from the start of the growth to the kill.
    pub grew_s: u32,
    /// Whose limit it was.
    pub domain: Domain,
    /// At the agent's own pace: seconds by which the 1-minute risk was above 0.9 before the kill;
    /// `None` if it was not.
    pub minute_lead_s: Option<u32>,
}

/// What an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Domain {
    /// A container: its pod, its name.
    Container(String, String),
    /// A pod.
    Pod(String),
    /// A systemd unit of a node.
    Unit(usize, String),
}

/// Where a cgroup is in the agent's eyes.
struct Place {
    id: u64,
    path: String,
    name: Option<Annotations>,
    domain: Domain,
    is_there: bool,
}

/// See the module.
pub struct Tenant<'a> {
    workload: &'a Workload,
    recording: &'a Recording,
    stretch: u32,
    /// Number of the node, and of the tenant on it.
    number: (usize, usize),
    /// When the present life begins, and when it ends at the latest.
    begins: u32,
    ends: u32,
    /// Lives that are left to it.
    lives: u32,
    places: Vec<Place>,
    /// Cgroups made so far.
    made: u64,
}

/// How a tenant is put on its node.
pub struct Booking {
    /// When it begins.
    pub begins: u32,
    /// Seconds become so many.
    pub stretch: u32,
    /// How often it is begun.
    pub lives: u32,
}

impl<'a> Tenant<'a> {
    pub fn new(
        workload: &'a Workload,
        recording: &'a Recording,
        number: (usize, usize),
        booking: &Booking,
        dice: &mut fastrand::Rng,
    ) -> Self {
        Self {
            workload,
            recording,
            stretch: booking.stretch,
            number,
            begins: booking.begins,
            ends: booking.begins + dice.u32(LIVES_S),
            lives: booking.lives,
            places: Vec::new(),
            made: 0,
        }
    }

    /// The workload's name.
    pub fn name(&self) -> &'static str {
        self.workload.name
    }

    /// Its domains that are there: cgroup, and what it is.
    pub fn domains(&self) -> impl Iterator<Item = (u64, &Domain)> {
        let there = self.places.iter().filter(|place| place.is_there);
        there.map(|place| (place.id, &place.domain))
    }

    /// What is read of it at a second of the day. A kill is told once the agent has seen that second.
    pub fn tick(
        &mut self,
        now: u32,
        agent: &mut Replay,
        readings: &mut Vec<Reading>,
        dice: &mut fastrand::Rng,
    ) -> Option<PendingKill> {
        if self.lives == 0 || now < self.begins {
            return None;
        }
        if self.places.is_empty() {
            if !now.is_multiple_of(CENSUS_S) {
                return None;
            }
            self.begins = now;
            self.begin(agent);
        }
        // A start that is stretched is another kind of start: such a life is seen from later on.
        let skipped = match self.stretch {
            1 => 0,
            stretch => self.settled() * stretch,
        };
        let lived = now - self.begins + skipped;
        let killed = self.killed_at().filter(|killed| lived >= *killed);
        let over = match self.workload.life {
            Life::Kill { .. } => killed.is_some(),
            Life::Steady => {
                lived >= (self.recording.length() - 1) * self.stretch && now >= self.ends
            }
            Life::Start | Life::Averted => now >= self.ends,
        };
        let (second, share) = match killed {
            Some(_) => (self.recording.kill().unwrap_or(0), 0.0),
            None => self.position(lived),
        };
        for (place, rows) in self.places.iter_mut().zip(&self.recording.rows) {
            match row(rows, second, share) {
                Some(row) => readings.push(Reading {
                    id: place.id,
                    sample: row.sample(),
                }),
                None if place.is_there => {
                    agent.died(place.id);
                    place.is_there = false;
                }
                None => {}
            }
        }
        let kill = killed.and_then(|_| self.pending(now, second));
        if over && kill.is_none() {
            self.end(now, agent, dice);
        }
        kill
    }

    /// Second of the recording from which on its start is over.
    fn settled(&self) -> u32 {
        match self.workload.life {
            Life::Kill { grows_from, .. } => SETTLED_S.min(grows_from + 2),
            _ => SETTLED_S,
        }
    }

    /// Seconds of a life until its kill.
    fn killed_at(&self) -> Option<u32> {
        match self.workload.life {
            // What is between the last second and the kill is not stretched: nobody knows how it went.
            Life::Kill { .. } => Some((self.recording.kill()?.max(1) - 1) * self.stretch + 1),
            _ => None,
        }
    }

    /// Second of the recording, and share of the way to the next one.
    fn position(&self, lived: u32) -> (u32, f64) {
        let last = self.recording.length() - 1;
        let (second, rest) = (lived / self.stretch, lived % self.stretch);
        let second = match self.workload.life {
            Life::Kill { .. } => second,
            Life::Steady if second < last => second,
            Life::Steady => {
                let settled = self.settled();
                settled + (second - last) % (last - settled)
            }
            Life::Start | Life::Averted if second < last => second,
            Life::Start | Life::Averted => last - TAIL_S + (second - last) % TAIL_S,
        };
        (second.min(last), f64::from(rest) / f64::from(self.stretch))
    }

    fn pending(&self, now: u32, second: u32) -> Option<PendingKill> {
        let Life::Kill { grows_from, domain } = self.workload.life else {
            return None;
        };
        let rose = |rows: &Vec<Row>| {
            let at = |second: u32| rows.iter().find(|row| row.t == second)?.kills;
            at(second) > at(second.saturating_sub(1))
        };
        let victim = self.recording.rows.iter().position(rose);
        Some(PendingKill {
            domain_id: self.places[domain].id,
            victim_id: victim.map(|victim| self.places[victim].id),
            kill: Kill {
                second: now,
                node: self.number.0,
                workload: self.workload.name,
                stretch: self.stretch,
                grew_s: second.saturating_sub(grows_from) * self.stretch,
                domain: self.places[domain].domain.clone(),
                minute_lead_s: None,
            },
        })
    }

    fn begin(&mut self, agent: &mut Replay) {
        let (node, tenant) = self.number;
        for cgroup in &self.workload.cgroups {
            self.made += 1;
            let id = (tenant as u64 + 1) * 1_000_000 + self.made;
            // Each pod has a folder of its own; a container alone is in a pod that nobody limits.
            let own = |name: &str| format!("n{node}-t{tenant}-{name}");
            let uid = |pod: usize| format!("{tenant:08x}-0000-4000-8000-{pod:012x}");
            let folder = |pod: usize| format!("/kubepods/burstable/pod{}", uid(pod));
            let annotations = |pod: String, container: Option<&str>| Annotations {
                namespace: self.workload.name.to_owned(),
                pod,
                container: container.map(str::to_owned),
            };
            let pod = cgroup.parent.filter(|_| cgroup.level == Level::Container);
            let (path, name, domain) = match cgroup.level {
                Level::Slice => {
                    let unit = "kubepods.slice".to_owned();
                    (format!("/{unit}"), None, Domain::Unit(node, unit))
                }
                Level::Pod => {
                    let pod = own(cgroup.name);
                    let path = folder(self.places.len());
                    (path, Some(annotations(pod.clone(), None)), Domain::Pod(pod))
                }
                Level::Container => {
                    let (pod_number, pod_name) = match pod {
                        Some(pod) => (pod, own(self.workload.cgroups[pod].name)),
                        None => (0, own("pod")),
                    };
                    let path = format!("{}/{id:064x}", folder(pod_number));
                    let name = annotations(pod_name.clone(), Some(cgroup.name));
                    let domain = Domain::Container(pod_name, cgroup.name.to_owned());
                    (path, Some(name), domain)
                }
            };
            self.places.push(Place {
                id,
                path,
                name,
                domain,
                is_there: true,
            });
        }
        for place in &self.places {
            agent.born(place.id, &place.path, place.name.as_ref());
        }
    }

    /// The life is over; the next one, if there is one, begins a moment later.
    pub fn end(&mut self, now: u32, agent: &mut Replay, dice: &mut fastrand::Rng) {
        for place in self.places.drain(..) {
            agent.died(place.id);
        }
        self.lives -= 1;
        self.begins = now + RESTART_S;
        self.ends = self.begins + dice.u32(LIVES_S);
    }
}

/// A kill that the agent is yet to be told of.
pub struct PendingKill {
    /// Cgroup whose limit it was, and the victim's.
    pub domain_id: u64,
    /// See `domain_id`.
    pub victim_id: Option<u64>,
    /// What happened.
    pub kill: Kill,
}

/// `None` if the cgroup is not there in that second.
fn row(rows: &[Row], second: u32, share: f64) -> Option<Row> {
    // A row a second, as a rule from 0 on.
    let first = rows.first()?.t;
    let row = rows.get(second.checked_sub(first)? as usize)?;
    match rows.get((second - first) as usize + 1) {
        Some(next) if share > 0.0 => Some(row.towards(next, share)),
        _ => Some(*row),
    }
}
