//! Containers, pods and units. At most 12 series a container: unreclaimable and headroom (2), risk
//! and its peak for two horizons (4), ETA (1), kills by whose limit it was (3), stall (1), refaults
//! (1); with `--metrics full` the parts of its memory besides.

use std::fmt;

use super::family::{Set, Sink, bytes, counters, gauges, plain, seconds, whose, whose_and};
use crate::{
    agent::{ContainerView, DomainRisk, LimitOwner, Snapshot},
    input::MemoryStat,
    model::{oom, risk::Horizon},
};

/// The horizon whose ETA is told: that of people.
const TOLD: usize = 1;

/// Parts of a container's memory, by their names in `memory.stat`; page cache also by its list.
const LISTS: [&str; 2] = ["active_file", "inactive_file"];

pub(super) fn encode(all: &Snapshot, to: &mut dyn Sink) -> Result<(), fmt::Error> {
    let containers = &all.containers;
    gauges(
        to,
        bytes(
            "memtrace_container_unreclaimable",
            "Memory that reclaim cannot take away: usage less clean page cache and half of the reclaimable slab",
        ),
        containers
            .iter()
            .filter_map(|one| Some((whose(&one.labels), one.unreclaimable_bytes? as f64))),
    )?;
    domain(
        to,
        "container",
        containers
            .iter()
            .map(|one| (whose(&one.labels), &one.domain)),
    )?;
    counters(
        to,
        plain(
            "memtrace_container_oom_kills",
            "Processes killed by the OOM killer, by whose limit was reached, seen from the victim",
        ),
        all.kills.iter().flat_map(|(labels, counts)| {
            // Whose limit nobody could tell is counted for the node only.
            LimitOwner::ALL.into_iter().take(3).map(move |owner| {
                let set = whose_and(labels, "limit_owner", owner.id());
                (set, counts[owner as usize] as f64)
            })
        }),
    )?;
    counters(
        to,
        seconds(
            "memtrace_container_memory_stall",
            "Time in which some task of the container waited for memory (PSI; cgroup v2)",
        ),
        containers
            .iter()
            .filter_map(|one| Some((whose(&one.labels), one.stall_seconds?))),
    )?;
    counters(
        to,
        bytes(
            "memtrace_container_refault",
            "Memory that was read in again after it had been evicted",
        ),
        containers
            .iter()
            .filter_map(|one| Some((whose(&one.labels), one.refault_bytes? as f64))),
    )?;
    if all.full {
        gauges(
            to,
            bytes(
                "memtrace_container_part",
                "Memory by part, named as in memory.stat; file without tmpfs, and again by its lists",
            ),
            containers.iter().flat_map(parts),
        )?;
    }
    domain(
        to,
        "pod",
        all.pods.iter().map(|one| (whose(&one.labels), &one.domain)),
    )?;
    let unit = |one| -> (Set<'_>, &DomainRisk) {
        let one: &crate::agent::UnitView = one;
        (vec![("unit", &one.unit)], &one.domain)
    };
    domain(to, "unit", all.units.iter().map(unit))
}

/// Names of a level's families.
struct Named {
    headroom: &'static str,
    risk: &'static str,
    peak: &'static str,
    eta: &'static str,
}

fn named(level: &str) -> Named {
    match level {
        "container" => Named {
            headroom: "memtrace_container_headroom",
            risk: "memtrace_container_oom_risk_ratio",
            peak: "memtrace_container_oom_risk_peak_ratio",
            eta: "memtrace_container_oom_eta",
        },
        "pod" => Named {
            headroom: "memtrace_pod_headroom",
            risk: "memtrace_pod_oom_risk_ratio",
            peak: "memtrace_pod_oom_risk_peak_ratio",
            eta: "memtrace_pod_oom_eta",
        },
        _ => Named {
            headroom: "memtrace_unit_headroom",
            risk: "memtrace_unit_oom_risk_ratio",
            peak: "memtrace_unit_oom_risk_peak_ratio",
            eta: "memtrace_unit_oom_eta",
        },
    }
}

fn domain<'a>(
    to: &mut dyn Sink,
    level: &str,
    rows: impl Iterator<Item = (Set<'a>, &'a DomainRisk)> + Clone,
) -> Result<(), fmt::Error> {
    let named = named(level);
    gauges(
        to,
        bytes(
            named.headroom,
            "What may still be pinned until the limit is reached, swap included",
        ),
        rows.clone()
            .filter_map(|(labels, domain)| Some((labels, domain.room?.headroom_bytes as f64))),
    )?;
    gauges(
        to,
        plain(
            named.risk,
            "Risk of reaching the limit within the horizon, 0 to 1 (docs/RISK.md)",
        ),
        horizons(rows.clone(), |domain, place| {
            domain.risks[place].map(|risk| risk.score)
        }),
    )?;
    gauges(
        to,
        plain(
            named.peak,
            "The highest of that risk in the last two minutes",
        ),
        horizons(rows.clone(), |domain, place| domain.peaks[place]),
    )?;
    gauges(
        to,
        seconds(
            named.eta,
            "Time until the headroom is gone at the present rate; absent if nothing grows",
        ),
        rows.filter_map(|(labels, domain)| Some((labels, domain.risks[TOLD]?.eta_seconds?))),
    )
}

/// A row for each horizon that has a value.
pub(super) fn horizons<'a>(
    rows: impl Iterator<Item = (Set<'a>, &'a DomainRisk)>,
    value: impl Fn(&DomainRisk, usize) -> Option<f64> + Copy,
) -> impl Iterator<Item = (Set<'a>, f64)> {
    rows.flat_map(move |(labels, domain)| {
        let row = move |(place, horizon): (usize, Horizon)| {
            let mut labels = labels.clone();
            labels.push(("horizon", horizon.id()));
            Some((labels, value(domain, place)?))
        };
        Horizon::ALL.into_iter().enumerate().filter_map(row)
    })
}

fn parts(one: &ContainerView) -> impl Iterator<Item = (Set<'_>, f64)> {
    oom::PARTS.iter().chain(&LISTS).filter_map(|name| {
        let bytes = part(one.stat.as_ref()?, name)?;
        Some((whose_and(&one.labels, "part", name), bytes as f64))
    })
}

fn part(stat: &MemoryStat, name: &str) -> Option<u64> {
    match name {
        "active_file" => stat.active_file,
        "inactive_file" => stat.inactive_file,
        _ => oom::part(stat, name),
    }
}
