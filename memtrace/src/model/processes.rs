//! Who changed a component: from two scans of the cgroup's processes.

use std::collections::BTreeMap;

use super::{Cause, CauseKind, ComponentName, Evidence, Held, TaskRef};
use crate::input::{Sample, TaskUsage};

/// Causes of anon: each process's mapped anonymous pages. What a process has less of and has in swap
/// instead went there, and the other way round.
///
/// A page that several processes map since `fork` counts once for each, while the cgroup pays for
/// it once; the component's unattributed part takes the difference.
pub(crate) fn anon(before: &Sample, after: &Sample, evidence: &Evidence<'_>) -> Vec<Cause> {
    let page_bytes = evidence.facts.page_size_bytes as i64;
    let mut causes = Vec::new();
    for change in changes(before, after) {
        let bytes = |of: fn(&TaskUsage) -> u64| change.delta(|task| of(task) as i64) * page_bytes;
        let grown = bytes(|task| task.anon_pages);
        let swapped = bytes(|task| task.swap_pages);
        // Swap entries are of anonymous pages alone: those of tmpfs are the file's.
        let (moved, kind) = match change.kind {
            CauseKind::Shrank if swapped > 0 => (grown.max(-swapped), CauseKind::SwappedOut),
            CauseKind::Grew if swapped < 0 && grown > 0 => {
                (grown.min(-swapped), CauseKind::SwappedIn)
            }
            _ => (0, change.kind),
        };
        causes.extend(change.cause(evidence, ComponentName::Anon, kind, moved, None));
        let rest = grown - moved;
        causes.extend(change.cause(evidence, ComponentName::Anon, change.kind, rest, None));
    }
    causes
}

/// Causes of page tables, in the component that they are counted in: each process's.
pub(crate) fn pagetables(
    component: ComponentName,
    before: &Sample,
    after: &Sample,
    evidence: &Evidence<'_>,
) -> Vec<Cause> {
    changes(before, after)
        .into_iter()
        .filter_map(|change| {
            let bytes = change.delta(|task| task.pagetable_bytes as i64);
            let kind = change.kind_of(bytes);
            change.cause(evidence, component, kind, bytes, Some(Held::Pagetables))
        })
        .collect()
}

/// Causes of kernel_stack: each process's threads.
pub(crate) fn kernel_stack(before: &Sample, after: &Sample, evidence: &Evidence<'_>) -> Vec<Cause> {
    held_stacks(ComponentName::KernelStack, before, after, evidence)
}

/// Causes of sock: what waits in each process's sockets. The kernel charges whole buffers, so some
/// part of the component remains unattributed.
pub(crate) fn sock(before: &Sample, after: &Sample, evidence: &Evidence<'_>) -> Vec<Cause> {
    // Where nothing is charged nobody has looked.
    let nothing = |sample: &Sample| sample.cgroup.stat.sock == Some(0);
    let (none_before, none_after) = (nothing(before), nothing(after));
    let queued = |task: &TaskUsage, none: bool| match task.sockets {
        Some(sockets) => Some(sockets.queued_bytes as i64),
        None => none.then_some(0),
    };
    let mut causes = Vec::new();
    for change in changes(before, after) {
        let old = change.old.map_or(Some(0), |task| queued(task, none_before));
        let new = change.new.map_or(Some(0), |task| queued(task, none_after));
        let (Some(old), Some(new)) = (old, new) else {
            continue;
        };
        let count = change.delta_if_known(|task| Some(task.sockets?.count as i64));
        let held = Some(Held::Sockets(count));
        let kind = change.kind_of(new - old);
        causes.extend(change.cause(evidence, ComponentName::Sock, kind, new - old, held));
    }
    causes
}

/// Causes of v1's undivided kernel memory, as far as it is known to be some process's.
pub(crate) fn kernel(before: &Sample, after: &Sample, evidence: &Evidence<'_>) -> Vec<Cause> {
    let mut causes = held_stacks(ComponentName::Kernel, before, after, evidence);
    causes.extend(pagetables(ComponentName::Kernel, before, after, evidence));
    causes
}

/// Who spent most of the time that the cgroup's processes spent in the kernel, if that is one of them:
/// a hint at who asked for kernel memory that has no owner. Marked as the guess that it is.
pub(crate) fn busiest_in_kernel(before: &Sample, after: &Sample) -> Option<TaskRef> {
    let mut all_ns = 0;
    let mut most = (0, None);
    for change in changes(before, after) {
        let Some(task) = change.new else { continue };
        let spent_ns = change
            .delta_if_known(|task| task.kernel_time_ns.map(|ns| ns as i64))
            .unwrap_or(0);
        all_ns += spent_ns;
        if spent_ns > most.0 {
            most = (spent_ns, Some(task));
        }
    }
    // A tick is 10 ms: less than ten of them say little.
    let (spent_ns, task) = most;
    (spent_ns >= 100_000_000 && spent_ns * 10 >= all_ns * 6)
        .then(|| {
            task.map(|task| TaskRef {
                certain: false,
                ..reference(task)
            })
        })
        .flatten()
}

fn held_stacks(
    component: ComponentName,
    before: &Sample,
    after: &Sample,
    evidence: &Evidence<'_>,
) -> Vec<Cause> {
    let Some(stack_bytes) = evidence.facts.thread_stack_bytes else {
        return Vec::new();
    };
    changes(before, after)
        .into_iter()
        .filter_map(|change| {
            let threads = change.delta_if_known(|task| task.threads.map(|count| count as i64))?;
            let bytes = threads * stack_bytes as i64;
            let kind = change.kind_of(bytes);
            change.cause(
                evidence,
                component,
                kind,
                bytes,
                Some(Held::Threads(threads)),
            )
        })
        .collect()
}

/// A process at both ends of a window, or at the one where it existed.
struct Change<'a> {
    old: Option<&'a TaskUsage>,
    new: Option<&'a TaskUsage>,
    /// By what the process has of anonymous memory.
    kind: CauseKind,
}

impl Change<'_> {
    fn delta(&self, of: impl Fn(&TaskUsage) -> i64) -> i64 {
        self.new.map_or(0, &of) - self.old.map_or(0, &of)
    }

    fn delta_if_known(&self, of: impl Fn(&TaskUsage) -> Option<i64>) -> Option<i64> {
        Some(self.new.map_or(Some(0), &of)? - self.old.map_or(Some(0), &of)?)
    }

    /// What to call a change by so much.
    fn kind_of(&self, bytes: i64) -> CauseKind {
        match (self.old, self.new) {
            (None, _) => CauseKind::New,
            (_, None) => CauseKind::Gone,
            _ if bytes < 0 => CauseKind::Shrank,
            _ => CauseKind::Grew,
        }
    }

    fn cause(
        &self,
        evidence: &Evidence<'_>,
        component: ComponentName,
        kind: CauseKind,
        bytes: i64,
        held: Option<Held>,
    ) -> Option<Cause> {
        let task = self.new.or(self.old).filter(|_| bytes != 0)?;
        Some(Cause {
            component,
            kind,
            bytes,
            folios: None,
            file: None,
            task: Some(reference(task)),
            charged_cgroup: task.cgroup_id.map(|id| evidence.names.cgroup(id)),
            held,
            summed: None,
        })
    }
}

/// Every process of either scan; none if one scan is missing.
fn changes<'a>(before: &'a Sample, after: &'a Sample) -> Vec<Change<'a>> {
    let (Some(before), Some(after)) = (&before.tasks, &after.tasks) else {
        return Vec::new();
    };
    // A pid may be given to another process within the window; with its start it may not.
    let by_identity = |tasks: &'a [TaskUsage]| -> BTreeMap<(u32, u64), &'a TaskUsage> {
        tasks
            .iter()
            .map(|task| ((task.pid, task.start_boottime_ns), task))
            .collect()
    };
    let mut later = by_identity(after);
    let mut found = Vec::new();
    let mut push = |old: Option<&'a TaskUsage>, new: Option<&'a TaskUsage>| {
        let mut change = Change {
            old,
            new,
            kind: CauseKind::New,
        };
        change.kind = change.kind_of(change.delta(|task| task.anon_pages as i64));
        found.push(change);
    };
    for (identity, old) in by_identity(before) {
        push(Some(old), later.remove(&identity));
    }
    for new in later.into_values() {
        push(None, Some(new));
    }
    found
}

fn reference(task: &TaskUsage) -> TaskRef {
    TaskRef {
        pid: task.pid,
        comm: Some(task.comm.clone()),
        cgroup_id: task.cgroup_id,
        certain: true,
    }
}
