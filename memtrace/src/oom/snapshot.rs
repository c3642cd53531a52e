//! Snapshots of one question: cgroups, machine and processes, read at nearly one instant.

use std::{collections::BTreeMap, io, path::Path};

use super::{TaskScanner, node::read_node};
use crate::{
    cgroup::{Cgroup, CgroupError, Hierarchy, oom_cgroups},
    input::{OomSnapshot, TaskSource, Timestamp},
    kernel::facts::KernelFacts,
    source::live::{monotonic_ns, unix_ns},
    tasks::{oom_tasks, oom_tasks_from_proc, sum_counters},
};

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The cgroups.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The machine.
    #[error("reading /proc/meminfo: {0}")]
    Node(#[source] io::Error),
    /// The processes, both ways.
    #[error("reading the processes: {0}")]
    Tasks(#[source] io::Error),
}

/// Takes snapshots.
pub struct Snapshots {
    kernel: KernelFacts,
    hierarchy: Hierarchy,
    target: Option<String>,
    cgroup: Cgroup,
    scanner: Result<TaskScanner, String>,
}

impl Snapshots {
    /// Of a target's cgroup and what `typed` called it; without a name, of the whole machine.
    pub fn new(
        mut kernel: KernelFacts,
        hierarchy: Hierarchy,
        cgroup: Cgroup,
        typed: Option<String>,
    ) -> Self {
        let scanner = TaskScanner::start(&kernel);
        // Nothing more is loaded, and this is a megabyte and a half.
        kernel.target_types = Vec::new();
        Self {
            kernel,
            hierarchy,
            target: typed,
            cgroup,
            scanner,
        }
    }

    /// Whether the kernel's task iterator can be read at present.
    pub fn has_iterator(&mut self) -> bool {
        self.scanner
            .as_mut()
            .is_ok_and(|scanner| scanner.read().is_ok())
    }

    /// Where its cgroups are.
    pub fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// The directory of the cgroup they are of.
    pub fn top(&self) -> &Path {
        &self.cgroup.directory
    }

    /// Takes one: the processes last, since they move most.
    ///
    /// # Errors
    /// If the target is gone, or nothing can be read.
    pub fn take(&mut self) -> Result<OomSnapshot, SnapshotError> {
        let cgroups = oom_cgroups(&self.hierarchy, &self.cgroup.directory)?;
        let node = read_node().map_err(SnapshotError::Node)?;
        let time = Timestamp {
            unix_ns: unix_ns(),
            monotonic_ns: monotonic_ns(),
        };
        let scanned = match &mut self.scanner {
            Ok(scanner) => scanner.read().map_err(|error| error.to_string()),
            Err(reason) => Err(reason.clone()),
        };
        let (tasks, source, source_reason) = match scanned {
            Ok(stream) => {
                let mut tasks = oom_tasks(&stream);
                sum_counters(&mut tasks, self.kernel.page_size_bytes);
                (tasks, TaskSource::Iterator, None)
            }
            Err(reason) => {
                let ids: BTreeMap<_, _> = cgroups
                    .iter()
                    .filter_map(|cgroup| {
                        Some((self.hierarchy.directory_at(&cgroup.path)?, cgroup.id))
                    })
                    .collect();
                let page_size_bytes = self.kernel.page_size_bytes;
                let tasks = oom_tasks_from_proc(&self.hierarchy, &ids, page_size_bytes)
                    .map_err(SnapshotError::Tasks)?;
                (tasks, TaskSource::Proc, Some(reason))
            }
        };
        Ok(OomSnapshot {
            time,
            done_ns: Some(monotonic_ns()),
            memtrace_version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel_release: self.kernel.release.clone(),
            page_size_bytes: self.kernel.page_size_bytes,
            cgroup_version: self.hierarchy.version(),
            rss_counters: self.kernel.rss_counters,
            target: self.target.clone(),
            target_cgroup_id: self.cgroup.id,
            stock_pages: Some(self.kernel.stat_error.stock_pages),
            source,
            source_reason,
            node,
            cgroups,
            tasks,
        })
    }
}
