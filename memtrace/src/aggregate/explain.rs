//! From the state to the answer.

use std::collections::BTreeSet;

use super::{Aggregator, Window};
use crate::{
    input::{Facts, FileEvent, FileId, OwnedBy, Sample},
    model::{
        Children, Comeback, Evidence, Explanation, KernelHints, Ledger, OomKill, Peak, Phase,
        PhaseName, Reclaim, Refaults, RunTable, TaskRef, Trust, TrustInputs, Verdict, Views,
        Warning, WorkingSet, evictions, exact_changes, foreign_use, page_cache_traffic, refaulted,
        shrinkings, used_elsewhere, warnings,
    },
};

/// Why there is nothing to explain yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// Nothing is known of the kernel and the question.
    #[error("the session has no facts about its kernel and target: it ended before it began")]
    NoFacts,
    /// The window never began.
    #[error("the session has no sample from its start, so there is nothing to compare with")]
    NoBefore,
    /// The window never ended.
    #[error("the session has no sample from its end: it is still running, or was cut short")]
    NoAfter,
}

impl Aggregator {
    /// The named files whose pages moved in the window, for the source to find where the target
    /// sees them.
    pub fn files_in_window(&self) -> Vec<FileEvent> {
        let Some(window) = &self.window else {
            return Vec::new();
        };
        let ids: BTreeSet<FileId> = window
            .runs()
            .iter()
            .filter(|(key, _)| {
                self.names.is_member(key.charged_cgroup_id) || self.names.is_member_task(key.pid)
            })
            .filter_map(|(key, _)| key.file)
            .collect();
        ids.into_iter()
            .filter_map(|id| self.names.file_event(id).cloned())
            .collect()
    }

    /// Cgroups other than the target and those below it that have a part in the window, for the source
    /// to find their paths: who pays for what the target uses, who uses what it pays for, and on whose
    /// behalf it was reclaimed from.
    pub fn cgroups_elsewhere(&self) -> BTreeSet<u64> {
        let Some(window) = &self.window else {
            return BTreeSet::new();
        };
        let runs = window.runs();
        let concerned = runs.iter().filter(|(key, _)| {
            self.names.is_member(key.charged_cgroup_id) || self.names.is_member_task(key.pid)
        });
        let of_runs = concerned.flat_map(|(key, _)| {
            let of_task = key.pid.and_then(|pid| self.names.task(pid, true).cgroup_id);
            [key.charged_cgroup_id, key.target_cgroup_id, of_task]
        });
        of_runs
            .flatten()
            .chain(self.reclaim.targets(&self.names))
            .filter(|id| !self.names.is_member(Some(*id)))
            .collect()
    }

    /// Explains the window between the `Before` and the `After` sample.
    pub fn explain(&self) -> Result<Explanation, Incomplete> {
        let facts = self.facts.as_deref().ok_or(Incomplete::NoFacts)?;
        let window = self.window.as_ref().ok_or(Incomplete::NoBefore)?;
        let after = window.after.as_ref().ok_or(Incomplete::NoAfter)?;
        let runs = window.runs();
        let evidence = self.evidence(facts, &runs);

        let mut explanation = Explanation {
            facts: facts.clone(),
            whole: phase(PhaseName::BeforeToAfter, &window.before, after, &evidence),
            phases: Vec::new(),
            peak: None,
            before: window.before.cgroup,
            after: after.cgroup,
            views: Views::at(after, facts.page_size_bytes),
            comeback: Comeback::of(&after.cgroup),
            exact: exact_changes(&window.before, after, &self.names, facts.page_size_bytes),
            page_cache: page_cache_traffic(&evidence),
            foreign: foreign_use(&evidence),
            used_elsewhere: used_elsewhere(&evidence),
            children: Children::between(&window.before, after),
            hints: KernelHints::between(&window.before, after, facts),
            oom_kills: self.oom_kills(facts),
            reclaim: Reclaim {
                groups: self.reclaim.by_kind(&self.names),
                causes: self.reclaim.by_cause(&self.names),
                tasks: self.reclaim.by_task(&self.names),
                refaulted: refaulted(&evidence),
                evictions: evictions(&evidence),
                shrinkings: shrinkings(&window.before, after, &self.names),
            },
            refaults: Refaults::between(
                &window.before.cgroup,
                &after.cgroup,
                facts.page_size_bytes,
            ),
            run: self.run.clone(),
            trust: Trust::new(TrustInputs {
                hooks: &self.hooks,
                signals: &facts.hooks,
                pages_seen: self.pages_seen,
                delivery_delay: self.delivery_delay.quantiles(),
                event_delay: self.event_delay.quantiles(),
            }),
            verdict: Verdict::default(),
        };
        if facts.scope.command {
            explanation.phases = self.phases(facts, window, after).into();
            explanation.peak = peak(window, after);
        }
        explanation.trust.warnings =
            warnings(&explanation, &window.before, after, &runs, &self.names);
        if self.target_gone {
            explanation.trust.warnings.push(Warning::TargetGone);
        }
        explanation.verdict = Verdict::of(&explanation);
        Ok(explanation)
    }

    fn evidence<'a>(&'a self, facts: &'a Facts, runs: &'a RunTable) -> Evidence<'a> {
        Evidence {
            facts,
            names: &self.names,
            runs,
        }
    }

    fn phases(&self, facts: &Facts, window: &Window, after: &Sample) -> [Phase; 2] {
        let highest = window.highest();
        let up = self.evidence(facts, &window.until_peak);
        let down = self.evidence(facts, &window.since_peak);
        [
            phase(PhaseName::BeforeToPeak, &window.before, highest, &up),
            phase(PhaseName::PeakToAfter, highest, after, &down),
        ]
    }

    /// Kills that the target suffered or caused.
    fn oom_kills(&self, facts: &Facts) -> Vec<OomKill> {
        let task = |of: &OwnedBy| {
            let known = self.names.task(of.pid, true);
            TaskRef {
                comm: of.comm.clone().or(known.comm),
                cgroup_id: of.cgroup_id.or(known.cgroup_id),
                ..known
            }
        };
        self.victims
            .iter()
            .map(|event| OomKill {
                unix_ns: event
                    .time_ns
                    .saturating_add_signed(facts.realtime_minus_monotonic_ns),
                victim: task(&event.victim),
                trigger: task(&event.trigger),
            })
            .filter(|kill| {
                self.names.is_member(kill.victim.cgroup_id)
                    || self.names.is_member(kill.trigger.cgroup_id)
            })
            .collect()
    }
}

fn phase(name: PhaseName, from: &Sample, to: &Sample, evidence: &Evidence<'_>) -> Phase {
    let inactive_file = |sample: &Sample| Some(sample.cgroup.stat.inactive_file? as i64);
    Phase {
        name,
        start: from.time,
        end: to.time,
        working_set: WorkingSet::between(&from.cgroup, &to.cgroup),
        inactive_file_delta_bytes: (inactive_file(from).zip(inactive_file(to)))
            .map(|(before, after)| after - before),
        ledger: Ledger::between(from, to, evidence),
    }
}

fn peak(window: &Window, after: &Sample) -> Option<Peak> {
    let highest = window.highest();
    Some(Peak {
        time: highest.time,
        working_set_bytes: highest.cgroup.working_set_bytes()?,
        usage_bytes: highest.cgroup.usage_bytes,
        kernel_usage_peak_bytes: after.cgroup.usage_peak_bytes,
    })
}
