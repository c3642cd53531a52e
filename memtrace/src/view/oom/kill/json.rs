//! One line a kill: docs/json/oom-watch.md documents every key.

use serde_json::{Map, Value, json};

use super::{constraint_id, gfp, time};
use crate::{
    input::{MemoryStat, OomWatchFacts, OwnedBy},
    model::oom::{AtKill, Foretold, Held, KillStory, PARTS, Prophecy, Row, Window, part},
    view::time::seconds,
};

/// One line.
pub fn render(story: &KillStory, facts: &OomWatchFacts) -> String {
    format!("{}\n", value(story, facts))
}

/// The object of that line.
pub fn value(story: &KillStory, facts: &OomWatchFacts) -> Value {
    let report = &story.report;
    let limit = story.limit.as_ref();
    let log = report.log.as_ref();
    let mask = limit.and_then(|limit| limit.gfp_mask);
    json!({
        "schema_version": 1,
        "command": "oom watch",
        "time": time(story, facts),
        "fate": story.fate.id(),
        "victim": task(&report.victim, story.victim_path.as_deref()),
        "trigger": task(&report.trigger, story.trigger_path.as_deref()),
        "trigger_tid": limit.and_then(|limit| limit.trigger_tid),
        "limit_owner": limit.map(|limit| limit.owner.id()),
        "limit_cgroup": limit.and_then(|limit| limit.path.as_deref()),
        "limit_cgroup_id": limit.and_then(|limit| limit.cgroup_id),
        "limit_told_by": limit.map(|limit| limit.told.id()),
        "constraint": limit.map(|limit| constraint_id(limit.constraint)),
        "order": limit.and_then(|limit| limit.order),
        "gfp_mask": mask,
        "gfp_names": mask.map(gfp::names),
        "totalpages": story.totalpages,
        "points": story.points().map(|(points, _)| points),
        "points_are_the_kernels": story.points().map(|(_, own)| own),
        "candidates_source": story.table.as_ref().map(|table| table.source.id()),
        "candidates": story.table.iter().flat_map(|table| &table.rows).map(candidate)
            .collect::<Vec<_>>(),
        "also_killed": also_killed(story),
        "reaped_after_seconds": report.reaped_after_ns.map(seconds),
        "gone_after_seconds": report.gone_after_ns.map(seconds),
        "delivered_after_seconds": report.delivered_after_ns.map(seconds),
        "at_kill": story.at_kill.as_ref().map(at_kill),
        "window": story.window.as_ref().map(window),
        "foretold": story.foretold.as_ref().map(foretold),
        "kernel_log": {
            "readable": facts.log_unreadable.is_none(),
            "unreadable_reason": facts.log_unreadable,
            "found": log.is_some(),
            "whole": log.map(|log| log.constraint.is_some()),
            "differences": story.differences.iter().map(|difference| json!({
                "what": difference.what,
                "hook": difference.hook,
                "kernel_log": difference.log,
            })).collect::<Vec<_>>(),
        },
        "complete_after_seconds": seconds(story.complete_after_ns),
    })
}

fn task(task: &OwnedBy, path: Option<&str>) -> Value {
    json!({
        "pid": task.pid,
        "comm": task.comm,
        "cgroup": path,
        "cgroup_id": task.cgroup_id,
    })
}

fn also_killed(story: &KillStory) -> Vec<Value> {
    let marked = story.report.also_killed.iter().map(|one| {
        json!({
            "pid": one.pid,
            "comm": one.comm,
            "cgroup_id": one.cgroup_id,
            "reason": "oom_group",
        })
    });
    let sharers = story.sharers.iter().map(|(pid, comm)| {
        json!({"pid": pid, "comm": comm, "cgroup_id": null, "reason": "shares_memory"})
    });
    marked.chain(sharers).collect()
}

fn candidate(row: &Row) -> Value {
    json!({
        "pid": row.pid,
        "comm": row.comm,
        "cgroup_id": row.cgroup_id,
        "oom_score_adj": row.oom_score_adj,
        "rss_pages": row.rss_pages,
        "swap_pages": row.swap_pages,
        "pagetable_pages": row.pagetable_pages,
        "points": row.kernel_points.filter(|points| *points != i64::MIN),
        "points_known": row.kernel_points.is_some(),
        "eligible": row.eligible,
        "model_points": row.model_points,
        "model_error_pages": row.error_pages,
        "model_agrees": row.agrees,
    })
}

fn at_kill(memory: &AtKill) -> Value {
    json!({
        "source": match memory.before_ns {
            Some(_) => "sample",
            None => "kernel_log",
        },
        "before_seconds": memory.before_ns.map(seconds),
        "usage_bytes": memory.usage_bytes,
        "limit_bytes": memory.limit_bytes,
        "limit_before": memory.limit_before.map(|(bytes, before_ns)| json!({
            "bytes": bytes,
            "before_seconds": seconds(before_ns),
        })),
        "parts": parts(&memory.stat),
        "inactive_file_bytes": memory.stat.inactive_file,
        "active_file_bytes": memory.stat.active_file,
    })
}

fn parts(stat: &MemoryStat) -> Value {
    let known = |name: &&'static str| {
        let bytes = part(stat, name)?;
        Some((format!("{name}_bytes"), json!(bytes)))
    };
    Value::Object(PARTS.iter().filter_map(known).collect())
}

fn window(window: &Window) -> Value {
    let change: Map<_, _> = window
        .change
        .iter()
        .map(|(name, bytes)| (format!("{name}_bytes"), json!(bytes)))
        .collect();
    json!({
        "seconds": seconds(window.length_ns),
        "change": change,
        "victim_grew_pages": window.victim_grew_pages,
        "pressure_some_share": window.waited.map(|waited| waited.some),
        "pressure_full_share": window.waited.map(|waited| waited.full),
        "node_pressure_some_share": window.waited_on_node.map(|waited| waited.some),
        "node_pressure_full_share": window.waited_on_node.map(|waited| waited.full),
        "scanned_pages": window.scanned_and_stolen.map(|(scanned, _)| scanned),
        "stolen_pages": window.scanned_and_stolen.map(|(_, stolen)| stolen),
        "max_events": window.max_events,
        "reclaim_waits": window.stalled.as_ref().map(|stalled| json!({
            "passes": stalled.waits.passes,
            "seconds": seconds(stalled.waits.total_ns),
            "longest": stalled.longest.as_ref().map(|(pid, comm, waits)| json!({
                "pid": pid,
                "comm": comm,
                "passes": waits.passes,
                "seconds": seconds(waits.total_ns),
            })),
        })),
    })
}

fn foretold(foretold: &Foretold) -> Value {
    json!({
        "now": prophecy(&foretold.now),
        "at_limit": foretold.at_limit.as_ref().map(prophecy),
        "since_seconds": foretold.since_ns.map(seconds),
    })
}

fn prophecy(one: &Prophecy) -> Value {
    json!({
        "before_seconds": seconds(one.before_ns),
        "limit_share": one.share,
        "victim": one.victim.as_ref().map(|(pid, comm)| json!({"pid": pid, "comm": comm})),
        "points": one.points,
        "margin_points": one.margin_points,
        "confidence": one.confidence.map(|confidence| confidence.id()),
        "held": one.held.id(),
        "cause": match one.held {
            Held::Wrong(cause) => Some(cause.id()),
            Held::Right | Held::Tie => None,
        },
    })
}
