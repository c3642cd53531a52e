//! `oom predict -o json`, schema version 1: docs/json/oom-predict.md documents every key.

use serde_json::{Value, json};

use super::{counters_id, why_words};
use crate::{
    input::TaskSource,
    model::oom::{Candidate, DomainForecast, Forecast, Outcome, Prediction, Why},
    view::time::rfc3339,
};

/// The whole answer. Equal predictions give equal bytes.
pub fn render(prediction: &Prediction<'_>) -> String {
    let snapshot = prediction.snapshot;
    let answer = json!({
        "schema_version": 1,
        "command": "oom predict",
        "memtrace_version": snapshot.memtrace_version,
        "time": rfc3339(snapshot.time.unix_ns),
        "target": snapshot.target,
        "kernel": {
            "release": snapshot.kernel_release,
            "page_size_bytes": snapshot.page_size_bytes,
            "cgroup_version": snapshot.cgroup_version as u8 + 1,
            "rss_counters": counters_id(snapshot.rss_counters),
        },
        "domains": prediction.domains.iter().map(domain).collect::<Vec<_>>(),
        "trust": {
            "source": match snapshot.source {
                TaskSource::Iterator => "iterator",
                TaskSource::Proc => "proc",
            },
            "source_reason": snapshot.source_reason,
            "warnings": prediction.caveats,
        },
    });
    format!("{answer:#}\n")
}

fn domain(domain: &DomainForecast<'_>) -> Value {
    let tasks = |numbers: &[usize]| -> Vec<Value> {
        numbers
            .iter()
            .map(|index| task(&domain.candidates[*index]))
            .collect()
    };
    let fill = domain.fill.as_ref();
    json!({
        "kind": domain.kind.id(),
        "cgroup": domain.cgroup,
        "limit_bytes": domain.limit_bytes,
        "usage_bytes": domain.usage_bytes,
        "totalpages": domain.totalpages,
        "outcome": outcome(&domain.now),
        "victim": victim(domain, &domain.now),
        "margin_points": domain.now.margin_points,
        "confidence": domain.now.confidence.map(|confidence| confidence.id()),
        "tied": tasks(&domain.now.tied),
        "also_killed": domain.also_killed.iter().map(|dead| json!({
            "pid": dead.pid,
            "comm": dead.comm,
            "reason": match dead.why {
                Why::SharesMemory(_) => "shares_memory",
                Why::Group(_) => "oom_group",
            },
            "reason_text": why_words(&dead.why),
        })).collect::<Vec<_>>(),
        "outcome_at_limit": domain.at_limit.as_ref().map(outcome),
        "victim_at_limit": domain.at_limit.as_ref().and_then(|later| victim(domain, later)),
        "margin_points_at_limit": domain.at_limit.as_ref().and_then(|later| later.margin_points),
        "confidence_at_limit": domain
            .at_limit
            .as_ref()
            .and_then(|later| later.confidence)
            .map(|confidence| confidence.id()),
        "not_the_biggest": domain.not_the_biggest.as_ref().map(|biggest| json!({
            "pid": biggest.pid,
            "comm": biggest.comm,
            "memory_pages": biggest.memory_pages,
            "because": biggest.because,
        })),
        "adj_changes": domain.adj_changes.iter().map(|change| json!({
            "pid": change.pid,
            "comm": change.comm,
            "from": change.from,
            "to": change.to,
            "then": change.then.as_ref().map(|(pid, comm)| json!({"pid": pid, "comm": comm})),
        })).collect::<Vec<_>>(),
        "candidates": domain.ranking.iter().map(|index| {
            let grown = fill.map(|fill| fill.grown_pages[*index]);
            candidate(&domain.candidates[*index], grown)
        }).collect::<Vec<_>>(),
        "headroom_bytes": fill.map(|fill| fill.room.headroom_bytes),
        "growth_seconds": fill.map(|fill| fill.seconds),
        "growth_bytes": fill.map(|fill| fill.pinned_bytes),
        "risk": domain.risk.map(|risk| json!({
            "score": risk.score,
            "eta_seconds": risk.eta_seconds,
            "horizon_seconds": risk.horizon_seconds,
            "parts": {"fill": risk.fill, "thrash": risk.thrash},
        })),
    })
}

fn outcome(forecast: &Forecast) -> &'static str {
    match forecast.outcome {
        Outcome::Kill(_) => "kill",
        Outcome::WaitForDying(_) => "wait_for_dying",
        Outcome::Nobody => "nobody",
        Outcome::Panic => "panic",
        Outcome::KillTrigger => "kill_trigger",
        Outcome::TasksWait => "tasks_wait",
    }
}

fn task(candidate: &Candidate<'_>) -> Value {
    json!({"pid": candidate.task.pid, "comm": candidate.task.comm})
}

fn victim(domain: &DomainForecast<'_>, forecast: &Forecast) -> Option<Value> {
    let (Outcome::Kill(index) | Outcome::WaitForDying(index)) = forecast.outcome else {
        return None;
    };
    let mut victim = task(&domain.candidates[index]);
    victim["points"] = json!(forecast.points);
    Some(victim)
}

fn candidate(candidate: &Candidate<'_>, grown_pages: Option<i64>) -> Value {
    let terms = &candidate.badness;
    json!({
        "pid": candidate.task.pid,
        "comm": candidate.task.comm,
        "cgroup_id": candidate.task.cgroup_id,
        "points": candidate.is_eligible().then_some(terms.points),
        "rss_pages": terms.rss_pages,
        "swap_pages": terms.swap_pages,
        "pagetable_pages": terms.pagetable_pages,
        "oom_score_adj": candidate.task.oom_score_adj,
        "adj_pages": terms.adj_pages,
        "error_pages": terms.error_pages,
        "grown_pages": grown_pages,
        "eligible": candidate.is_eligible(),
        "reason": match candidate.ineligible {
            Some(reason) => Some(reason.id()),
            None if candidate.origin => Some("oom_flag_origin"),
            None => None,
        },
    })
}
