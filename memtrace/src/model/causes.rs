//! Who and what changed a component: from what the page hooks saw.

use memtrace_ebpf::record::RunKind;

use super::{CgroupRef, ComponentName, Evidence, FileRef, Names, RunKey, Summed, TaskRef};
use crate::input::Sample;

/// How a component changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CauseKind {
    /// File pages that were on the inactive list were read again (`mm_lru_activate`).
    SecondAccess,
    /// File pages came back after reclaim had evicted them, so soon that the kernel made them active
    /// at once (`workingset_refault`).
    Refault,
    /// File pages came in active: migrations, a second access before the page reached its list
    /// (`mm_lru_insertion`), and, where `workingset_refault` has no hook, refaults.
    InsertedActive,
    /// Active file pages left the page cache: deleted, truncated, or dropped on request.
    Removed,
    /// Active file pages left the page cache because of reclaim.
    Evicted,
    /// Pages went back to the inactive list, as far as the remainder of the component and the
    /// counter `pgdeactivate` both allow. No file or process is known.
    Deactivated,
    /// Pages of tmpfs, memfd or SysV memory were added.
    Added,
    /// Such pages were freed.
    Freed,
    /// A process that was there before has more.
    Grew,
    /// A process that was there before has less.
    Shrank,
    /// What a process has less of, and has in swap now.
    SwappedOut,
    /// What a process has more of, and had in swap.
    SwappedIn,
    /// A process that was not there before.
    New,
    /// A process that is no longer there.
    Gone,
}

impl CauseKind {
    /// The stable name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SecondAccess => "second_access",
            Self::Refault => "refault",
            Self::InsertedActive => "inserted_active",
            Self::Removed => "removed",
            Self::Evicted => "evicted",
            Self::Deactivated => "deactivated",
            Self::Added => "added",
            Self::Freed => "freed",
            Self::Grew => "grew",
            Self::Shrank => "shrank",
            Self::SwappedOut => "swapped_out",
            Self::SwappedIn => "swapped_in",
            Self::New => "new",
            Self::Gone => "gone",
        }
    }
}

/// What of the kernel's memory a process is known to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Held {
    /// Stacks of this many more (fewer) threads.
    Threads(i64),
    /// Page tables.
    Pagetables,
    /// What waits in its sockets; this many more (fewer) of them, if that is known at both ends.
    Sockets(Option<i64>),
}

impl Held {
    /// The stable name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Threads(_) => "threads",
            Self::Pagetables => "pagetables",
            Self::Sockets(_) => "sockets",
        }
    }

    /// How many more of them, if they are counted.
    pub fn count(self) -> Option<i64> {
        match self {
            Self::Threads(count) => Some(count),
            Self::Pagetables => None,
            Self::Sockets(count) => count,
        }
    }
}

/// One cause of one component's change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What changed.
    pub component: ComponentName,
    /// How.
    pub kind: CauseKind,
    /// By how much: negative if the component fell.
    pub bytes: i64,
    /// In how many folios, where a hook counted them.
    pub folios: Option<u64>,
    /// Which file.
    pub file: Option<FileRef>,
    /// Which process.
    pub task: Option<TaskRef>,
    /// Who pays for the memory: the target or a cgroup below it.
    pub charged_cgroup: Option<CgroupRef>,
    /// Of kernel memory: what it is.
    pub held: Option<Held>,
    /// The file, the process, or both are many that are not told apart.
    pub summed: Option<Summed>,
}

/// Pages that moved without changing the target's working set: through its inactive list, or at
/// another cgroup's expense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// What happened to them.
    pub kind: RunKind,
    /// A reclaiming task did it.
    pub in_reclaim: bool,
    /// How much, in bytes.
    pub bytes: u64,
    /// Which file.
    pub file: Option<FileRef>,
    /// Which process.
    pub task: Option<TaskRef>,
    /// Who pays; `None` if nobody does or the kernel did not tell.
    pub charged_cgroup: Option<CgroupRef>,
    /// The file, the process, or both are many that are not told apart.
    pub summed: Option<Summed>,
}

/// What a capped list leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// How many causes.
    pub causes: usize,
    /// Their sum, in bytes.
    pub bytes: i64,
}

/// The first `cap` causes of a list sorted by size, and the sum of the others.
pub fn capped<'a>(causes: &[&'a Cause], cap: usize) -> (Vec<&'a Cause>, Option<Rest>) {
    // A rest of one would take as much room as the cause itself.
    if causes.len() <= cap + 1 {
        return (causes.to_vec(), None);
    }
    let (shown, left_out) = causes.split_at(cap);
    let rest = Rest {
        causes: left_out.len(),
        bytes: left_out.iter().map(|cause| cause.bytes).sum(),
    };
    (shown.to_vec(), Some(rest))
}

/// Sorts by size, then by everything else: equal inputs give an equal order.
pub(crate) fn largest_first(causes: &mut [Cause]) {
    fn rest(cause: &Cause) -> impl Ord {
        (cause.kind, &cause.file, &cause.task, &cause.charged_cgroup)
    }
    causes.sort_by(|a, b| {
        let by_size = b.bytes.unsigned_abs().cmp(&a.bytes.unsigned_abs());
        by_size.then_with(|| rest(a).cmp(&rest(b)))
    });
}

/// Causes of active_file on the classic LRU. `delta_bytes` is the component's change.
///
/// Activations and removals are counted page by page. Pages that reclaim or `MADV_COLD` put back
/// on the inactive list are not: of the fall that remains, `pgdeactivate` says how much may be
/// called so (it also counts anon, so it is an upper limit, never the figure itself).
pub(crate) fn active_file(
    delta_bytes: i64,
    before: &Sample,
    after: &Sample,
    evidence: &Evidence<'_>,
) -> Vec<Cause> {
    let mut causes = from_runs(evidence, ComponentName::ActiveFile, |key| match key.kind {
        RunKind::Activation => Some((CauseKind::SecondAccess, 1)),
        RunKind::RefaultInsertion => Some((CauseKind::Refault, 1)),
        RunKind::InsertionActive => Some((CauseKind::InsertedActive, 1)),
        RunKind::CacheDeleteActive if key.in_reclaim => Some((CauseKind::Evicted, -1)),
        RunKind::CacheDeleteActive => Some((CauseKind::Removed, -1)),
        // Refaults and evictions are told of the same pages by the hooks above and below.
        RunKind::ShmemInsertion
        | RunKind::CacheAdd
        | RunKind::CacheDeleteInactive
        | RunKind::ShmemDelete
        | RunKind::Refault
        | RunKind::RefaultActivated
        | RunKind::Eviction
        | RunKind::SwapEviction => None,
    });
    let remainder = delta_bytes - causes.iter().map(|cause| cause.bytes).sum::<i64>();
    let counted_pages = (before.cgroup.stat.pgdeactivate)
        .zip(after.cgroup.stat.pgdeactivate)
        .map_or(0, |(before, after)| after.saturating_sub(before));
    let counted_bytes = counted_pages.saturating_mul(evidence.facts.page_size_bytes);
    let deactivated_bytes = remainder.min(0).unsigned_abs().min(counted_bytes);
    if deactivated_bytes > 0 {
        causes.push(Cause {
            component: ComponentName::ActiveFile,
            kind: CauseKind::Deactivated,
            bytes: -(deactivated_bytes as i64),
            folios: None,
            file: None,
            task: None,
            charged_cgroup: None,
            held: None,
            summed: None,
        });
    }
    causes
}

/// Causes of shmem: pages added to and freed from tmpfs files, memfds and SysV segments.
pub(crate) fn shmem(evidence: &Evidence<'_>) -> Vec<Cause> {
    from_runs(evidence, ComponentName::Shmem, |key| match key.kind {
        RunKind::ShmemInsertion => Some((CauseKind::Added, 1)),
        // Swapped out or dropped: reclaim took it, but the file keeps it.
        RunKind::ShmemDelete if key.in_reclaim => Some((CauseKind::Evicted, -1)),
        RunKind::ShmemDelete => Some((CauseKind::Freed, -1)),
        RunKind::Activation
        | RunKind::InsertionActive
        | RunKind::RefaultInsertion
        | RunKind::CacheAdd
        | RunKind::CacheDeleteActive
        | RunKind::CacheDeleteInactive
        | RunKind::Refault
        | RunKind::RefaultActivated
        | RunKind::Eviction
        | RunKind::SwapEviction => None,
    })
}

/// Page cache of the target that was read in or dropped without being active: it moves
/// inactive_file, which is no part of the working set. The largest first.
pub(crate) fn page_cache_traffic(evidence: &Evidence<'_>) -> Vec<Traffic> {
    traffic(evidence, |key, names| {
        matches!(key.kind, RunKind::CacheAdd | RunKind::CacheDeleteInactive)
            && names.is_member(key.charged_cgroup_id)
    })
}

/// Pages that processes of the target used while another cgroup, or nobody, pays for them. The
/// largest first.
pub(crate) fn foreign_use(evidence: &Evidence<'_>) -> Vec<Traffic> {
    traffic(evidence, |key, names| {
        let is_told_twice = matches!(key.kind, RunKind::Refault | RunKind::RefaultActivated);
        // Whoever drains a batch is guessed to have filled it: across cgroups it most likely did not.
        let is_drained = key.kind == RunKind::ShmemInsertion && !key.task_certain;
        !key.in_reclaim
            && !is_told_twice
            && !is_drained
            && !names.is_member(key.charged_cgroup_id)
            && names.is_member_task(key.pid)
    })
}

/// Pages that the target pays for and processes of other cgroups used. The largest first.
pub(crate) fn used_elsewhere(evidence: &Evidence<'_>) -> Vec<Traffic> {
    traffic(evidence, |key, names| {
        let is_use = matches!(
            key.kind,
            RunKind::Activation | RunKind::InsertionActive | RunKind::RefaultInsertion
        );
        is_use && names.is_member(key.charged_cgroup_id) && names.is_outsider(key.pid)
    })
}

fn traffic(evidence: &Evidence<'_>, wanted: impl Fn(&RunKey, &Names) -> bool) -> Vec<Traffic> {
    let Evidence { facts, names, runs } = evidence;
    let mut found: Vec<Traffic> = runs
        .iter()
        .filter(|(key, _)| wanted(key, names))
        .map(|(key, sum)| Traffic {
            kind: key.kind,
            in_reclaim: key.in_reclaim,
            bytes: sum.pages.saturating_mul(facts.page_size_bytes),
            file: key.file.map(|id| names.file(id)),
            task: key.pid.map(|pid| names.task(pid, key.task_certain)),
            charged_cgroup: key.charged_cgroup_id.map(|id| names.cgroup(id)),
            summed: key.summed,
        })
        .collect();
    // The table's own order decides between equals: the sort is stable.
    found.sort_by_key(|row| std::cmp::Reverse(row.bytes));
    found
}

/// One cause for each run table entry charged to the target that `meaning` gives a kind and a sign.
fn from_runs(
    evidence: &Evidence<'_>,
    component: ComponentName,
    meaning: impl Fn(&RunKey) -> Option<(CauseKind, i64)>,
) -> Vec<Cause> {
    let Evidence { facts, names, runs } = evidence;
    runs.iter()
        .filter(|(key, _)| names.is_member(key.charged_cgroup_id))
        .filter_map(|(key, sum)| {
            let (kind, sign) = meaning(key)?;
            Some(Cause {
                component,
                kind,
                bytes: sign * sum.pages.saturating_mul(facts.page_size_bytes) as i64,
                folios: Some(sum.folios),
                file: key.file.map(|id| names.file(id)),
                task: key.pid.map(|pid| names.task(pid, key.task_certain)),
                charged_cgroup: key.charged_cgroup_id.map(|id| names.cgroup(id)),
                held: None,
                summed: key.summed,
            })
        })
        .collect()
}
