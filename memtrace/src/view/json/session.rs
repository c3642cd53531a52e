//! What the session was: target, kernel, window, command, and what befell it.

use serde::Serialize;

use super::cause::TaskJson;
use crate::{
    input::{CgroupSample, CgroupVersion, Facts, LruKind, Scope},
    model::{OomKill, Peak, Phase, Refaults, RunOutcome, ViewName, ViewRole, ViewStep},
    view::time::{rfc3339, seconds},
};

#[derive(Serialize)]
pub(super) struct TargetJson<'a> {
    name: &'a str,
    cgroup: &'a str,
    cgroup_id: u64,
}

#[derive(Serialize)]
pub(super) struct KernelJson<'a> {
    release: &'a str,
    lru: &'static str,
    cgroup_version: u32,
    cpus: u64,
    page_size_bytes: u64,
}

#[derive(Serialize)]
pub(super) struct WindowJson {
    start: String,
    end: String,
    duration_seconds: f64,
}

/// What the cgroup's files said beside the working set.
#[derive(Serialize)]
pub(super) struct SizesJson {
    limit_bytes: Option<u64>,
    high_bytes: Option<u64>,
    usage_before_bytes: Option<u64>,
    usage_after_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_at_peak_bytes: Option<u64>,
    usage_highest_bytes: Option<u64>,
    inactive_file_before_bytes: Option<u64>,
    inactive_file_after_bytes: Option<u64>,
    file_dirty_after_bytes: Option<u64>,
    file_writeback_after_bytes: Option<u64>,
    anon_thp_before_bytes: Option<u64>,
    anon_thp_after_bytes: Option<u64>,
    swap_before_bytes: Option<u64>,
    swap_after_bytes: Option<u64>,
    swap_available_bytes: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct ViewJson {
    name: &'static str,
    role: &'static str,
    bytes: i64,
}

#[derive(Serialize)]
pub(super) struct RefaultsJson {
    file_bytes: u64,
    activated_bytes: Option<u64>,
}

impl From<Refaults> for RefaultsJson {
    fn from(refaults: Refaults) -> Self {
        Self {
            file_bytes: refaults.file_bytes,
            activated_bytes: refaults.activated_bytes,
        }
    }
}

#[derive(Serialize)]
pub(super) struct OomKillJson<'a> {
    time: String,
    victim: TaskJson<'a>,
    trigger: TaskJson<'a>,
}

#[derive(Serialize)]
pub(super) struct RunJson<'a> {
    argv: &'a [String],
    pid: u32,
    exit_code: Option<i32>,
    signal: Option<i32>,
    left_behind: Vec<LeftBehindJson<'a>>,
}

#[derive(Serialize)]
struct LeftBehindJson<'a> {
    pid: u32,
    comm: &'a str,
}

impl<'a> From<&'a Scope> for TargetJson<'a> {
    fn from(scope: &'a Scope) -> Self {
        Self {
            name: &scope.target,
            cgroup: &scope.cgroup_path,
            cgroup_id: scope.cgroup_id,
        }
    }
}

impl<'a> From<&'a Facts> for KernelJson<'a> {
    fn from(facts: &'a Facts) -> Self {
        Self {
            release: &facts.kernel_release,
            lru: match facts.lru {
                LruKind::Classic => "classic",
                LruKind::MultiGen => "mglru",
            },
            cgroup_version: match facts.cgroup_version {
                CgroupVersion::V1 => 1,
                CgroupVersion::V2 => 2,
            },
            cpus: facts.cpus,
            page_size_bytes: facts.page_size_bytes,
        }
    }
}

impl From<&Phase> for WindowJson {
    fn from(phase: &Phase) -> Self {
        let (start, end) = (phase.start, phase.end);
        Self {
            start: rfc3339(start.unix_ns),
            end: rfc3339(end.unix_ns),
            duration_seconds: seconds(end.monotonic_ns.saturating_sub(start.monotonic_ns)),
        }
    }
}

impl SizesJson {
    pub(super) fn new(before: &CgroupSample, after: &CgroupSample, peak: Option<&Peak>) -> Self {
        Self {
            limit_bytes: after.limit_bytes,
            high_bytes: after.high_bytes,
            usage_before_bytes: before.usage_bytes,
            usage_after_bytes: after.usage_bytes,
            usage_at_peak_bytes: peak.and_then(|peak| peak.usage_bytes),
            usage_highest_bytes: after.usage_peak_bytes,
            inactive_file_before_bytes: before.stat.inactive_file,
            inactive_file_after_bytes: after.stat.inactive_file,
            file_dirty_after_bytes: after.stat.file_dirty,
            file_writeback_after_bytes: after.stat.file_writeback,
            anon_thp_before_bytes: before.stat.anon_thp,
            anon_thp_after_bytes: after.stat.anon_thp,
            swap_before_bytes: before.swap_bytes,
            swap_after_bytes: after.swap_bytes,
            swap_available_bytes: after.swap_available_bytes,
        }
    }
}

impl From<&ViewStep> for ViewJson {
    fn from(step: &ViewStep) -> Self {
        Self {
            name: match step.name {
                ViewName::Usage => "usage",
                ViewName::InactiveFile => "inactive_file",
                ViewName::WorkingSet => "working_set",
                ViewName::Component(component) => component.as_str(),
                ViewName::Disagreement => "counters_disagree",
                ViewName::Rss => "rss",
                ViewName::ProcessesApart => "processes_counted_apart",
                ViewName::MappedFiles => "mapped_files",
                ViewName::MappedShmem => "mapped_shmem",
                ViewName::Swapped => "swapped",
                ViewName::Pagetables => "process_pagetables",
                ViewName::OomCount => "oom_killer_counts",
            },
            role: match step.role {
                ViewRole::Total => "total",
                ViewRole::Minus => "minus",
                ViewRole::Plus => "plus",
            },
            bytes: step.bytes,
        }
    }
}

impl<'a> From<&'a OomKill> for OomKillJson<'a> {
    fn from(kill: &'a OomKill) -> Self {
        Self {
            time: rfc3339(kill.unix_ns),
            victim: TaskJson::from(&kill.victim),
            trigger: TaskJson::from(&kill.trigger),
        }
    }
}

impl<'a> From<&'a RunOutcome> for RunJson<'a> {
    fn from(run: &'a RunOutcome) -> Self {
        let left_behind = run.left_behind.iter();
        Self {
            argv: &run.argv,
            pid: run.pid,
            exit_code: run.exit_code,
            signal: run.signal,
            left_behind: left_behind
                .map(|(pid, comm)| LeftBehindJson { pid: *pid, comm })
                .collect(),
        }
    }
}
