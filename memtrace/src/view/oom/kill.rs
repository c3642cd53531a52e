//! `oom watch`: one kill, for people and for programs.

use serde_json::{Value, json};

use super::name;
use crate::{
    input::{OomConstraint, OwnedBy},
    model::{
        oom::{Judged, KillReport},
        words::escaped,
    },
    view::time::{rfc3339, seconds},
};

/// What a report is shown with.
pub struct Setting<'a> {
    /// `CLOCK_REALTIME` minus `CLOCK_MONOTONIC`.
    pub realtime_minus_monotonic_ns: i64,
    /// Paths of cgroups by id; `None` for one that is gone.
    pub path_of: &'a dyn Fn(u64) -> Option<String>,
}

impl Setting<'_> {
    fn time(&self, report: &KillReport) -> String {
        rfc3339(
            report
                .time_ns
                .saturating_add_signed(self.realtime_minus_monotonic_ns),
        )
    }

    fn cgroup(&self, id: Option<u64>) -> String {
        match id {
            None => "unknown cgroup".to_owned(),
            Some(id) => (self.path_of)(id)
                .map_or_else(|| format!("cgroup {id}, gone"), |path| escaped(&path)),
        }
    }
}

fn constraint(constraint: Option<OomConstraint>) -> (&'static str, &'static str) {
    match constraint {
        Some(OomConstraint::None) => ("none", "the node ran out"),
        Some(OomConstraint::Cpuset) => ("cpuset", "the memory nodes of a cpuset ran out"),
        Some(OomConstraint::MemoryPolicy) => {
            ("memory_policy", "the memory nodes of a mempolicy ran out")
        }
        Some(OomConstraint::Memcg) => ("memcg", "limit reached"),
        None => ("unknown", "for a reason unknown to memtrace"),
    }
}

fn who(task: &OwnedBy) -> String {
    name(task.comm.as_deref().unwrap_or("?"), task.pid)
}

/// A few lines and an empty one.
pub fn text(report: &KillReport, setting: &Setting<'_>) -> String {
    let mut lines = vec![format!(
        "OOM  {}  {} killed",
        setting.time(report),
        who(&report.victim)
    )];
    lines.push(format!(
        "VICTIM   {} in {}",
        who(&report.victim),
        setting.cgroup(report.victim.cgroup_id)
    ));
    lines.push(format!(
        "TRIGGER  {} in {}",
        who(&report.trigger),
        setting.cgroup(report.trigger.cgroup_id)
    ));
    match &report.choice {
        Some(choice) => {
            let place = match choice.domain_cgroup_id {
                Some(id) => format!("{}: ", setting.cgroup(Some(id))),
                None => String::new(),
            };
            let order = match choice.order {
                -1 => "sysrq-f".to_owned(),
                order => format!("order {order}, gfp {:#x}", choice.gfp_mask),
            };
            lines.push(format!(
                "LIMIT    {place}{}; {order}; totalpages {}",
                constraint(choice.constraint).1,
                choice.totalpages
            ));
        }
        None => lines.push(
            "LIMIT    unknown: no choice was seen (it was dying already, or the hook is off)"
                .to_owned(),
        ),
    }
    if !report.also_killed.is_empty() {
        let names: Vec<_> = report.also_killed.iter().map(who).collect();
        lines.push(format!("ALSO     {}", names.join(", ")));
    }
    if let Some(ns) = report.reaped_after_ns {
        lines.push(format!("REAPED   after {:.1} ms", seconds(ns) * 1e3));
    }
    if !report.candidates.is_empty() {
        lines.push(format!(
            "  {:>7} {:<15} {:>5} {:>12} {:>12}",
            "PID", "comm", "adj", "kernel", "model"
        ));
    }
    let points = |points: Option<i64>| match points {
        Some(i64::MIN) => "never".to_owned(),
        Some(i64::MAX) => "first".to_owned(),
        Some(points) => points.to_string(),
        None => "?".to_owned(),
    };
    for judged in &report.candidates {
        let task = &judged.event.task;
        let killed = if task.pid == report.victim.pid {
            "  killed"
        } else {
            ""
        };
        lines.push(format!(
            "  {:>7} {:<15} {:>5} {:>12} {:>12}{killed}",
            task.pid,
            escaped(&task.comm),
            task.oom_score_adj,
            points(judged.event.points),
            points(Some(judged.model_points.unwrap_or(i64::MIN))),
        ));
    }
    lines.push(String::new());
    lines.push(String::new());
    lines.join("\n")
}

/// One line.
pub fn json(report: &KillReport, setting: &Setting<'_>) -> String {
    let task = |task: &OwnedBy| {
        json!({
            "pid": task.pid,
            "comm": task.comm,
            "cgroup": task.cgroup_id.and_then(setting.path_of),
            "cgroup_id": task.cgroup_id,
        })
    };
    let choice = report.choice.as_ref();
    let domain = choice.and_then(|choice| choice.domain_cgroup_id);
    let answer = json!({
        "schema_version": 1,
        "command": "oom watch",
        "time": setting.time(report),
        "victim": task(&report.victim),
        "trigger": task(&report.trigger),
        "trigger_tid": choice.map(|choice| choice.trigger_tid),
        "limit_cgroup": domain.and_then(setting.path_of),
        "limit_cgroup_id": domain,
        "constraint": choice.map(|choice| constraint(choice.constraint).0),
        "order": choice.map(|choice| choice.order),
        "gfp_mask": choice.map(|choice| choice.gfp_mask),
        "totalpages": choice.map(|choice| choice.totalpages),
        "points": choice.map(|choice| choice.points),
        "candidates": report.candidates.iter().map(candidate).collect::<Vec<_>>(),
        "also_killed": report.also_killed.iter().map(task).collect::<Vec<_>>(),
        "reaped_after_seconds": report.reaped_after_ns.map(seconds),
    });
    format!("{answer}\n")
}

fn candidate(judged: &Judged) -> Value {
    let task = &judged.event.task;
    json!({
        "pid": task.pid,
        "comm": task.comm,
        "cgroup_id": task.cgroup_id,
        "oom_score_adj": task.oom_score_adj,
        "points": judged.event.points.filter(|points| *points != i64::MIN),
        "points_known": judged.event.points.is_some(),
        "eligible": judged.event.points.map(|points| points != i64::MIN),
        "model_points": judged.model_points,
        "model_error_pages": judged.error_pages,
        "model_agrees": judged.agrees(),
    })
}
