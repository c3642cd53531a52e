//! The one owner of state: takes [`Input`]s in the order they were learned and explains them.
//!
//! No I/O and no clock: a live source and a recording of it lead to the same `Explanation`.
//! A run belongs to the window if it arrives between the `Before` and the `After` sample; the
//! source flushes and drains the hooks before it takes a sample, so that this is also the order in
//! which things happened.

mod durations;
mod explain;
mod reclaim;
mod window;

#[cfg(test)]
mod tests;

pub use self::explain::Incomplete;
use self::{durations::Durations, reclaim::ReclaimTotals, window::Window};
use crate::{
    input::{Facts, HookCounters, Input, VictimEvent},
    model::{Names, RunOutcome},
};

/// Kills of one session that are kept, the first ones.
const VICTIMS: usize = 4_096;

/// Everything learned so far.
#[derive(Debug, Default)]
pub struct Aggregator {
    facts: Option<Box<Facts>>,
    names: Names,
    window: Option<Window>,
    reclaim: ReclaimTotals,
    victims: Vec<VictimEvent>,
    run: Option<RunOutcome>,
    /// Counters of the latest sample.
    hooks: Vec<HookCounters>,
    /// Pages of every run that arrived, inside the window or not.
    pages_seen: u64,
    delivery_delay: Durations,
    event_delay: Durations,
    target_gone: bool,
}

impl Aggregator {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns one thing.
    pub fn apply(&mut self, input: &Input) {
        match input {
            Input::Facts(facts) => {
                let scope = &facts.scope;
                self.names.learn_member(scope.cgroup_id, &scope.cgroup_path);
                self.facts = Some(facts.clone());
            }
            Input::Run(run) => {
                self.pages_seen = self.pages_seen.saturating_add(run.pages);
                self.delivery_delay
                    .record(run.received_ns.saturating_sub(run.sent_ns));
                self.event_delay
                    .record(run.received_ns.saturating_sub(run.first_ns));
                let is_own = self.names.is_member(run.charged_cgroup_id)
                    || self.names.is_member_task(run.pid);
                if let Some(window) = self.open_window() {
                    window.add(run, is_own);
                }
            }
            Input::File(file) => {
                self.names.learn_file(file);
                self.forget_names();
            }
            Input::Location(location) => self.names.learn_location(location),
            Input::CgroupPath(found) => self.names.learn_cgroup(found),
            Input::Task(task) => {
                self.names.learn_task(task);
                self.forget_names();
            }
            Input::Reclaim(reclaim) => {
                if self.open_window().is_some() {
                    self.reclaim.add(reclaim, &self.names);
                }
            }
            Input::Victim(victim) => {
                if self.open_window().is_some() && self.victims.len() < VICTIMS {
                    self.victims.push(victim.clone());
                }
            }
            // These answer other questions than why the working set changed.
            Input::OomKill(_)
            | Input::OomCandidate(_)
            | Input::OomReap(_)
            | Input::OomSnapshot(_)
            | Input::OomWatch(_)
            | Input::OomLog(_)
            | Input::OomGone(_)
            | Input::OomTick(_) => {}
            Input::Sample(sample) => {
                self.names.learn_sample(sample);
                self.hooks.clone_from(&sample.hooks);
                Window::apply(&mut self.window, sample);
            }
            Input::Hooks(hooks) => self.hooks.clone_from(hooks),
            Input::TargetGone => self.target_gone = true,
            Input::CommandStarted { pid, argv } => {
                self.run = Some(RunOutcome {
                    pid: *pid,
                    argv: argv.clone(),
                    ..RunOutcome::default()
                });
            }
            Input::CommandEnded { code, signal } => {
                if let Some(run) = &mut self.run {
                    run.exit_code = *code;
                    run.signal = *signal;
                }
            }
            Input::LeftBehind { tasks } => {
                if let Some(run) = &mut self.run {
                    run.left_behind.clone_from(tasks);
                }
            }
        }
    }

    /// Pages of all runs that arrived so far.
    #[cfg(test)]
    pub(crate) fn pages_seen(&self) -> u64 {
        self.pages_seen
    }

    /// A long session meets more names than it has use for.
    fn forget_names(&mut self) {
        if !self.names.are_too_many() {
            return;
        }
        let runs = self.window.as_ref().map(Window::runs).unwrap_or_default();
        let files = runs.iter().filter_map(|(key, _)| key.file).collect();
        let pids = runs.iter().filter_map(|(key, _)| key.pid).collect();
        self.names.keep_only(&files, &pids);
    }

    fn open_window(&mut self) -> Option<&mut Window> {
        self.window.as_mut().filter(|window| window.is_open())
    }
}
