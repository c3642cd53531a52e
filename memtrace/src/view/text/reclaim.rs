//! Reclaim: who waited and why, what left on whose behalf.

use super::cells::{NOTE_WIDTH, row, shorten};
use crate::{
    input::{ReclaimCause, ReclaimKind},
    model::{
        CgroupRef, Explanation, ReclaimGroup,
        words::{escaped, file, mib},
    },
    view::time::seconds,
};

/// Rows of evicted files.
const ROWS: usize = 3;
/// Causes and targets of reclaim.
const CAUSES: usize = 4;

/// Two lines a cause; what was evicted, on whose behalf.
pub(super) fn lines(explanation: &Explanation) -> Vec<String> {
    let reclaim = &explanation.reclaim;
    let bytes = |pages: u64| pages.saturating_mul(explanation.facts.page_size_bytes) as i64;
    let target = |cgroup: &CgroupRef| whose(cgroup, explanation);
    let mut lines = Vec::new();
    let (shown, rest) = (reclaim.causes).split_at(reclaim.causes.len().min(CAUSES));
    for group in shown {
        let of = group
            .target
            .as_ref()
            .map_or_else(String::new, |cgroup| format!(" of {}", target(cgroup)));
        lines.push(format!(
            "RECLAIM  {}{of}: passes {}, {} MiB freed",
            why(group),
            group.passes,
            mib(bytes(group.reclaimed_pages)),
        ));
        let ms = |ns: u64| format!("{:.1}", seconds(ns) * 1e3);
        lines.push(format!(
            "         stall, ms: p50 {}, p90 {}, p99 {}, max {}; sum {}",
            ms(group.stall.p50_ns),
            ms(group.stall.p90_ns),
            ms(group.stall.p99_ns),
            ms(group.stall.max_ns),
            ms(group.stall_total_ns)
        ));
    }
    if !rest.is_empty() {
        let passes: u64 = rest.iter().map(|group| group.passes).sum();
        lines.push(format!(
            "         {} more causes and targets: passes {passes}",
            rest.len()
        ));
    }
    let evictions = reclaim.evictions.as_deref().unwrap_or_default();
    let (shown, rest) = evictions.split_at(evictions.len().min(ROWS));
    if !shown.is_empty() {
        lines.push(row("EVICTED", "MiB", "from this cgroup"));
    }
    for eviction in shown {
        let on_behalf = match &eviction.target {
            Some(cgroup) => format!("for {}", target(cgroup)),
            None => "for the node".to_owned(),
        };
        let what = match &eviction.file {
            Some(of) => file(of),
            None if eviction.to_swap => "to swap".to_owned(),
            None => "?".to_owned(),
        };
        let room = NOTE_WIDTH
            .saturating_sub(on_behalf.chars().count() + 2)
            .max(16);
        lines.push(row(
            "  by reclaim",
            &mib(bytes(eviction.pages)),
            &format!("{}  {on_behalf}", shorten(&what, room)),
        ));
    }
    if !rest.is_empty() {
        let pages: u64 = rest.iter().map(|eviction| eviction.pages).sum();
        let label = format!("  {} more", rest.len());
        lines.push(row(&label, &mib(bytes(pages)), ""));
    }
    lines
}

fn why(group: &ReclaimGroup) -> &'static str {
    match (group.kind, group.cause) {
        (ReclaimKind::Direct, _) => "node short",
        (ReclaimKind::Memcg, Some(ReclaimCause::Max)) => "at the limit",
        (ReclaimKind::Memcg, Some(ReclaimCause::High)) => "over memory.high",
        (ReclaimKind::Memcg, Some(ReclaimCause::LimitWrite)) => "lower limit written",
        (ReclaimKind::Memcg, Some(ReclaimCause::Proactive)) => "asked for by hand",
        (ReclaimKind::Memcg, None) => "at a limit",
    }
}

/// The target itself, a cgroup below it, or one elsewhere, most often above it.
fn whose(cgroup: &CgroupRef, explanation: &Explanation) -> String {
    let scope = &explanation.facts.scope;
    if cgroup.id == scope.cgroup_id {
        return "this cgroup".to_owned();
    }
    match cgroup.path.as_deref() {
        Some(path) => {
            let below = path.strip_prefix(&scope.cgroup_path).unwrap_or(path);
            shorten(&escaped(below.trim_start_matches('/')), 20)
        }
        None if cgroup.gone => "a cgroup that is gone".to_owned(),
        None => "a cgroup above".to_owned(),
    }
}
