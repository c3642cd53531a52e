//! The numbers people confuse, for one instant, each step to the next in bytes.

use super::{ComponentName, ledger};
use crate::input::Sample;

/// A row of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewName {
    /// What the cgroup is charged for.
    Usage,
    /// Page cache on the inactive list.
    InactiveFile,
    /// What `kubectl top` shows and the kubelet evicts by.
    WorkingSet,
    /// A component of the working set.
    Component(ComponentName),
    /// What usage and the statistics disagree about at this instant.
    Disagreement,
    /// Anonymous memory: what people expect from `ps`.
    Rss,
    /// Processes counted apart: memory shared since `fork` counts once for each, and the process
    /// counters lag behind the cgroup's.
    ProcessesApart,
    /// Files that processes map.
    MappedFiles,
    /// tmpfs, memfd and SysV memory that processes map.
    MappedShmem,
    /// What was swapped out.
    Swapped,
    /// Page tables.
    Pagetables,
    /// The sum of what the OOM killer weighs each process by, without `oom_score_adj`
    /// (mm/oom_kill.c, `oom_badness`).
    OomCount,
}

/// What a row does to the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewRole {
    /// The sum so far, a number that some tool shows.
    Total,
    /// It is taken away.
    Minus,
    /// It is added.
    Plus,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewStep {
    /// Which.
    pub name: ViewName,
    /// Total, or a step to the next one.
    pub role: ViewRole,
    /// Bytes; a step may be negative where counters disagree.
    pub bytes: i64,
}

/// What the OOM killer would count, summed over the cgroup's processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OomCount {
    /// Processes.
    pub tasks: usize,
    /// Their anonymous pages.
    pub anon_pages: u64,
    /// Their mapped file pages.
    pub file_pages: u64,
    /// Their mapped shmem pages.
    pub shmem_pages: u64,
    /// Their swap entries.
    pub swap_pages: u64,
    /// Their page tables.
    pub pagetable_bytes: u64,
}

/// usage -> working set -> rss -> what the OOM killer counts. The chain stops where the next
/// number is unknown; between two totals the steps account for every byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Views {
    /// The rows, from the top.
    pub steps: Vec<ViewStep>,
    /// The last total, taken apart; `None` without a scan of the processes.
    pub oom: Option<OomCount>,
}

impl Views {
    /// The chain at the instant of `sample`.
    pub fn at(sample: &Sample, page_size_bytes: u64) -> Self {
        let mut views = Self {
            steps: Vec::new(),
            oom: sample.tasks.as_deref().map(|tasks| {
                tasks
                    .iter()
                    .fold(OomCount::default(), |sum, task| OomCount {
                        tasks: sum.tasks + 1,
                        anon_pages: sum.anon_pages + task.anon_pages,
                        file_pages: sum.file_pages + task.file_pages,
                        shmem_pages: sum.shmem_pages + task.shmem_pages,
                        swap_pages: sum.swap_pages + task.swap_pages,
                        pagetable_bytes: sum.pagetable_bytes + task.pagetable_bytes,
                    })
            }),
        };
        let cgroup = &sample.cgroup;
        let Some(usage) = cgroup.usage_bytes else {
            return views;
        };
        views.push(ViewName::Usage, ViewRole::Total, usage as i64);
        let Some(working_set) = cgroup.working_set_bytes() else {
            return views;
        };
        let inactive = usage as i64 - working_set as i64;
        views.push(ViewName::InactiveFile, ViewRole::Minus, inactive);
        views.push(ViewName::WorkingSet, ViewRole::Total, working_set as i64);

        let mut levels = ledger::levels(cgroup);
        let Some(anon) = levels.remove(&ComponentName::Anon) else {
            return views;
        };
        for (name, bytes) in &levels {
            views.push(ViewName::Component(*name), ViewRole::Minus, *bytes);
        }
        let disagreement = working_set as i64 - anon - levels.values().sum::<i64>();
        views.push(ViewName::Disagreement, ViewRole::Minus, disagreement);
        views.push(ViewName::Rss, ViewRole::Total, anon);

        let Some(oom) = views.oom else {
            return views;
        };
        let bytes = |pages: u64| pages.saturating_mul(page_size_bytes) as i64;
        let steps = [
            (ViewName::ProcessesApart, bytes(oom.anon_pages) - anon),
            (ViewName::MappedFiles, bytes(oom.file_pages)),
            (ViewName::MappedShmem, bytes(oom.shmem_pages)),
            (ViewName::Swapped, bytes(oom.swap_pages)),
            (ViewName::Pagetables, oom.pagetable_bytes as i64),
        ];
        for (name, bytes) in steps {
            views.push(name, ViewRole::Plus, bytes);
        }
        let total = anon + steps.iter().map(|(_, bytes)| bytes).sum::<i64>();
        views.push(ViewName::OomCount, ViewRole::Total, total);
        views
    }

    fn push(&mut self, name: ViewName, role: ViewRole, bytes: i64) {
        self.steps.push(ViewStep { name, role, bytes });
    }
}
