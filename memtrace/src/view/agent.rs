//! The agent's state, for programs: docs/openapi.json has the schema.

use serde_json::{Value, json};

use crate::{
    agent::{DomainRisk, Labels, Snapshot},
    model::risk::Horizon,
};

/// `GET /api/v1/status`.
pub fn status(all: &Snapshot) -> Value {
    let health = &all.health;
    json!({
        "schema_version": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "containers": all.containers.iter().map(|one| json!({
            "who": who(&one.labels),
            "cgroup_id": one.cgroup_id,
            "unreclaimable_bytes": one.unreclaimable_bytes,
            "domain": domain(&one.domain),
        })).collect::<Vec<_>>(),
        "pods": all.pods.iter().map(|one| json!({
            "who": who(&one.labels),
            "cgroup_id": one.cgroup_id,
            "domain": domain(&one.domain),
        })).collect::<Vec<_>>(),
        "units": all.units.iter().map(|one| json!({
            "unit": one.unit,
            "cgroup_id": one.cgroup_id,
            "domain": domain(&one.domain),
        })).collect::<Vec<_>>(),
        "node": all.node.risks.iter().map(|(kind, risk)| json!({
            "kind": kind,
            "domain": domain(risk),
        })).collect::<Vec<_>>(),
        "agent": {
            "hooks": health.hooks.iter().map(|hook| json!({
                "signal": hook.signal,
                "up": hook.up,
            })).collect::<Vec<_>>(),
            "watched_cgroups": health.watched,
            "unwatched_cgroups": health.unwatched,
            "unknown_cgroups": health.unknown,
            "dropped_containers": health.containers_dropped,
        },
    })
}

fn who(labels: &Labels) -> Value {
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "namespace": known(&labels.namespace),
        "pod": known(&labels.pod),
        "container": known(&labels.container),
    })
}

fn domain(domain: &DomainRisk) -> Value {
    let risks = Horizon::ALL.iter().zip(domain.risks).zip(domain.peaks);
    json!({
        "pinned_bytes": domain.room.map(|room| room.pinned_bytes),
        "headroom_bytes": domain.room.map(|room| room.headroom_bytes),
        "risks": risks.map(|((horizon, risk), peak)| json!({
            "horizon_seconds": horizon.seconds(),
            "score": risk.map(|risk| risk.score),
            "peak": peak,
            "eta_seconds": risk.and_then(|risk| risk.eta_seconds),
            "parts": risk.map(|risk| json!({
                "fill": risk.fill,
                "thrash": risk.thrash,
                "growth_bytes_per_second": risk.growth_bytes_per_second,
            })),
        })).collect::<Vec<_>>(),
    })
}
