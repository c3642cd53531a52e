//! Kills as the hooks report them, put together.

use std::collections::BTreeMap;

use super::{
    badness::badness,
    eligible::{Turn, turn},
};
use crate::input::{Input, OomCandidateEvent, OomKillEvent, OomReapPhase, OwnedBy, RssCounters};

/// Scans whose kill has not been seen: more cannot be at work, since the kernel lets one at a time.
const MAX_SCANS: usize = 64;
/// Kills kept open for what still belongs to them.
const MAX_OPEN: usize = 1_024;
/// A kill's other deaths and its reaping come within this time.
const SETTLED_NS: u64 = 150_000_000;

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
    /// Processes that die with the victim: its group.
    pub also_killed: Vec<OwnedBy>,
    /// From the kill to the end of the reaper's work, ns; `None` if it was not seen.
    pub reaped_after_ns: Option<u64>,
}

/// Puts kills together, from the inputs of the hooks.
#[derive(Debug)]
pub struct Kills {
    counters: RssCounters,
    page_size_bytes: u64,
    scans: BTreeMap<u32, Vec<OomCandidateEvent>>,
    open: Vec<KillReport>,
}

impl Kills {
    /// For a kernel.
    pub fn new(counters: RssCounters, page_size_bytes: u64) -> Self {
        Self {
            counters,
            page_size_bytes,
            scans: BTreeMap::new(),
            open: Vec::new(),
        }
    }

    /// Learns one thing; inputs of other hooks are passed over.
    pub fn apply(&mut self, input: &Input) {
        match input {
            Input::OomCandidate(event) => self.candidate(event),
            Input::OomKill(event) => self.kill(event),
            Input::Victim(event) => {
                let marked = &event.victim;
                let last = self.open.iter_mut().rev().find(|kill| {
                    kill.trigger.pid == event.trigger.pid
                        && event.time_ns.saturating_sub(kill.time_ns) < SETTLED_NS
                });
                match last {
                    Some(kill) if kill.victim.pid == marked.pid => {}
                    Some(kill) if kill.choice.is_some() => {
                        kill.also_killed.push(marked.clone());
                    }
                    _ => self.open(KillReport {
                        time_ns: event.time_ns,
                        victim: marked.clone(),
                        trigger: event.trigger.clone(),
                        choice: None,
                        candidates: Vec::new(),
                        also_killed: Vec::new(),
                        reaped_after_ns: None,
                    }),
                }
            }
            Input::OomReap(event) => {
                let done = matches!(event.phase, OomReapPhase::Finish | OomReapPhase::Skip);
                let kill = self
                    .open
                    .iter_mut()
                    .rev()
                    .find(|kill| kill.victim.pid == event.tid);
                if let (true, Some(kill)) = (done, kill) {
                    kill.reaped_after_ns = Some(event.time_ns.saturating_sub(kill.time_ns));
                }
            }
            _ => {}
        }
    }

    /// Kills that nothing more is expected of at this time, oldest first.
    pub fn settled(&mut self, now_ns: u64) -> Vec<KillReport> {
        let ripe = |kill: &KillReport| now_ns.saturating_sub(kill.time_ns) >= SETTLED_NS;
        let end = self.open.iter().take_while(|kill| ripe(kill)).count();
        self.open.drain(..end).collect()
    }

    fn candidate(&mut self, event: &OomCandidateEvent) {
        if self.scans.len() >= MAX_SCANS {
            self.scans.clear();
        }
        let scan = self.scans.entry(event.trigger_tid).or_default();
        scan.push(event.clone());
        // A scan that ended without a choice is over.
        if event.aborted {
            self.scans.remove(&event.trigger_tid);
        }
    }

    fn kill(&mut self, event: &OomKillEvent) {
        let candidates = self.scans.remove(&event.trigger_tid).unwrap_or_default();
        let candidates = candidates.into_iter().map(|event| self.judge(event));
        let report = KillReport {
            time_ns: event.time_ns,
            victim: event.victim.clone(),
            trigger: event.trigger.clone(),
            choice: Some(event.clone()),
            candidates: candidates.collect(),
            also_killed: Vec::new(),
            reaped_after_ns: None,
        };
        self.open(report);
    }

    fn open(&mut self, report: KillReport) {
        if self.open.len() >= MAX_OPEN {
            self.open.remove(0);
        }
        self.open.push(report);
    }

    fn judge(&self, event: OomCandidateEvent) -> Judged {
        let terms = badness(
            &event.task,
            event.totalpages,
            self.counters,
            self.page_size_bytes,
        );
        let model_points = match turn(&event.task) {
            Turn::Score => Some(terms.points),
            Turn::First => Some(i64::MAX),
            Turn::Skip(_) | Turn::Abort => None,
        };
        Judged {
            error_pages: terms.error_pages,
            model_points,
            event,
        }
    }
}
