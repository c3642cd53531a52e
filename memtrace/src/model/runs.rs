//! What the page hooks counted, summed.

use std::collections::BTreeMap;

use memtrace_ebpf::record::RunKind;

use crate::input::{FileId, RunEvent};

/// What pages are summed by. The cgroup that pays for them and the process that touched them are
/// two facts, and both are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunKey {
    /// What happened to the pages.
    pub kind: RunKind,
    /// Their file.
    pub file: Option<FileId>,
    /// The process that touched them.
    pub pid: Option<u32>,
    /// The cgroup they are charged to.
    pub charged_cgroup_id: Option<u64>,
    /// Of an eviction: the cgroup that was short; `None` if the node was.
    pub target_cgroup_id: Option<u64>,
    /// The process is known, not guessed.
    pub task_certain: bool,
    /// The process was reclaiming.
    pub in_reclaim: bool,
}

impl From<&RunEvent> for RunKey {
    fn from(run: &RunEvent) -> Self {
        Self {
            kind: run.kind,
            file: run.file,
            pid: run.pid,
            charged_cgroup_id: run.charged_cgroup_id,
            target_cgroup_id: run.target_cgroup_id,
            task_certain: run.task_certain,
            in_reclaim: run.in_reclaim,
        }
    }
}

/// A sum of runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunSum {
    /// Base pages.
    pub pages: u64,
    /// Folios: hook calls.
    pub folios: u64,
}

/// Runs summed by [`RunKey`], in a fixed order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunTable(BTreeMap<RunKey, RunSum>);

impl RunTable {
    /// Adds one run.
    pub fn add(&mut self, run: &RunEvent) {
        self.add_sum(
            RunKey::from(run),
            RunSum {
                pages: run.pages,
                folios: run.folios,
            },
        );
    }

    /// Moves everything of `later` into this table.
    pub fn merge(&mut self, later: &mut Self) {
        for (key, sum) in std::mem::take(&mut later.0) {
            self.add_sum(key, sum);
        }
    }

    /// Every sum, in the order of its key.
    pub fn iter(&self) -> impl Iterator<Item = (&RunKey, &RunSum)> {
        self.0.iter()
    }

    fn add_sum(&mut self, key: RunKey, sum: RunSum) {
        let total = self.0.entry(key).or_default();
        total.pages = total.pages.saturating_add(sum.pages);
        total.folios = total.folios.saturating_add(sum.folios);
    }
}
