//! Kills put together from what comes in, in whatever order it comes.

use std::collections::{BTreeMap, VecDeque};

use super::{
    report::{Judged, KillReport},
    stalls::Stalls,
    standing::Standing,
    story::KillStory,
};
use crate::input::{
    CgroupPath, Input, OomCandidateEvent, OomKillEvent, OomLogEvent, OomReapPhase, OomWatchFacts,
    VictimEvent,
};

/// Name of the signal whose hook tells of marks (`kernel::hooks::oom`).
pub(super) const VICTIM_SIGNAL: &str = "OOM victim";
/// Scans whose kill has not been seen: more cannot be at work, since the kernel lets one at a time.
const MAX_SCANS: usize = 64;
/// Kills kept open for what still belongs to them.
const MAX_OPEN: usize = 1_024;
/// Reports of the kernel log that wait for their kill.
const MAX_LOGS: usize = 64;
/// Names of cgroups that are kept.
const MAX_PATHS: usize = 4_096;
/// A kill's other deaths, its report in the log, and its end come within this time.
const SETTLED_NS: u64 = 150_000_000;
/// The kernel log is waited for this long, where it alone would tell of a choice: its last line comes
/// after the mark, and a task may be preempted in between.
const LOGGED_NS: u64 = 3_000_000_000;
/// A choice is followed by its mark within this time, unless the victim had gone: the kernel prints
/// its report in between (mm/oom_kill.c, `oom_kill_process`), and consoles can be slow.
const UNMARKED_NS: u64 = 10_000_000_000;
/// Members of its group are marked within this time.
const GROUP_NS: u64 = 40_000_000;
/// So they are, with what the kernel prints of each in between, where the log tells of the group.
const SAME_GROUP_NS: u64 = 1_000_000_000;

/// Puts kills together.
#[derive(Debug)]
pub struct Kills {
    facts: Box<OomWatchFacts>,
    scans: BTreeMap<u32, Vec<OomCandidateEvent>>,
    open: Vec<KillReport>,
    /// Read before the hook's record of the kill was.
    logs: VecDeque<Box<OomLogEvent>>,
    paths: BTreeMap<u64, String>,
    standing: Standing,
    stalls: Stalls,
}

impl Kills {
    /// For a kernel.
    pub fn new(facts: Box<OomWatchFacts>) -> Self {
        Self {
            facts,
            scans: BTreeMap::new(),
            open: Vec::new(),
            logs: VecDeque::new(),
            paths: BTreeMap::new(),
            standing: Standing::default(),
            stalls: Stalls::default(),
        }
    }

    /// What it was made for.
    pub fn facts(&self) -> &OomWatchFacts {
        &self.facts
    }

    /// Path of a cgroup, if it was ever known.
    pub fn path_of(&self, id: u64) -> Option<&str> {
        let told = self.paths.get(&id).map(String::as_str);
        told.or_else(|| self.standing.path_of(id))
    }

    /// Learns one thing; inputs of other questions are passed over.
    pub fn apply(&mut self, input: &Input) {
        match input {
            Input::OomCandidate(event) => self.candidate(event),
            Input::OomKill(event) => self.kill(event),
            Input::Victim(event) => self.victim(event),
            Input::OomReap(event) => {
                let done = matches!(event.phase, OomReapPhase::Finish | OomReapPhase::Skip);
                if let Some(kill) = self.last_of(event.tid).filter(|_| done) {
                    kill.reaped_after_ns = Some(event.time_ns.saturating_sub(kill.killed_ns()));
                }
            }
            Input::OomGone(event) => {
                if let Some(kill) = self.last_of(event.pid) {
                    kill.gone_after_ns = Some(event.time_ns.saturating_sub(kill.killed_ns()));
                }
            }
            Input::OomLog(event) => self.log(event),
            Input::CgroupPath(CgroupPath { id, path }) => {
                if self.paths.len() >= MAX_PATHS {
                    self.paths.clear();
                }
                self.paths
                    .extend(path.as_ref().map(|path| (*id, path.clone())));
            }
            Input::OomSnapshot(snapshot) => self.standing.learn(snapshot),
            Input::Reclaim(event) => self.stalls.learn(event),
            _ => {}
        }
    }

    /// Kills that nothing more is expected of at this time, oldest first.
    pub fn settled(&mut self, now_ns: u64) -> Vec<KillStory> {
        self.join_groups();
        let log_is_read = self.facts.log_unreadable.is_none();
        let marks_are_told = self.is_on(VICTIM_SIGNAL);
        let last_choice = self.open.iter().rposition(|kill| kill.choice.is_some());
        let ripe = |&(place, kill): &(usize, &KillReport)| {
            // One scan at a time: with the next choice, the one before is over.
            let mark_may_come = marks_are_told
                && kill.choice.is_some()
                && kill.marked_ns.is_none()
                && last_choice == Some(place);
            let age_ns = now_ns.saturating_sub(kill.killed_ns());
            if mark_may_come {
                return age_ns >= UNMARKED_NS;
            }
            let untold = |kill: &KillReport| kill.log.is_none() && kill.choice.is_none();
            let mut later = self.open[place + 1..].iter();
            let mut member_may_be_told = || {
                kill.choice.is_none() && later.any(|next| untold(next) && next.same_trigger(kill))
            };
            if log_is_read && (untold(kill) || member_may_be_told()) {
                return age_ns >= LOGGED_NS;
            }
            let whole = kill.gone_after_ns.is_some() && (kill.log.is_some() || !log_is_read);
            age_ns >= SETTLED_NS || whole && age_ns >= GROUP_NS
        };
        let end = self.open.iter().enumerate().take_while(ripe).count();
        self.tell(end, now_ns)
    }

    /// All kills, complete or not: the watch ends.
    pub fn rest(&mut self, now_ns: u64) -> Vec<KillStory> {
        self.join_groups();
        self.tell(self.open.len(), now_ns)
    }

    /// Where the hook on choices is off, each member of a group looks like a kill of its own, until the
    /// log tells.
    fn join_groups(&mut self) {
        let mut place = 1;
        while place < self.open.len() {
            let member = &self.open[place];
            let is_told = member.log.as_ref().is_some_and(|log| log.group.is_some());
            let is_first = |kill: &KillReport| {
                let age_ns = member.killed_ns().saturating_sub(kill.killed_ns());
                kill.same_trigger(member) && age_ns < SAME_GROUP_NS
            };
            let first = (is_told && member.choice.is_none())
                .then(|| self.open[..place].iter().rposition(is_first));
            match first.flatten() {
                Some(first) => {
                    let member = self.open.remove(place);
                    self.open[first].also_killed.push(member.victim);
                }
                None => place += 1,
            }
        }
    }

    fn tell(&mut self, end: usize, now_ns: u64) -> Vec<KillStory> {
        let done: Vec<_> = self.open.drain(..end).collect();
        done.into_iter()
            .map(|kill| {
                let story = KillStory::of(kill, now_ns, self);
                self.standing
                    .died(story.report.time_ns, &story.report.victim);
                for task in &story.report.also_killed {
                    self.standing.died(story.report.time_ns, task);
                }
                story
            })
            .collect()
    }

    /// The cgroup at a path, if it was ever known.
    pub(super) fn id_of(&self, path: &str) -> Option<u64> {
        let told = self.paths.iter().find(|(_, known)| *known == path);
        told.map(|(id, _)| *id)
            .or_else(|| self.standing.id_of(path))
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether the hook of a signal is attached.
    pub(super) fn is_on(&self, signal: &str) -> bool {
        let mut hooks = self.facts.hooks.iter();
        hooks.any(|hook| hook.signal == signal && hook.attached.is_some())
    }

    pub(super) fn stalls(&self) -> &Stalls {
        &self.stalls
    }

    fn last_of(&mut self, pid: u32) -> Option<&mut KillReport> {
        let mut newest_first = self.open.iter_mut().rev();
        newest_first.find(|kill| kill.victim.pid == pid)
    }

    fn victim(&mut self, event: &VictimEvent) {
        let marked = &event.victim;
        let last = self.open.iter_mut().rev().find(|kill| {
            let age_ns = event.time_ns.saturating_sub(kill.killed_ns());
            let chosen = kill.choice.is_some() && kill.marked_ns.is_none();
            kill.trigger.pid == event.trigger.pid
                && (age_ns < SETTLED_NS || chosen && kill.victim.pid == marked.pid)
        });
        match last {
            Some(kill) if kill.victim.pid == marked.pid => kill.marked_by(event),
            Some(kill) if kill.choice.is_some() => {
                kill.marked_by(event);
                kill.also_killed.push(marked.clone());
            }
            _ => {
                let mut kill =
                    KillReport::new(event.time_ns, marked.clone(), event.trigger.clone());
                kill.marked_by(event);
                self.open(kill);
            }
        }
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
        let OomWatchFacts {
            rss_counters,
            page_size_bytes,
            ..
        } = *self.facts;
        let candidates = candidates
            .into_iter()
            .map(|event| Judged::new(event, rss_counters, page_size_bytes))
            .collect();
        self.open(KillReport {
            choice: Some(event.clone()),
            candidates,
            ..KillReport::new(event.time_ns, event.victim.clone(), event.trigger.clone())
        });
    }

    fn open(&mut self, mut report: KillReport) {
        if self.open.len() >= MAX_OPEN {
            self.open.remove(0);
        }
        let told = self.logs.iter().position(|log| report.is_told_by(log));
        report.log = told.and_then(|place| self.logs.remove(place));
        self.open.push(report);
    }

    fn log(&mut self, event: &OomLogEvent) {
        let untold = |kill: &&mut KillReport| kill.log.is_none() && kill.is_told_by(event);
        if let Some(kill) = self.open.iter_mut().find(untold) {
            kill.log = Some(Box::new(event.clone()));
            return;
        }
        // A member of a group is told of with the one it died with.
        let along = |kill: &KillReport| {
            let mut others = kill.also_killed.iter();
            others.any(|task| task.pid == event.killed_tid)
        };
        if self.open.iter().any(along) {
            return;
        }
        if self.logs.len() >= MAX_LOGS {
            self.logs.pop_front();
        }
        self.logs.push_back(Box::new(event.clone()));
    }
}
