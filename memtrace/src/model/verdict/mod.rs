//! One to three sentences that a person can act on.
//!
//! Each sentence comes from a rule with an id, so that a reader can look up why it was said.

mod active_file;
mod component;
mod kernel;
mod ownership;
mod rule;
mod subject;

#[cfg(test)]
mod tests;

use memtrace_ebpf::record::RunKind;

pub use self::rule::Rule;
use super::{
    Explanation, Phase, Warning,
    words::{self, mib, process, signed_mib},
};

/// Most sentences a verdict has: it must be readable at a glance.
const MOST_SENTENCES: usize = 3;

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
            .chain(ownership::child(explanation))
            .chain(ownership::used_elsewhere(explanation))
            .chain(also(explanation))
            .chain(ownership::charged_elsewhere(explanation))
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

/// Less than this is not worth a sentence: it rounds to 0.0 MiB.
const LEAST_BYTES: u64 = (1 << 20) / 20;

/// The change is more than the counters' own error, or at least half of it was watched happening:
/// on a machine of many CPUs the counters may lag by more than most changes, the hooks do not.
fn is_change(phase: &Phase) -> bool {
    let Some(delta) = phase.working_set.delta_bytes() else {
        return false;
    };
    let bound = phase.ledger.error_bound.map_or(0, |b| b.total_bytes());
    let components = phase.ledger.components.iter();
    let watched: u64 = components
        .filter(|component| (component.delta_bytes() < 0) == (delta < 0))
        .map(component::attributed_bytes)
        .sum();
    delta.unsigned_abs() >= LEAST_BYTES
        && (delta.unsigned_abs() > bound || watched >= delta.unsigned_abs() / 2)
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
                    "Then {} MiB ({} MiB in all): {why_down}.",
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
    let produced = explanation.trust.pages_produced;
    let warnings = &explanation.trust.warnings;
    let grave = warnings.iter().find(|warning| match warning {
        // Below one per cent the trust line is the place to say so. A skipped call is a page or more.
        Warning::EventsLost { pages, skipped, .. } => {
            let lost = pages + skipped;
            lost > 0 && lost.saturating_mul(100) >= produced
        }
        Warning::BoundExceeded { .. } | Warning::Source(_) => true,
        _ => false,
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

/// inactive_file grew by more than the working set, and by more than the counters' error or as the
/// hooks watched.
fn cache_outside(explanation: &Explanation) -> Option<Sentence> {
    let phase = main_phase(explanation);
    let grown = u64::try_from(phase.inactive_file_delta_bytes?).ok()?;
    let bound = phase.ledger.error_bound?.total_bytes();
    let delta = phase.working_set.delta_bytes()?;
    let mut added = (explanation.page_cache.iter())
        .filter(|row| row.kind == RunKind::CacheAdd)
        .peekable();
    let first = added
        .peek()
        .and_then(|row| Some((row.file.as_ref()?, row.task.as_ref())));
    let watched: u64 = added.map(|row| row.bytes).sum();
    let real = grown > bound || (grown >= LEAST_BYTES && watched >= grown / 2);
    if !real || grown <= delta.unsigned_abs() {
        return None;
    }
    let what = first.map_or_else(String::new, |(file, task)| {
        let by = task.map_or_else(String::new, |task| format!(", by {}", process(task)));
        format!(", most of {}{by}", words::file(file))
    });
    let text = format!(
        "Not counted in it: inactive_file {} MiB, page cache used once{what}; a second read would move it into the working set.",
        signed_mib(grown as i64)
    );
    Some(sentence(Rule::CacheOutside, text))
}

fn sentence(rule: Rule, text: String) -> Sentence {
    Sentence { rule, text }
}
