//! Who pays and who uses: the child that accounts for a parent, and pages that cross cgroups.

use super::{LEAST_BYTES, Rule, Sentence, is_change, main_phase, sentence};
use crate::model::{
    Child, Explanation, PhaseName, Traffic,
    words::{self, mib, process},
};

/// A child "is" the change if at least this much of it is its own.
const MOST_PERCENT: u64 = 60;
/// Less than this that crosses cgroups is everyday: shared libraries.
const LEAST_CROSSING_BYTES: u64 = 1 << 20;

/// The child that accounts for most of a parent's change.
pub(super) fn child(explanation: &Explanation) -> Option<Sentence> {
    let phase = main_phase(explanation);
    // Children are read at both ends of the whole window only.
    if phase.name != PhaseName::BeforeToAfter || !is_change(phase) {
        return None;
    }
    let delta = phase.working_set.delta_bytes()?;
    let first: &Child = explanation.children.as_ref()?.rows.first()?;
    let own = first.delta_bytes();
    if (own < 0) != (delta < 0) || own.unsigned_abs() * 100 < delta.unsigned_abs() * MOST_PERCENT {
        return None;
    }
    let text = format!(
        "{} MiB of it in {}.",
        words::signed_mib(own),
        words::cgroup(&first.cgroup)
    );
    Some(sentence(Rule::Child, text))
}

/// At least half of what grew is used by others: the target pays because it was there first.
pub(super) fn used_elsewhere(explanation: &Explanation) -> Option<Sentence> {
    let phase = main_phase(explanation);
    let grown = u64::try_from(phase.working_set.delta_bytes()?).ok()?;
    let bytes: u64 = explanation.used_elsewhere.iter().map(|row| row.bytes).sum();
    if !is_change(phase) || bytes < LEAST_BYTES || bytes * 2 < grown {
        return None;
    }
    let task = explanation.used_elsewhere.first()?.task.as_ref()?;
    let text = format!(
        "This cgroup pays because it used the pages first; {} is of another.",
        process(task)
    );
    Some(sentence(Rule::UsedElsewhere, text))
}

/// The target uses pages that others pay for, by more than it grew itself.
pub(super) fn charged_elsewhere(explanation: &Explanation) -> Option<Sentence> {
    let delta = explanation.whole.working_set.delta_bytes()?;
    let bytes: u64 = explanation.foreign.iter().map(|row| row.bytes).sum();
    if bytes < LEAST_CROSSING_BYTES || bytes < delta.unsigned_abs() {
        return None;
    }
    let first: &Traffic = explanation.foreign.first()?;
    let payer = first
        .charged_cgroup
        .as_ref()
        .map_or_else(|| "nobody".to_owned(), words::cgroup);
    let text = format!(
        "Not counted in it: {} MiB of {} that {} uses and {payer} pays for.",
        mib(bytes as i64),
        first
            .file
            .as_ref()
            .map_or_else(|| "page cache".to_owned(), words::file),
        first.task.as_ref().map(process)?,
    );
    Some(sentence(Rule::ChargedElsewhere, text))
}
