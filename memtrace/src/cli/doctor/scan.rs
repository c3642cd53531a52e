//! `memtrace doctor --cost`: what a look at all processes costs, by the kernel's iterator and by /proc.

use std::{collections::BTreeMap, time::Instant};

use memtrace::{
    cgroup::{Hierarchy, Visit, walk},
    kernel::facts::KernelFacts,
    oom::TaskScanner,
    tasks::{oom_tasks, oom_tasks_from_proc, sum_counters},
};
use serde_json::{Value, json};

use super::cost::median;

/// Looks of each kind, by turns.
const LOOKS: usize = 5;

/// What was measured.
pub(super) struct Scan {
    processes: usize,
    /// Why the iterator is not to be had, if it is not.
    refused: Option<String>,
    iterator_seconds: Vec<f64>,
    proc_seconds: Vec<f64>,
}

impl Scan {
    /// Looks at all processes, `kernel` knowing where per-CPU counters are: from opening what is read to the finished table.
    pub(super) fn measure(kernel: &KernelFacts, hierarchy: &Hierarchy) -> Self {
        let mut found = Self {
            processes: 0,
            refused: None,
            iterator_seconds: Vec::new(),
            proc_seconds: Vec::new(),
        };
        let mut ids = BTreeMap::new();
        // Without an id a process is read all the same.
        let _ = walk(hierarchy.mount_point(), |directory, id| {
            ids.insert(directory.to_owned(), id);
            Visit::Descend
        });
        let mut scanner = TaskScanner::start(kernel);
        for _ in 0..LOOKS {
            let start = Instant::now();
            match scanner.as_mut().map(TaskScanner::read) {
                Ok(Ok(stream)) => {
                    let mut tasks = oom_tasks(&stream);
                    sum_counters(&mut tasks, kernel.page_size_bytes);
                    found.iterator_seconds.push(start.elapsed().as_secs_f64());
                    found.processes = tasks.len();
                }
                Ok(Err(error)) => found.refused = Some(error.to_string()),
                Err(reason) => found.refused = Some(reason.clone()),
            }
            let start = Instant::now();
            if let Ok(tasks) = oom_tasks_from_proc(hierarchy, &ids, kernel.page_size_bytes) {
                found.proc_seconds.push(start.elapsed().as_secs_f64());
                found.processes = found.processes.max(tasks.len());
            }
        }
        found
    }

    pub(super) fn text(&self) -> String {
        let ms = |seconds: &[f64]| match median(seconds) {
            Some(seconds) => format!("{:.1} ms", seconds * 1e3),
            None => "not to be had".to_owned(),
        };
        let refused = match &self.refused {
            Some(reason) => format!(" ({reason})"),
            None => String::new(),
        };
        format!(
            "SCAN    of {} processes: {} by the kernel's iterator{refused}, {} by /proc\n",
            self.processes,
            ms(&self.iterator_seconds),
            ms(&self.proc_seconds),
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "processes": self.processes,
            "iterator_refused": self.refused,
            "iterator_seconds": self.iterator_seconds,
            "proc_seconds": self.proc_seconds,
        })
    }
}
