//! One to three sentences that a person can act on.
//!
//! Each sentence comes from a rule with an id, so that a reader can look up why it was said.

mod component;
mod subject;

#[cfg(test)]
mod tests;

use super::{
    Explanation, Phase, Warning,
    words::{self, mib, process, signed_mib},
};

/// Most sentences a verdict has: it must be readable at a glance.
const MOST_SENTENCES: usize = 3;

/// The rules, each giving at most one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The working set could not be read at one end.
    Unknown,
    /// It did not change by more than the counters can tell.
    NoChange,
    /// active_file grew by second reads.
    SecondAccess,
    /// active_file grew by pages that came in active.
    InsertedActive,
    /// active_file grew and MGLRU does not tell by whom.
    MultiGen,
    /// active_file fell: pages deleted, truncated or dropped on request.
    Removed,
    /// active_file fell: reclaim evicted pages.
    Evicted,
    /// active_file fell: pages went back to the inactive list.
    Deactivated,
    /// anon changed, by process.
    Anon,
    /// shmem changed, by file.
    Shmem,
    /// Kernel memory or socket buffers changed.
    Kernel,
    /// A component changed and no cause is known.
    Unattributed,
    /// Most of the change is in no component.
    Residual,
    /// With a command: the rise to the peak came first, this is the fall after it.
    AfterPeak,
    /// A second component matters too.
    Also,
    /// The OOM killer struck.
    OomKill,
    /// Page cache came in that the working set does not count.
    CacheOutside,
    /// Something weakens the answer.
    Weakened,
    /// What to do about it.
    Advice,
}

impl Rule {
    /// The stable id in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NoChange => "no_change",
            Self::SecondAccess => "second_access",
            Self::InsertedActive => "inserted_active",
            Self::MultiGen => "mglru",
            Self::Removed => "removed",
            Self::Evicted => "evicted",
            Self::Deactivated => "deactivated",
            Self::Anon => "anon",
            Self::Shmem => "shmem",
            Self::Kernel => "kernel",
            Self::Unattributed => "unattributed",
            Self::Residual => "residual",
            Self::AfterPeak => "after_peak",
            Self::Also => "also",
            Self::OomKill => "oom_kill",
            Self::CacheOutside => "cache_outside",
            Self::Weakened => "weakened",
            Self::Advice => "advice",
        }
    }
}

/// A sentence and the rule that said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Which rule.
    pub rule: Rule,
    /// What it says.
    pub text: String,
}

/// The verdict, the most important sentence first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// One to three.
    pub sentences: Vec<Sentence>,
}

impl Verdict {
    /// The sentences as one line.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self.sentences.iter().map(|s| s.text.as_str()).collect();
        texts.join(" ")
    }

    /// Judges a finished explanation (its own verdict is not looked at).
    pub(crate) fn of(explanation: &Explanation) -> Self {
        // By importance: what comes after the third falls away.
        let candidates = headline(explanation)
            .into_iter()
            .chain(oom_kill(explanation))
            .chain(weakened(explanation))
            .chain(also(explanation))
            .chain(cache_outside(explanation))
            .chain(component::advice(main_phase(explanation), explanation));
        Self {
            sentences: candidates.take(MOST_SENTENCES).collect(),
        }
    }
}

/// The phase that holds the change: up to the peak if the working set fell again since.
fn main_phase(explanation: &Explanation) -> &Phase {
    match explanation.phases.as_slice() {
        [up, down] if is_change(up) && is_change(down) => up,
        _ => &explanation.whole,
    }
}

/// The change is more than the counters' own error.
fn is_change(phase: &Phase) -> bool {
    let bound = phase.ledger.error_bound.map_or(0, |b| b.total_bytes());
    (phase.working_set.delta_bytes()).is_some_and(|delta| delta.unsigned_abs() > bound)
}

/// The change, and with a command the fall after the peak.
fn headline(explanation: &Explanation) -> Vec<Sentence> {
    let whole = &explanation.whole;
    let working_set = whole.working_set;
    let Some(delta) = working_set.delta_bytes() else {
        let end = match working_set.before_bytes {
            None => "at the start",
            Some(_) => "at the end",
        };
        let text = format!("Working set unknown: usage or inactive_file could not be read {end}.");
        return vec![sentence(Rule::Unknown, text)];
    };
    let main = main_phase(explanation);
    if main.name != whole.name {
        let [up, down] = explanation.phases.as_slice() else {
            return Vec::new();
        };
        let rise = up.working_set.delta_bytes().unwrap_or(0);
        let fall = down.working_set.delta_bytes().unwrap_or(0);
        let (rule, why) = component::why(up, explanation);
        let (_, why_down) = component::why(down, explanation);
        return vec![
            sentence(
                rule,
                format!("Working set {} MiB at its peak: {why}.", signed_mib(rise)),
            ),
            sentence(
                Rule::AfterPeak,
                format!(
                    "Then {} MiB, {} MiB in all: {why_down}.",
                    signed_mib(fall),
                    signed_mib(delta)
                ),
            ),
        ];
    }
    if !is_change(whole) {
        let bound = match whole.ledger.error_bound {
            Some(bound) => format!("{} MiB", mib(bound.total_bytes() as i64)),
            None => "unknown".to_owned(),
        };
        let text = format!(
            "Working set {} MiB, no change beyond the counters' own error ({} MiB, bound {bound}).",
            mib(working_set.after_bytes.unwrap_or(0) as i64),
            signed_mib(delta)
        );
        return vec![sentence(Rule::NoChange, text)];
    }
    let (rule, why) = component::why(whole, explanation);
    vec![sentence(
        rule,
        format!("Working set {} MiB: {why}.", signed_mib(delta)),
    )]
}

fn oom_kill(explanation: &Explanation) -> Option<Sentence> {
    let kill = explanation.oom_kills.first()?;
    let more = match explanation.oom_kills.len() {
        1 => String::new(),
        kills => format!(", the first of {kills} kills"),
    };
    let text = format!(
        "The OOM killer killed {}{more}; the allocation that failed was {}'s.",
        process(&kill.victim),
        process(&kill.trigger)
    );
    Some(sentence(Rule::OomKill, text))
}

/// The gravest thing that makes the figures above wrong, not merely less detailed.
fn weakened(explanation: &Explanation) -> Option<Sentence> {
    let grave = explanation.trust.warnings.iter().find(|warning| {
        matches!(
            warning,
            Warning::EventsLost { .. } | Warning::BoundExceeded { .. } | Warning::Source(_)
        )
    })?;
    Some(sentence(Rule::Weakened, format!("Careful: {grave}.")))
}

/// A second component that is at least a fifth of the change.
fn also(explanation: &Explanation) -> Option<Sentence> {
    let phase = main_phase(explanation);
    if !is_change(phase) {
        return None;
    }
    let delta = phase.working_set.delta_bytes()?;
    let [_, second, ..] = component::ranked(phase)[..] else {
        return None;
    };
    if second.delta_bytes().unsigned_abs() * 5 < delta.unsigned_abs() {
        return None;
    }
    let (_, why) = component::why_component(second, phase, explanation);
    Some(sentence(
        Rule::Also,
        format!("Also {} MiB: {why}.", signed_mib(second.delta_bytes())),
    ))
}

/// inactive_file moved more than the working set did, and by more than the counters' error.
fn cache_outside(explanation: &Explanation) -> Option<Sentence> {
    let phase = main_phase(explanation);
    let inactive = phase.inactive_file_delta_bytes?;
    let bound = phase.ledger.error_bound?.total_bytes();
    let delta = phase.working_set.delta_bytes()?;
    // A fall of inactive_file that mirrors a rise of active_file is the same pages.
    if inactive <= 0 || inactive.unsigned_abs() <= delta.unsigned_abs().max(bound) {
        return None;
    }
    let file = explanation
        .page_cache
        .iter()
        .find(|row| row.kind == memtrace_ebpf::record::RunKind::CacheAdd)
        .and_then(|row| row.file.as_ref())
        .map_or_else(String::new, |file| {
            format!(", most of {}", words::file(file))
        });
    let text = format!(
        "Not counted in it: inactive_file {} MiB, page cache used once{file}; a second read would move it into the working set.",
        signed_mib(inactive)
    );
    Some(sentence(Rule::CacheOutside, text))
}

fn sentence(rule: Rule, text: String) -> Sentence {
    Sentence { rule, text }
}
