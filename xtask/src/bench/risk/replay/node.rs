//! One node's day: its tenants, its agent, and who scrapes it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use memtrace::agent::{DomainRisk, Labels, Replay, Snapshot};
use memtrace::cgroup::RiskSample;
use memtrace::view::metrics;

use super::calibration::Calibration;
use super::scrape::Scraped;
use super::tenant::{Domain, Kill, Tenant};
use crate::bench::risk::library::Library;

/// A day.
pub const DAY_S: u32 = 86_400;
/// When it begins for Prometheus, seconds since 1970: a whole day.
pub const EPOCH_S: u64 = 1_699_920_000;
/// How often nodes are scraped.
pub const SCRAPES_S: [u32; 2] = [15, 30];
/// `--eviction-hard` of the kubelet by default.
const EVICTION_THRESHOLD_BYTES: u64 = 100 << 20;
/// The 1-minute risk that counts as told: what the shipped rule for automation asks for.
const IMMINENT: f64 = 0.9;
/// How long before a kill that may be.
const LOOK_BACK_S: u32 = 120;

/// A node, and who is on it.
pub struct Node<'a> {
    /// Its number.
    pub number: usize,
    /// The first one is judged for the kill, if there is one.
    pub tenants: Vec<Tenant<'a>>,
    /// Whether the baselines are looked at for all tenants.
    pub with_baselines: bool,
    /// Whether the first tenant ends in kills.
    pub has_kills: bool,
    /// Seconds of it.
    pub seconds: u32,
    /// Decides the rest.
    pub dice: fastrand::Rng,
}

/// What came of it.
#[derive(Default)]
pub struct Day {
    /// By [`SCRAPES_S`].
    pub scraped: [Scraped; 2],
    pub kills: Vec<Kill>,
    pub calibration: Calibration,
}

impl Node<'_> {
    /// Lives the day.
    pub fn live(mut self, library: &Library, wanted: &[&str]) -> Result<Day> {
        let mut agent = Replay::new(
            library.version(),
            rustix::param::page_size() as u64,
            Some(EVICTION_THRESHOLD_BYTES),
        );
        let mut day = Day::default();
        let machine = library.machine();
        let offset = self.dice.usize(..machine.len());
        // Scrapers do not come at whole minutes. Both come at the same second, so that it is rendered once.
        let phase = self.dice.u32(..SCRAPES_S[0]);
        let label = format!("instance=\"n{}\"", self.number);
        let mut imminent = Vec::new();
        let mut seen = Vec::new();
        let mut readings = Vec::new();
        let mut shown = Vec::new();
        let mut exposition = String::new();
        for now in 0..self.seconds {
            readings.clear();
            let mut killed = None;
            for tenant in &mut self.tenants {
                killed = tenant
                    .tick(now, &mut agent, &mut readings, &mut self.dice)
                    .or(killed);
            }
            if let Some(killed) = &killed {
                agent.killed(killed.domain_id, killed.victim_id);
            }
            let now_ns = (u64::from(now) + 1) * 1_000_000_000;
            let node = machine[(offset + now as usize) % machine.len()].sample();
            agent.tick(now_ns, &readings, &node);
            let judged = self.tenants.first().filter(|_| self.has_kills);
            if let Some(tenant) = judged {
                for (id, domain) in tenant.domains() {
                    let risks = agent.risk(id).risks;
                    if risks[0].is_some_and(|risk| risk.score > IMMINENT) {
                        imminent.push((now, domain.clone()));
                    }
                    if now.is_multiple_of(SCRAPES_S[0]) {
                        seen.push((now, domain.clone(), risks.map(|risk| Some(risk?.score))));
                    }
                }
            }
            if now.is_multiple_of(SCRAPES_S[0]) {
                let quiet = self.tenants.iter().skip(usize::from(self.has_kills));
                for (id, _) in quiet.flat_map(Tenant::domains) {
                    let risks = agent.risk(id).risks;
                    day.calibration
                        .add(risks.map(|risk| Some(risk?.score)), [false; 2]);
                }
            }
            if now % SCRAPES_S[0] == phase {
                let snapshot = agent.snapshot(now_ns);
                let risks = risks(&snapshot);
                // What shows no other risks reads as the last one did, as far as rules ask for it.
                if risks != shown {
                    exposition = asked(snapshot, wanted)?;
                    shown = risks;
                }
            }
            for (place, every) in SCRAPES_S.into_iter().enumerate() {
                if now % every != phase {
                    continue;
                }
                let at = EPOCH_S + u64::from(now);
                let scraped = &mut day.scraped[place];
                let cadvisor = match (self.with_baselines, self.has_kills) {
                    (true, _) => &self.tenants[..],
                    (false, true) => &self.tenants[..1],
                    (false, false) => &[],
                };
                for tenant in cadvisor {
                    let label = format!("{label},namespace=\"{}\"", tenant.name());
                    for (id, domain) in tenant.domains() {
                        let reading = readings.iter().find(|reading| reading.id == id);
                        if let Some(reading) = reading {
                            baseline(scraped, at, domain, &label, &reading.sample);
                        }
                    }
                }
                scraped.take(at, &exposition, wanted, &label);
            }
            if let Some(killed) = killed {
                let mut kill = killed.kill;
                kill.minute_lead_s = imminent
                    .iter()
                    .find(|(at, domain)| *at + LOOK_BACK_S >= now && *domain == kill.domain)
                    .map(|(at, _)| now - at);
                imminent.clear();
                day.kills.push(kill);
                let tenant = self.tenants.first_mut().context("a kill of nobody")?;
                tenant.end(now, &mut agent, &mut self.dice);
            }
        }
        for (at, domain, scores) in seen {
            let soon = |horizon_s: u32| {
                day.kills.iter().any(|kill| {
                    kill.domain == domain && kill.second > at && kill.second <= at + horizon_s
                })
            };
            let soon = [soon(60), soon(900)];
            day.calibration.add(scores, soon);
        }
        Ok(day)
    }
}

/// Whose risks a snapshot shows, and which. Rules ask for nothing else: the caller's families are of it.
fn risks(snapshot: &Snapshot) -> Vec<(Labels, String, DomainRisk)> {
    let row = |labels: Labels, name: &str, domain: &DomainRisk| {
        let mut domain = *domain;
        domain.room = None;
        (labels, name.to_owned(), domain)
    };
    let containers = snapshot.containers.iter();
    let containers = containers.map(|one| row(one.labels.clone(), "", &one.domain));
    let pods = snapshot.pods.iter();
    let pods = pods.map(|one| row(one.labels.clone(), "", &one.domain));
    let units = snapshot.units.iter();
    let units = units.map(|one| row(Labels::default(), &one.unit, &one.domain));
    let node = snapshot.node.risks.iter();
    let node = node.map(|(kind, domain)| row(Labels::default(), kind, domain));
    containers.chain(pods).chain(units).chain(node).collect()
}

/// `/metrics` as the agent serves it, but only what is asked for.
fn asked(snapshot: Snapshot, wanted: &[&str]) -> Result<String> {
    let text = metrics::render(&Arc::new(snapshot)).context("render /metrics")?;
    let family = |line: &&str| {
        let end = line.find(['{', ' ']).unwrap_or(line.len());
        wanted.contains(&&line[..end])
    };
    Ok(text.lines().filter(family).collect::<Vec<_>>().join("\n"))
}

/// The same domain as cAdvisor tells of it: what the baselines are reckoned from.
fn baseline(to: &mut Scraped, at: u64, domain: &Domain, label: &str, sample: &RiskSample) {
    let labels = match domain {
        Domain::Container(pod, name) => format!("{label},pod=\"{pod}\",container=\"{name}\""),
        Domain::Pod(pod) => format!("{label},pod=\"{pod}\",container=\"\""),
        Domain::Unit(_, unit) => format!("{label},unit=\"{unit}\""),
    };
    let cgroup = &sample.cgroup;
    let values = [
        (
            "container_memory_working_set_bytes",
            cgroup.working_set_bytes(),
        ),
        ("container_memory_rss", cgroup.stat.anon),
        (
            "container_memory_active_file_bytes",
            cgroup.stat.active_file,
        ),
        ("container_spec_memory_limit_bytes", cgroup.limit_bytes),
    ];
    for (name, value) in values {
        if let Some(value) = value {
            let thinned = name == "container_spec_memory_limit_bytes";
            to.put(
                at,
                format!("{name}{{{labels}}}"),
                &value.to_string(),
                thinned,
            );
        }
    }
}
