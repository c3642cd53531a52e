//! What the session was, and what happened in it besides growth.

use memtrace_ebpf::record::RunKind;

use super::{
    cells::{NOTE_WIDTH, is_visible, row, shorten},
    change::many,
    reclaim,
};
use crate::{
    input::{LruKind, Scope},
    model::{
        CgroupRef, Explanation, Traffic,
        words::{self, escaped, file, mib, process_cell},
    },
    view::time::{rfc3339, seconds},
};

/// Rows of traffic.
const ROWS: usize = 3;
/// Rows of kills, and of processes that a command left.
const KILLS: usize = 5;

/// Target and window; with a command, what became of it.
pub(super) fn session(explanation: &Explanation) -> Vec<String> {
    let whole = &explanation.whole;
    let duration = whole
        .end
        .monotonic_ns
        .saturating_sub(whole.start.monotonic_ns);
    let mut lines = vec![format!(
        "TARGET  {}  {:.1} s from {}",
        escaped(&explanation.facts.scope.cgroup_path),
        seconds(duration),
        rfc3339(whole.start.unix_ns)
    )];
    if let Some(run) = &explanation.run {
        let ending = match (run.exit_code, run.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("ended by signal {signal}"),
            (None, None) => "still running".to_owned(),
        };
        let argv = escaped(&run.argv.join(" "));
        lines.push(format!("RUN     {}  {ending}", shorten(&argv, 50)));
        for (pid, comm) in run.left_behind.iter().take(KILLS) {
            lines.push(format!("        left running: {}[{pid}]", escaped(comm)));
        }
        if let Some(more @ 1..) = run.left_behind.len().checked_sub(KILLS) {
            lines.push(format!("        and {more} more"));
        }
    }
    lines
}

/// Page cache that came and went, memory at others' expense, reclaim, kills.
pub(super) fn lines(explanation: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(traffic(
        "CACHE IN AND OUT",
        match explanation.facts.lru {
            LruKind::Classic => "not active: no working set",
            LruKind::MultiGen => "into which generation is not told",
        },
        &explanation.page_cache,
        &explanation.facts.scope,
    ));
    lines.extend(traffic(
        "USED, NOT PAID FOR",
        "charged elsewhere",
        &explanation.foreign,
        &explanation.facts.scope,
    ));
    lines.extend(traffic(
        "PAID FOR, NOT USED",
        "used by another cgroup's processes",
        &explanation.used_elsewhere,
        &explanation.facts.scope,
    ));
    lines.extend(reclaim::lines(explanation));
    if let Some(refaults) = &explanation.refaults
        && is_visible(refaults.file_bytes as i64)
    {
        let active = refaults.activated_bytes.map_or_else(String::new, |bytes| {
            format!(", {} MiB of it active at once", mib(bytes as i64))
        });
        lines.push(format!(
            "REFAULTS  {} MiB of page cache came back after an eviction{active}",
            mib(refaults.file_bytes as i64)
        ));
    }
    let (shown, rest) = (explanation.oom_kills).split_at(explanation.oom_kills.len().min(KILLS));
    for kill in shown {
        lines.push(format!(
            "OOM KILL  {}  {}; allocation by {}",
            rfc3339(kill.unix_ns),
            process_cell(&kill.victim),
            process_cell(&kill.trigger)
        ));
    }
    if !rest.is_empty() {
        lines.push(format!(
            "          and {} more: `memtrace oom watch`",
            rest.len()
        ));
    }
    lines
}

/// It is the target or below it.
fn is_below(cgroup: &CgroupRef, target: &Scope) -> bool {
    let is_below = |path: &str| path.starts_with(&format!("{}/", target.cgroup_path));
    cgroup.id == target.cgroup_id || cgroup.path.as_deref().is_some_and(is_below)
}

fn traffic(title: &str, note: &str, rows: &[Traffic], target: &Scope) -> Vec<String> {
    let rows: Vec<&Traffic> = rows
        .iter()
        .filter(|traffic| is_visible(traffic.bytes as i64))
        .collect();
    let (shown, rest) = rows.split_at(rows.len().min(ROWS));
    if shown.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![row(title, "MiB", note)];
    for traffic in shown {
        let payer = traffic
            .charged_cgroup
            .as_ref()
            .filter(|cgroup| !is_below(cgroup, target));
        let who = (traffic.task.as_ref().map(process_cell).into_iter())
            .chain(payer.map(|cgroup| format!("on {}", shorten(&words::cgroup(cgroup), 24))))
            .collect::<Vec<_>>()
            .join("  ");
        let what = match (&traffic.file, traffic.summed) {
            (Some(of), _) => file(of),
            (None, Some(summed)) => many(summed).to_owned(),
            (None, None) => "?".to_owned(),
        };
        let room = NOTE_WIDTH.saturating_sub(who.chars().count() + 2).max(16);
        lines.push(row(
            &format!("  {}", label(traffic)),
            &mib(traffic.bytes as i64),
            &format!("{}  {who}", shorten(&what, room)),
        ));
    }
    if !rest.is_empty() {
        let bytes: u64 = rest.iter().map(|traffic| traffic.bytes).sum();
        lines.push(row(
            &format!("  {} more", rest.len()),
            &mib(bytes as i64),
            "",
        ));
    }
    lines
}

fn label(traffic: &Traffic) -> &'static str {
    match (traffic.kind, traffic.in_reclaim) {
        (RunKind::Activation, _) => "second read",
        (RunKind::InsertionActive, _) => "came in active",
        (RunKind::ShmemInsertion, _) => "shmem added",
        (RunKind::CacheAdd, _) => "read in",
        (RunKind::CacheDeleteActive | RunKind::CacheDeleteInactive, true) => "evicted",
        (RunKind::CacheDeleteActive | RunKind::CacheDeleteInactive, false) => "removed",
        (RunKind::ShmemDelete, _) => "shmem freed",
        (RunKind::RefaultInsertion, _) => "refault",
        (RunKind::Refault | RunKind::RefaultActivated, _) => "came back",
        (RunKind::Eviction, _) => "evicted",
        (RunKind::SwapEviction, _) => "to swap",
    }
}
