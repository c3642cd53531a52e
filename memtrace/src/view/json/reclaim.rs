//! Reclaim.

use serde::Serialize;

use super::{
    cause::{FileJson, TaskJson, path},
    trust::QuantilesJson,
};
use crate::{
    input::{ReclaimCause, ReclaimKind, ShrinkKind},
    model::{CgroupRef, Eviction, Reclaim, ReclaimGroup, Shrinking, Stalled},
    view::time::seconds,
};

/// Rows of each list.
const ROWS: usize = 100;

#[derive(Serialize)]
pub(super) struct ReclaimJson<'a> {
    passes: u64,
    reclaimed_bytes: u64,
    stall_total_seconds: f64,
    by_kind: Vec<KindJson>,
    by_cause: Vec<GroupJson<'a>>,
    by_task: Vec<StalledJson<'a>>,
    refaulted_bytes: Option<u64>,
    refaulted_active_bytes: Option<u64>,
    evicted: Option<EvictedJson<'a>>,
    shrunk: Option<Vec<ShrunkJson<'a>>>,
}

#[derive(Serialize)]
struct KindJson {
    kind: &'static str,
    passes: u64,
    reclaimed_bytes: u64,
    stall_total_seconds: f64,
    stall: QuantilesJson,
}

#[derive(Serialize)]
struct GroupJson<'a> {
    kind: &'static str,
    cause: Option<&'static str>,
    target_cgroup: Option<&'a str>,
    target_cgroup_id: Option<u64>,
    passes: u64,
    reclaimed_bytes: u64,
    stall_total_seconds: f64,
    stall: QuantilesJson,
}

#[derive(Serialize)]
struct StalledJson<'a> {
    task: TaskJson<'a>,
    passes: u64,
    stall_total_seconds: f64,
}

#[derive(Serialize)]
struct EvictedJson<'a> {
    bytes: u64,
    rows: Vec<EvictionJson<'a>>,
    rest_rows: usize,
    rest_bytes: u64,
}

#[derive(Serialize)]
struct EvictionJson<'a> {
    bytes: u64,
    to_swap: bool,
    file: Option<FileJson<'a>>,
    victim_cgroup: Option<&'a str>,
    victim_cgroup_id: Option<u64>,
    target_cgroup: Option<&'a str>,
    target_cgroup_id: Option<u64>,
}

#[derive(Serialize)]
struct ShrunkJson<'a> {
    kind: &'static str,
    victim_cgroup: Option<&'a str>,
    victim_cgroup_id: Option<u64>,
    target_cgroup: Option<&'a str>,
    target_cgroup_id: Option<u64>,
    calls: u64,
    scanned_bytes: u64,
    reclaimed_bytes: u64,
    duration_seconds: f64,
}

impl<'a> ReclaimJson<'a> {
    pub(super) fn new(reclaim: &'a Reclaim, page_size_bytes: u64) -> Self {
        let Reclaim {
            groups,
            causes,
            tasks,
            refaulted,
            evictions,
            shrinkings,
        } = reclaim;
        let bytes = |pages: u64| pages.saturating_mul(page_size_bytes);
        Self {
            passes: groups.iter().map(|group| group.passes).sum(),
            reclaimed_bytes: bytes(groups.iter().map(|group| group.reclaimed_pages).sum()),
            stall_total_seconds: seconds(groups.iter().map(|group| group.stall_total_ns).sum()),
            by_kind: groups
                .iter()
                .map(|group| KindJson {
                    kind: kind(group.kind),
                    passes: group.passes,
                    reclaimed_bytes: bytes(group.reclaimed_pages),
                    stall_total_seconds: seconds(group.stall_total_ns),
                    stall: QuantilesJson::from(group.stall),
                })
                .collect(),
            by_cause: causes
                .iter()
                .take(ROWS)
                .map(|group| GroupJson::new(group, page_size_bytes))
                .collect(),
            by_task: tasks.iter().take(ROWS).map(StalledJson::from).collect(),
            refaulted_bytes: refaulted.map(|refaulted| bytes(refaulted.pages)),
            refaulted_active_bytes: refaulted.map(|refaulted| bytes(refaulted.activated_pages)),
            evicted: evictions
                .as_ref()
                .map(|rows| EvictedJson::new(rows, page_size_bytes)),
            shrunk: shrinkings.as_ref().map(|rows| {
                let rows = rows.iter().take(ROWS);
                rows.map(|row| ShrunkJson::new(row, page_size_bytes))
                    .collect()
            }),
        }
    }
}

impl<'a> GroupJson<'a> {
    fn new(group: &'a ReclaimGroup, page_size_bytes: u64) -> Self {
        Self {
            kind: kind(group.kind),
            cause: group.cause.map(|cause| match cause {
                ReclaimCause::Max => "max",
                ReclaimCause::High => "high",
                ReclaimCause::LimitWrite => "limit_write",
                ReclaimCause::Proactive => "proactive",
            }),
            target_cgroup: path(&group.target),
            target_cgroup_id: id(&group.target),
            passes: group.passes,
            reclaimed_bytes: group.reclaimed_pages.saturating_mul(page_size_bytes),
            stall_total_seconds: seconds(group.stall_total_ns),
            stall: QuantilesJson::from(group.stall),
        }
    }
}

impl<'a> From<&'a Stalled> for StalledJson<'a> {
    fn from(stalled: &'a Stalled) -> Self {
        Self {
            task: TaskJson::from(&stalled.task),
            passes: stalled.passes,
            stall_total_seconds: seconds(stalled.stall_total_ns),
        }
    }
}

impl<'a> EvictedJson<'a> {
    fn new(evictions: &'a [Eviction], page_size_bytes: u64) -> Self {
        let (listed, rest) = evictions.split_at(evictions.len().min(ROWS));
        let bytes = |rows: &[Eviction]| {
            let pages: u64 = rows.iter().map(|row| row.pages).sum();
            pages.saturating_mul(page_size_bytes)
        };
        Self {
            bytes: bytes(evictions),
            rows: listed
                .iter()
                .map(|row| EvictionJson {
                    bytes: row.pages.saturating_mul(page_size_bytes),
                    to_swap: row.to_swap,
                    file: row.file.as_ref().map(FileJson::from),
                    victim_cgroup: path(&row.victim),
                    victim_cgroup_id: id(&row.victim),
                    target_cgroup: path(&row.target),
                    target_cgroup_id: id(&row.target),
                })
                .collect(),
            rest_rows: rest.len(),
            rest_bytes: bytes(rest),
        }
    }
}

impl<'a> ShrunkJson<'a> {
    fn new(row: &'a Shrinking, page_size_bytes: u64) -> Self {
        Self {
            kind: match row.kind {
                ShrinkKind::Kswapd => "kswapd",
                ShrinkKind::Direct => "direct",
                ShrinkKind::Memcg => "memcg",
                ShrinkKind::Proactive => "proactive",
            },
            victim_cgroup: path(&row.victim),
            victim_cgroup_id: id(&row.victim),
            target_cgroup: path(&row.target),
            target_cgroup_id: id(&row.target),
            calls: row.calls,
            scanned_bytes: row.scanned_pages.saturating_mul(page_size_bytes),
            reclaimed_bytes: row.reclaimed_pages.saturating_mul(page_size_bytes),
            duration_seconds: seconds(row.duration_ns),
        }
    }
}

fn kind(kind: ReclaimKind) -> &'static str {
    match kind {
        ReclaimKind::Direct => "direct",
        ReclaimKind::Memcg => "memcg",
    }
}

fn id(cgroup: &Option<CgroupRef>) -> Option<u64> {
    Some(cgroup.as_ref()?.id)
}
