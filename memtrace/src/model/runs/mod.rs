//! What the page hooks counted, summed, in bounded memory.

mod heavy;
mod table;

#[cfg(test)]
mod tests;

use memtrace_ebpf::record::RunKind;

pub use self::table::{RunTable, Summed};
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
    /// What was known and is no longer told apart, in a session with more than a table holds.
    pub summed: Option<Summed>,
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
            summed: None,
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

impl RunSum {
    fn add(&mut self, other: Self) {
        self.pages = self.pages.saturating_add(other.pages);
        self.folios = self.folios.saturating_add(other.folios);
    }

    /// Takes up to so many pages away, and folios in proportion.
    fn split_off(&mut self, pages: u64) -> Self {
        let taken = pages.min(self.pages);
        let folios = match self.pages {
            0 => self.folios,
            all => (u128::from(self.folios) * u128::from(taken) / u128::from(all)) as u64,
        };
        self.pages -= taken;
        self.folios -= folios;
        Self {
            pages: taken,
            folios,
        }
    }
}
