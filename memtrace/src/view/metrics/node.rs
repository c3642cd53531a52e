//! The machine, and the agent itself.

use std::fmt;

use super::{
    container::horizons,
    family::{Set, Sink, bytes, counters, gauges, plain, seconds, whose},
};
use crate::agent::{LimitOwner, NodeKills, Snapshot};

pub(super) fn encode(all: &Snapshot, to: &mut dyn Sink) -> Result<(), fmt::Error> {
    memory(all, to)?;
    kills(all, to)?;
    agent(all, to)
}

fn memory(all: &Snapshot, to: &mut dyn Sink) -> Result<(), fmt::Error> {
    let domains = all.node.risks.iter();
    let domains = domains.map(|(kind, domain)| (vec![("domain", *kind)], domain));
    gauges(
        to,
        plain(
            "memtrace_node_oom_risk_ratio",
            "The worst risk of each kind of domain, 0 to 1 (docs/RISK.md)",
        ),
        horizons(domains.clone(), |domain, place| {
            domain.risks[place].map(|risk| risk.score)
        }),
    )?;
    gauges(
        to,
        plain(
            "memtrace_node_oom_risk_peak_ratio",
            "The highest of that risk in the last two minutes",
        ),
        horizons(domains.clone(), |domain, place| domain.peaks[place]),
    )?;
    let node = all.node.risks.iter().find(|(kind, _)| *kind == "node");
    gauges(
        to,
        bytes(
            "memtrace_node_headroom",
            "What may still be pinned until the machine runs out, swap included",
        ),
        node.and_then(|(_, node)| Some((Set::new(), node.room?.headroom_bytes as f64))),
    )?;
    gauges(
        to,
        bytes(
            "memtrace_node_eviction_headroom",
            "What the node's working set may still grow until the kubelet evicts pods",
        ),
        all.node
            .eviction_headroom_bytes
            .map(|bytes| (Set::new(), bytes as f64)),
    )?;
    gauges(
        to,
        plain(
            "memtrace_node_predicted_victim_info",
            "Whom the OOM killer would choose if the machine ran out now; 1",
        ),
        all.node
            .predicted_victim
            .iter()
            .map(|labels| (whose(labels), 1.0)),
    )
}

fn kills(all: &Snapshot, to: &mut dyn Sink) -> Result<(), fmt::Error> {
    let kills = &all.node_kills;
    counters(
        to,
        plain(
            "memtrace_node_oom_kills",
            "Processes killed by the OOM killer, by whose limit was reached, seen from the victim",
        ),
        LimitOwner::ALL.into_iter().map(|owner| {
            (
                vec![("limit_owner", owner.id())],
                kills.by_owner[owner as usize] as f64,
            )
        }),
    )?;
    counters(
        to,
        plain(
            "memtrace_node_oom_kills_untold",
            "Kills that the kernel counted and no hook or log told of: reported as incomplete",
        ),
        [(Set::new(), kills.untold as f64)],
    )?;
    counters(
        to,
        plain(
            "memtrace_node_oom_predictions",
            "Kills, by whether the victim foretold was the one: right, tie, wrong, or none foretold",
        ),
        NodeKills::OUTCOMES
            .iter()
            .zip(kills.foretold)
            .map(|(outcome, count)| (vec![("outcome", *outcome)], count as f64)),
    )
}

fn agent(all: &Snapshot, to: &mut dyn Sink) -> Result<(), fmt::Error> {
    let health = &all.health;
    gauges(
        to,
        plain(
            "memtrace_agent_hook_up",
            "Whether the hook of a signal is attached",
        ),
        health.hooks.iter().map(|hook| {
            (
                vec![("signal", hook.signal.as_str())],
                f64::from(u8::from(hook.up)),
            )
        }),
    )?;
    counters(
        to,
        plain(
            "memtrace_agent_events_lost",
            "Events of the hooks that were lost, by how",
        ),
        health
            .lost
            .iter()
            .map(|(kind, lost)| (vec![("kind", *kind)], *lost as f64)),
    )?;
    let one =
        |about, value: usize, to: &mut dyn Sink| gauges(to, about, [(Set::new(), value as f64)]);
    one(
        plain(
            "memtrace_agent_watched_cgroups",
            "Cgroups that are read each tick",
        ),
        health.watched,
        to,
    )?;
    one(
        plain(
            "memtrace_agent_unwatched_cgroups",
            "Cgroups that would be read, were --max-cgroups higher",
        ),
        health.unwatched,
        to,
    )?;
    one(
        plain(
            "memtrace_agent_unknown_cgroups",
            "Cgroups that nobody can name",
        ),
        health.unknown,
        to,
    )?;
    one(
        plain(
            "memtrace_agent_dropped_containers",
            "Containers without series: those without a name, and the older of two with one name",
        ),
        health.containers_dropped,
        to,
    )?;
    counters(
        to,
        plain(
            "memtrace_agent_history_failures",
            "Reports that could not be kept in the history",
        ),
        [(Set::new(), health.history_failures as f64)],
    )?;
    let lost = &health.series_lost;
    counters(
        to,
        plain(
            "memtrace_agent_series_lost",
            "Minutes of the series that are not in the history, by why: no room for a whole day, not written",
        ),
        [("no_room", lost.no_room), ("failed", lost.failed)]
            .map(|(why, minutes)| (vec![("reason", why)], minutes as f64)),
    )?;
    let export = health.export.iter();
    counters(
        to,
        plain(
            "memtrace_agent_otlp_requests",
            "Requests of the OTLP exporter, by outcome: taken, refused, or not answered",
        ),
        export.clone().flat_map(|export| {
            [
                ("taken", export.taken),
                ("refused", export.refused),
                ("unanswered", export.unanswered),
            ]
            .map(|(outcome, requests)| (vec![("outcome", outcome)], requests as f64))
        }),
    )?;
    counters(
        to,
        plain(
            "memtrace_agent_otlp_dropped",
            "What the OTLP exporter dropped, by kind: snapshots of the metrics, and reports",
        ),
        export.flat_map(|export| {
            [
                ("metrics", export.metrics_dropped),
                ("reports", export.reports_dropped),
            ]
            .map(|(kind, dropped)| (vec![("kind", kind)], dropped as f64))
        }),
    )?;
    gauges(
        to,
        seconds(
            "memtrace_agent_tick_duration",
            "How long the last tick took",
        ),
        [(Set::new(), health.tick_seconds)],
    )?;
    gauges(
        to,
        seconds(
            "memtrace_agent_read_duration",
            "How long reading the watched cgroups took of it",
        ),
        [(Set::new(), health.read_seconds)],
    )?;
    gauges(
        to,
        plain("memtrace_agent_build_info", "The version; 1"),
        [(vec![("version", env!("CARGO_PKG_VERSION"))], 1.0)],
    )
}
