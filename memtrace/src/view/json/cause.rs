//! Causes and traffic, with the file, the process and the cgroup that pays.

use memtrace_ebpf::record::RunKind;
use serde::Serialize;

use crate::model::{
    Cause, CgroupRef, FileRef, Held, Ledger, Rest, Summed, TaskRef, Traffic, capped,
};

/// Causes of one component that are listed one by one; the others are summed in one entry.
const CAUSES_PER_COMPONENT: usize = 200;
/// Rows of traffic that are listed one by one.
const TRAFFIC_ROWS: usize = 100;

#[derive(Serialize)]
pub(super) struct CauseJson<'a> {
    component: &'static str,
    kind: &'static str,
    bytes: i64,
    folios: Option<u64>,
    file: Option<FileJson<'a>>,
    task: Option<TaskJson<'a>>,
    charged_cgroup: Option<&'a str>,
    charged_cgroup_id: Option<u64>,
    /// Of kernel memory: what it is, and how many more of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_count: Option<i64>,
    /// What is not told apart: `files`, `processes`, `both`.
    #[serde(skip_serializing_if = "Option::is_none")]
    summed: Option<&'static str>,
    /// How many causes a `rest` entry sums up.
    #[serde(skip_serializing_if = "Option::is_none")]
    causes: Option<usize>,
}

#[derive(Serialize)]
pub(super) struct FileJson<'a> {
    path: Option<&'a str>,
    container_path: Option<&'a str>,
    fs_path: Option<&'a str>,
    fstype: Option<&'a str>,
    device: u32,
    inode: u64,
    generation: u32,
    deleted: Option<bool>,
    truncated: Option<bool>,
}

#[derive(Serialize)]
pub(super) struct TaskJson<'a> {
    pid: u32,
    comm: Option<&'a str>,
    certain: bool,
    cgroup_id: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct TrafficList<'a> {
    rows: Vec<TrafficJson<'a>>,
    rest_rows: usize,
    rest_bytes: u64,
}

#[derive(Serialize)]
struct TrafficJson<'a> {
    kind: &'static str,
    bytes: u64,
    in_reclaim: bool,
    file: Option<FileJson<'a>>,
    task: Option<TaskJson<'a>>,
    charged_cgroup: Option<&'a str>,
    charged_cgroup_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summed: Option<&'static str>,
}

/// The causes of every component, capped, the sum kept.
pub(super) fn all(ledger: &Ledger) -> Vec<CauseJson<'_>> {
    let mut rows = Vec::new();
    for component in &ledger.components {
        let causes: Vec<&Cause> = ledger.causes_of(component.name).collect();
        let (listed, rest) = capped(&causes, CAUSES_PER_COMPONENT);
        rows.extend(listed.into_iter().map(CauseJson::from));
        rows.extend(rest.map(|rest| CauseJson::rest(component.name.as_str(), rest)));
    }
    rows
}

impl<'a> From<&'a Cause> for CauseJson<'a> {
    fn from(cause: &'a Cause) -> Self {
        Self {
            component: cause.component.as_str(),
            kind: cause.kind.as_str(),
            bytes: cause.bytes,
            folios: cause.folios,
            file: cause.file.as_ref().map(FileJson::from),
            task: cause.task.as_ref().map(TaskJson::from),
            charged_cgroup: path(&cause.charged_cgroup),
            charged_cgroup_id: cause.charged_cgroup.as_ref().map(|cgroup| cgroup.id),
            held: cause.held.map(Held::as_str),
            held_count: cause.held.and_then(Held::count),
            summed: cause.summed.map(Summed::as_str),
            causes: None,
        }
    }
}

impl CauseJson<'_> {
    fn rest(component: &'static str, rest: Rest) -> Self {
        Self {
            component,
            kind: "rest",
            bytes: rest.bytes,
            folios: None,
            file: None,
            task: None,
            charged_cgroup: None,
            charged_cgroup_id: None,
            held: None,
            held_count: None,
            summed: None,
            causes: Some(rest.causes),
        }
    }
}

impl<'a> From<&'a FileRef> for FileJson<'a> {
    fn from(file: &'a FileRef) -> Self {
        Self {
            path: file.path.as_deref(),
            container_path: file.container_path.as_deref(),
            fs_path: file.fs_path.as_deref(),
            fstype: file.fstype.as_deref(),
            device: file.id.device,
            inode: file.id.inode,
            generation: file.id.generation,
            deleted: file.deleted,
            truncated: file.truncated,
        }
    }
}

impl<'a> From<&'a TaskRef> for TaskJson<'a> {
    fn from(task: &'a TaskRef) -> Self {
        Self {
            pid: task.pid,
            comm: task.comm.as_deref(),
            certain: task.certain,
            cgroup_id: task.cgroup_id,
        }
    }
}

impl<'a> From<&'a [Traffic]> for TrafficList<'a> {
    fn from(traffic: &'a [Traffic]) -> Self {
        let (listed, rest) = traffic.split_at(traffic.len().min(TRAFFIC_ROWS));
        Self {
            rows: listed.iter().map(TrafficJson::from).collect(),
            rest_rows: rest.len(),
            rest_bytes: rest.iter().map(|row| row.bytes).sum(),
        }
    }
}

impl<'a> From<&'a Traffic> for TrafficJson<'a> {
    fn from(row: &'a Traffic) -> Self {
        Self {
            kind: match row.kind {
                RunKind::Activation => "second_access",
                RunKind::InsertionActive => "inserted_active",
                RunKind::ShmemInsertion => "shmem_added",
                RunKind::CacheAdd => "cache_added",
                RunKind::CacheDeleteActive => "cache_removed_active",
                RunKind::CacheDeleteInactive => "cache_removed_inactive",
                RunKind::ShmemDelete => "shmem_freed",
                RunKind::RefaultInsertion => "refault",
                RunKind::Refault => "refaulted",
                RunKind::RefaultActivated => "refaulted_active",
                RunKind::Eviction => "evicted",
                RunKind::SwapEviction => "evicted_to_swap",
            },
            bytes: row.bytes,
            in_reclaim: row.in_reclaim,
            file: row.file.as_ref().map(FileJson::from),
            task: row.task.as_ref().map(TaskJson::from),
            charged_cgroup: path(&row.charged_cgroup),
            charged_cgroup_id: row.charged_cgroup.as_ref().map(|cgroup| cgroup.id),
            summed: row.summed.map(Summed::as_str),
        }
    }
}

pub(super) fn path(cgroup: &Option<CgroupRef>) -> Option<&str> {
    cgroup.as_ref()?.path.as_deref()
}
