//! A kill as the hooks and the kernel log report it, before anything is concluded from it.

use super::{
    badness::badness,
    eligible::{Turn, turn},
};
use crate::input::{
    OomCandidateEvent, OomKillEvent, OomLogEvent, OwnedBy, RssCounters, VictimEvent,
};

/// The kernel log's report of a kill is read this long before or after the hook's record at most.
const SAME_NS: u64 = 4_000_000_000;

/// A candidate of a scan, with the model's points beside the kernel's.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// What the hook saw.
    pub event: OomCandidateEvent,
    /// What the model makes of the same counters; `None` for one that may not be killed.
    pub model_points: Option<i64>,
    /// How far the model may be off.
    pub error_pages: i64,
}

impl Judged {
    /// Of what a hook saw.
    pub fn new(event: OomCandidateEvent, counters: RssCounters, page_size_bytes: u64) -> Self {
        let terms = badness(&event.task, event.totalpages, counters, page_size_bytes);
        let model_points = match turn(&event.task) {
            Turn::Score => Some(terms.points),
            Turn::First => Some(i64::MAX),
            Turn::Skip(_) | Turn::Abort => None,
        };
        Self {
            error_pages: terms.error_pages,
            model_points,
            event,
        }
    }

    /// Whether model and kernel agree within the error; `None` where the kernel's points are unknown.
    pub fn agrees(&self) -> Option<bool> {
        let kernel = self.event.points?;
        Some(match self.model_points {
            None => kernel == i64::MIN,
            Some(model) => kernel.saturating_sub(model).abs() <= self.error_pages,
        })
    }
}

/// One kill.
#[derive(Clone, Debug, PartialEq)]
pub struct KillReport {
    /// When, `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Whom.
    pub victim: OwnedBy,
    /// Whose allocation ran out of memory.
    pub trigger: OwnedBy,
    /// What the kernel decided by; `None` if the hook is off, or if the allocating process was
    /// dying already and no choice was made.
    pub choice: Option<OomKillEvent>,
    /// Whom the scan looked at, in its order; empty if the hook is off.
    pub candidates: Vec<Judged>,
    /// When it, or the last member of its group, was marked as a victim; the report that the kernel
    /// prints between the choice and the mark can take seconds on a slow console. `None` if the hook
    /// is off, and of a victim that had gone meanwhile.
    pub marked_ns: Option<u64>,
    /// From the mark to userspace reading of it, ns; `None` as `marked_ns`, and of old recordings.
    pub delivered_after_ns: Option<u64>,
    /// Processes that die with the victim: its group.
    pub also_killed: Vec<OwnedBy>,
    /// From the mark to the end of the reaper's work, ns; `None` if it was not seen.
    pub reaped_after_ns: Option<u64>,
    /// From the mark until the victim had exited, ns; `None` if it has not yet, or was not looked at.
    pub gone_after_ns: Option<u64>,
    /// What the kernel log says of it; `None` if nothing was found there.
    pub log: Option<Box<OomLogEvent>>,
}

impl KillReport {
    pub(super) fn new(time_ns: u64, victim: OwnedBy, trigger: OwnedBy) -> Self {
        Self {
            time_ns,
            victim,
            trigger,
            choice: None,
            candidates: Vec::new(),
            marked_ns: None,
            delivered_after_ns: None,
            also_killed: Vec::new(),
            reaped_after_ns: None,
            gone_after_ns: None,
            log: None,
        }
    }

    /// It, or a member of its group, was marked.
    pub(super) fn marked_by(&mut self, event: &VictimEvent) {
        self.marked_ns = Some(event.time_ns);
        let delivered = |read_ns: u64| read_ns.saturating_sub(event.time_ns);
        self.delivered_after_ns = event.received_ns.map(delivered);
    }

    /// When it was killed: marked, if the mark was seen, else chosen.
    pub(super) fn killed_ns(&self) -> u64 {
        self.marked_ns.unwrap_or(self.time_ns)
    }

    /// When the victim started, `CLOCK_BOOTTIME`: as the hook says, else as the scan saw it; `None`
    /// if neither did.
    pub(super) fn victim_started_ns(&self) -> Option<u64> {
        let scanned = || {
            let mut tasks = self.candidates.iter().map(|one| &one.event.task);
            tasks.find(|task| task.pid == self.victim.pid)
        };
        (self.victim.start_boottime_ns).or_else(|| scanned().map(|task| task.start_boottime_ns))
    }

    /// Whether one process's allocation led to both.
    pub(super) fn same_trigger(&self, other: &Self) -> bool {
        self.trigger.pid == other.trigger.pid
    }

    /// Whether a report of the kernel log is about this kill. The line `Killed process` names the
    /// thread that holds the memory, the rest of the report the process.
    pub(super) fn is_told_by(&self, log: &OomLogEvent) -> bool {
        // Pids come again. Until the mark is seen, the kernel may still be printing.
        let printing = self.choice.is_some() && self.marked_ns.is_none();
        let early = self.time_ns.saturating_sub(log.read_ns) > SAME_NS;
        let late = log.read_ns.saturating_sub(self.killed_ns()) > SAME_NS && !printing;
        if early || late {
            return false;
        }
        let pid = self.victim.pid;
        let by_table =
            |task: &crate::input::OomLogTask| task.tid == log.killed_tid && task.pid == pid;
        log.killed_tid == pid || log.chosen_pid == Some(pid) || log.tasks.iter().any(by_table)
    }
}
