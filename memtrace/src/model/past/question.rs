//! From kept rows to the answer.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Gap, Instant, Past, PastKill, PastOf, Subject};

/// Reports that a subject has at most, newest first.
const MAX_REPORTS: usize = 20;
/// A cgroup may be gone so long before its kill is noticed.
const TOLD_MS: u64 = 60_000;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// As typed.
    pub target: String,
    /// Start of the window.
    pub since: Instant,
    /// Its end.
    pub until: Instant,
}

/// The time that one row of each subject is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its start.
    pub from: Instant,
    /// Its end.
    pub until: Instant,
}

/// What was in the window: of whom TARGET means, of `left_out` more, and of the machine. `spans` are the
/// times that rows are kept of, oldest first. `None` if nothing is kept of the target there.
pub fn answer(
    question: &Question,
    spans: &[Span],
    mut of: Vec<PastOf>,
    left_out: usize,
    machine: Option<PastOf>,
) -> Option<Past> {
    if of.is_empty() {
        return None;
    }
    // The one that was there last is meant most likely.
    of.sort_by_key(|past| std::cmp::Reverse((past.until, past.from)));
    Some(Past {
        schema_version: 1,
        command: "explain".to_owned(),
        target: question.target.clone(),
        since: question.since,
        until: question.until,
        of,
        left_out,
        machine,
        gaps: gaps(question, spans),
    })
}

/// The times in the window that nothing is kept of.
fn gaps(question: &Question, spans: &[Span]) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut known_until = question.since;
    let mut unknown = |from: Instant, until: Instant| {
        if from < until {
            gaps.push(Gap { from, until });
        }
    };
    for span in spans {
        unknown(known_until, span.from.min(question.until));
        known_until = known_until.max(span.until);
    }
    unknown(known_until, question.until);
    gaps
}

/// Of reports of kills (docs/json/oom-report.md), newest first, those of a cgroup and of what is below
/// it, and those by its limit.
pub fn kills_of(subject: &Subject, reports: &[Value]) -> Vec<PastKill> {
    let is_own = |path: &Value| {
        let below = path
            .as_str()
            .and_then(|path| path.strip_prefix(subject.cgroup.trim_end_matches('/')));
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let lived = |time: Instant| {
        let ended = subject.ended;
        ended.is_none_or(|ended| time.0 <= ended.0 + TOLD_MS)
    };
    let kill = |report: &Value| {
        let at = reported_at(report)?;
        let paths = [
            &report["victim"]["cgroup"],
            &report["limit_cgroup"],
            &report["counted_in"],
        ];
        (lived(at) && paths.into_iter().any(is_own)).then(|| PastKill {
            id: report["id"].as_u64().unwrap_or(0),
            at,
            complete: report["complete"] != Value::Bool(false),
            kills: report["kills"].as_u64().unwrap_or(0),
            comm: report["victim"]["comm"].as_str().map(str::to_owned),
            pid: report["victim"]["pid"].as_u64(),
            limit_owner: report["limit_owner"].as_str().map(str::to_owned),
        })
    };
    reports.iter().filter_map(kill).take(MAX_REPORTS).collect()
}

/// When a report's victim died, or that was noticed.
pub fn reported_at(report: &Value) -> Option<Instant> {
    let told = report["time"].as_str().or(report["noticed"].as_str());
    Instant::parse(told?)
}
