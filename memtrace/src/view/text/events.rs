//! What the session was, and what happened in it besides growth.

use memtrace_ebpf::record::RunKind;

use super::{
    cells::{NOTE_WIDTH, is_visible, row, shorten},
    reclaim,
};
use crate::{
    input::LruKind,
    model::{
        Explanation, Traffic,
        words::{escaped, file, mib, process_cell},
    },
    view::time::{rfc3339, seconds},
};

/// Rows of traffic.
const ROWS: usize = 3;

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
        for (pid, comm) in &run.left_behind {
            lines.push(format!("        left running: {}[{pid}]", escaped(comm)));
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
    ));
    lines.extend(traffic(
        "USED, NOT PAID FOR",
        "charged elsewhere",
        &explanation.foreign,
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
    for kill in &explanation.oom_kills {
        lines.push(format!(
            "OOM KILL  {}  {}; allocation by {}",
            rfc3339(kill.unix_ns),
            process_cell(&kill.victim),
            process_cell(&kill.trigger)
        ));
    }
    lines
}

fn traffic(title: &str, note: &str, rows: &[Traffic]) -> Vec<String> {
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
        let who = traffic.task.as_ref().map_or_else(String::new, process_cell);
        let what = traffic.file.as_ref().map_or_else(|| "?".to_owned(), file);
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
