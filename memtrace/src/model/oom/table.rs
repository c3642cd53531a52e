//! The candidates of a kill, from the best source there is.

use super::{
    badness::adj_pages,
    kills::Kills,
    limit::Limit,
    predict::predict_domain,
    report::{Judged, KillReport},
    totalpages,
};
use crate::input::{OomLogTask, OomSnapshot};

/// Where a table of candidates is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableSource {
    /// The hooks in the scan: the kernel's own points.
    Hooks,
    /// The table of the kernel log, which has what the kernel scores from; points are the model's.
    KernelLog,
    /// The last snapshot before the kill; points are the model's.
    Snapshot,
}

impl TableSource {
    /// Stable name, for JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Hooks => "hooks",
            Self::KernelLog => "kernel_log",
            Self::Snapshot => "snapshot",
        }
    }
}

/// A candidate. Sizes in pages.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Process id.
    pub pid: u32,
    /// Name.
    pub comm: String,
    /// Its memory cgroup.
    pub cgroup_id: Option<u64>,
    /// `oom_score_adj`.
    pub oom_score_adj: i32,
    /// Pages mapped, as the kernel scores them.
    pub rss_pages: i64,
    /// Swap entries.
    pub swap_pages: i64,
    /// Page tables.
    pub pagetable_pages: i64,
    /// What the kernel reckoned; `i64::MIN` for one that may not be killed, `None` if unknown.
    pub kernel_points: Option<i64>,
    /// What the model reckons; `None` for one that may not be killed, or without a domain's size.
    pub model_points: Option<i64>,
    /// How far the model may be off.
    pub error_pages: i64,
    /// Whether it could be chosen; `None` if unknown.
    pub eligible: Option<bool>,
    /// Whether model and kernel agree; `None` where the kernel's points are unknown.
    pub agrees: Option<bool>,
}

/// The candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Where it is from.
    pub source: TableSource,
    /// In the order of the scan.
    pub rows: Vec<Row>,
}

impl Table {
    /// Of a kill; `None` if no source has one. `totalpages` is the domain's size.
    pub(super) fn of(
        kill: &KillReport,
        limit: Option<&Limit>,
        totalpages: Option<u64>,
        kills: &Kills,
    ) -> Option<Self> {
        let facts = kills.facts();
        if !kill.candidates.is_empty() {
            let page_size_bytes = facts.page_size_bytes;
            let row = |judged| hooked(judged, kills, page_size_bytes);
            return Some(Self {
                source: TableSource::Hooks,
                rows: kill.candidates.iter().map(row).collect(),
            });
        }
        let log = kill.log.as_ref().filter(|log| !log.tasks.is_empty());
        if let Some(log) = log {
            let row = |task| logged(task, totalpages, facts.page_size_bytes);
            return Some(Self {
                source: TableSource::KernelLog,
                rows: log.tasks.iter().map(row).collect(),
            });
        }
        let limit = limit?;
        let pair = kills.standing().pair_before(kill.time_ns)?;
        let forecast = predict_domain(None, &pair.later, limit.cgroup_id)?;
        let row = |candidate: &super::Candidate<'_>| Row {
            pid: candidate.task.pid,
            comm: candidate.task.comm.clone(),
            cgroup_id: candidate.task.cgroup_id,
            oom_score_adj: candidate.task.oom_score_adj,
            rss_pages: candidate.badness.rss_pages,
            swap_pages: candidate.badness.swap_pages,
            pagetable_pages: candidate.badness.pagetable_pages,
            kernel_points: None,
            model_points: candidate.is_eligible().then_some(candidate.badness.points),
            error_pages: candidate.badness.error_pages,
            eligible: Some(candidate.is_eligible()),
            agrees: None,
        };
        Some(Self {
            source: TableSource::Snapshot,
            rows: forecast
                .candidates
                .iter()
                .filter(|candidate| !candidate.task.kernel_thread)
                .map(row)
                .collect(),
        })
    }

    /// The row of a process.
    pub fn row(&self, pid: u32) -> Option<&Row> {
        self.rows.iter().find(|row| row.pid == pid)
    }
}

/// The domain's size as the kernel reckons it: from the hook, else from its files as last read, with
/// the limit that the kernel log tells, should it have changed since.
pub(super) fn size(kill: &KillReport, limit: Option<&Limit>, kills: &Kills) -> Option<u64> {
    if let Some(choice) = &kill.choice {
        return Some(choice.totalpages);
    }
    let snapshot = kills.standing().before_newest_first(kill.time_ns).next()?;
    let OomSnapshot {
        node,
        cgroup_version,
        page_size_bytes,
        ..
    } = snapshot;
    let limit = limit?;
    let Some(id) = limit.cgroup_id else {
        let whole = limit.path.is_none() && limit.owner == super::Owner::Node;
        return whole.then(|| totalpages::of_node(node, *page_size_bytes));
    };
    let cgroup = snapshot.cgroups.iter().find(|cgroup| cgroup.id == id)?;
    let mut memory = *cgroup.memory.as_deref()?;
    let logged = kill.log.as_ref().and_then(|log| log.limit_bytes);
    memory.sample.limit_bytes = logged.or(memory.sample.limit_bytes);
    totalpages::of_cgroup(&memory, node, *cgroup_version, *page_size_bytes)
}

fn hooked(judged: &Judged, kills: &Kills, page_size_bytes: u64) -> Row {
    let task = &judged.event.task;
    let counters = kills.facts().rss_counters;
    let terms = super::badness(task, judged.event.totalpages, counters, page_size_bytes);
    Row {
        pid: task.pid,
        comm: task.comm.clone(),
        cgroup_id: task.cgroup_id,
        oom_score_adj: task.oom_score_adj,
        rss_pages: terms.rss_pages,
        swap_pages: terms.swap_pages,
        pagetable_pages: terms.pagetable_pages,
        kernel_points: judged.event.points,
        model_points: judged.model_points,
        error_pages: judged.error_pages,
        eligible: match judged.event.points {
            Some(points) => Some(points != i64::MIN),
            None => Some(judged.model_points.is_some()),
        },
        agrees: judged.agrees(),
    }
}

/// The table tells neither who is passed over by a flag (`MMF_OOM_SKIP`, vfork) nor any points.
fn logged(task: &OomLogTask, totalpages: Option<u64>, page_size_bytes: u64) -> Row {
    let pagetable_pages = (task.pagetable_bytes / page_size_bytes) as i64;
    let (rss_pages, swap_pages) = (task.rss_pages as i64, task.swap_pages as i64);
    let never = task.oom_score_adj == super::OOM_SCORE_ADJ_MIN;
    let points = |totalpages| {
        (rss_pages + swap_pages + pagetable_pages)
            .wrapping_add(adj_pages(task.oom_score_adj, totalpages))
    };
    Row {
        pid: task.pid,
        comm: task.comm.clone(),
        cgroup_id: None,
        oom_score_adj: task.oom_score_adj,
        rss_pages,
        swap_pages,
        pagetable_pages,
        kernel_points: None,
        model_points: totalpages.filter(|_| !never).map(points),
        error_pages: 0,
        eligible: never.then_some(false),
        agrees: None,
    }
}
