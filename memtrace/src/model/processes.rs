//! Who changed a component: from two scans of the cgroup's processes.

use std::collections::BTreeMap;

use super::{Cause, CauseKind, ComponentName, Evidence, TaskRef};
use crate::input::{Sample, TaskUsage};

/// Causes of anon: each process's mapped anonymous pages.
///
/// A page that several processes map since `fork` counts once for each, while the cgroup pays for
/// it once; the component's unattributed part takes the difference.
pub(crate) fn anon(before: &Sample, after: &Sample, evidence: &Evidence<'_>) -> Vec<Cause> {
    let page_size_bytes = evidence.facts.page_size_bytes;
    between_scans(before, after, evidence, ComponentName::Anon, |task| {
        task.anon_pages.saturating_mul(page_size_bytes)
    })
}

/// Causes of page tables: each process's.
pub(crate) fn pagetables(before: &Sample, after: &Sample, evidence: &Evidence<'_>) -> Vec<Cause> {
    between_scans(before, after, evidence, ComponentName::Pagetables, |task| {
        task.pagetable_bytes
    })
}

/// What each process changed; nothing if either scan is missing.
fn between_scans(
    before: &Sample,
    after: &Sample,
    evidence: &Evidence<'_>,
    component: ComponentName,
    bytes: impl Fn(&TaskUsage) -> u64,
) -> Vec<Cause> {
    let (Some(before), Some(after)) = (&before.tasks, &after.tasks) else {
        return Vec::new();
    };
    // A pid may be given to another process within the window; with its start it may not.
    let by_identity = |tasks: &'_ [TaskUsage]| -> BTreeMap<(u32, u64), TaskUsage> {
        tasks
            .iter()
            .map(|task| ((task.pid, task.start_boottime_ns), task.clone()))
            .collect()
    };
    let earlier = by_identity(before);
    let mut later = by_identity(after);

    let mut causes = Vec::new();
    let mut push = |kind, task: &TaskUsage, bytes: i64| {
        if bytes == 0 {
            return;
        }
        causes.push(Cause {
            component,
            kind,
            bytes,
            folios: None,
            file: None,
            task: Some(TaskRef {
                pid: task.pid,
                comm: Some(task.comm.clone()),
                cgroup_id: task.cgroup_id,
                certain: true,
            }),
            charged_cgroup: task.cgroup_id.map(|id| evidence.names.cgroup(id)),
        });
    };
    for (identity, old) in &earlier {
        match later.remove(identity) {
            Some(new) => {
                let grown = bytes(&new) as i64 - bytes(old) as i64;
                let kind = if grown < 0 {
                    CauseKind::Shrank
                } else {
                    CauseKind::Grew
                };
                push(kind, &new, grown);
            }
            None => push(CauseKind::Gone, old, -(bytes(old) as i64)),
        }
    }
    for new in later.values() {
        push(CauseKind::New, new, bytes(new) as i64);
    }
    causes
}
