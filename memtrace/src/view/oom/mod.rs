//! `oom predict` and `oom watch`, for people and for programs.

pub mod advice;
pub mod json;
pub mod kept;
pub mod kill;
pub mod report;
pub mod text;

use crate::{
    input::RssCounters,
    model::{
        oom::{Candidate, Why},
        words::escaped,
    },
};

/// `java[4711]`
fn name(comm: &str, pid: u32) -> String {
    format!("{}[{pid}]", escaped(comm))
}

fn of(candidate: &Candidate<'_>) -> String {
    name(&candidate.task.comm, candidate.task.pid)
}

fn why_words(why: &Why) -> String {
    match why {
        Why::SharesMemory(pid) => format!("shares the memory of pid {pid}"),
        Why::Group(path) => format!("memory.oom.group of {}", escaped(path)),
    }
}

fn counters_id(counters: RssCounters) -> &'static str {
    match counters {
        RssCounters::Atomic => "atomic",
        RssCounters::PerCpu { .. } => "per_cpu",
        RssCounters::Summed => "summed",
    }
}
