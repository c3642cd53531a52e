//! What to read first.

use super::Clock;
use crate::model::{
    past::PastOf,
    words::{escaped, mib, signed_mib},
};

/// Parts that a sentence names.
const NAMED: usize = 3;
/// What changed less is not named: it rounds to nothing.
const NAMED_BYTES: u64 = 1 << 20;
/// A risk that alerts page at (deploy/prometheus).
const HIGH: f64 = 0.8;

/// How much the working set changed and which parts did, kills, the limit, the risk.
pub(super) fn headline(one: &PastOf, clock: Clock<'_>) -> String {
    let name = match one.who.cgroup.as_str() {
        "/" => "the machine".to_owned(),
        _ => escaped(&one.who.short()),
    };
    let mut text = match &one.working_set {
        None => format!("The working set of {name} is not known."),
        Some(all) => {
            let mut text = format!(
                "Working set of {name} {} MiB, {} -> {}",
                signed_mib(all.delta_bytes()),
                mib(all.start_bytes),
                mib(all.end_bytes)
            );
            if all.most_bytes > all.start_bytes.max(all.end_bytes) {
                text += &format!(", with {} by {}", mib(all.most_bytes), clock(all.most_at));
            }
            text + &format!("{}.", parts(one))
        }
    };
    if let Some((usage, pinned)) = one.usage.zip(one.unreclaimable) {
        let gives = usage.end_bytes.saturating_sub(pinned.end_bytes).max(0);
        text += &format!(
            " At the end the kernel could have dropped {} MiB of what it was charged for.",
            mib(gives)
        );
    }
    text += &kills(one);
    if let Some(change) = one.limit_changes.last() {
        text += &match (change.before_bytes, change.after_bytes) {
            (Some(before), Some(after)) if after < before => " The limit was lowered.".to_owned(),
            (Some(_), Some(_)) => " The limit was raised.".to_owned(),
            (None, Some(_)) => " A limit was set.".to_owned(),
            _ => " The limit was taken away.".to_owned(),
        };
    }
    if let Some(risk) = one.risks.iter().rev().find(|risk| risk.highest > HIGH) {
        text += &format!(
            " The risk of reaching the limit was high: {:.2} by {}.",
            risk.highest,
            clock(risk.highest_at)
        );
    }
    text
}

/// The parts that changed most.
fn parts(one: &PastOf) -> String {
    let mut parts: Vec<_> = one
        .parts
        .iter()
        .map(|part| (part.course.delta_bytes(), part.name.as_str()))
        .filter(|(bytes, _)| bytes.unsigned_abs() >= NAMED_BYTES)
        .collect();
    parts.sort_by_key(|(bytes, _)| std::cmp::Reverse(bytes.unsigned_abs()));
    let named: Vec<_> = parts
        .iter()
        .take(NAMED)
        .map(|(bytes, name)| format!("{name} {}", signed_mib(*bytes)))
        .collect();
    match named.is_empty() {
        true => String::new(),
        false => format!(": {}", named.join(", ")),
    }
}

fn kills(one: &PastOf) -> String {
    let reported: u64 = one.reports.iter().map(|kill| kill.kills).sum();
    // A cgroup that died with its victim was read for the last time before that.
    let kills = one.kills.unwrap_or(0).max(reported);
    let ids: Vec<_> = one.reports.iter().map(|kill| kill.id.to_string()).collect();
    let told = match ids.is_empty() {
        true => String::new(),
        false => format!(" (report {})", ids.join(", ")),
    };
    match (kills, one.kills, one.reports.is_empty()) {
        (0, None, true) => " Whether the OOM killer killed in it is not known.".to_owned(),
        (0, ..) => " No process of it was killed by the OOM killer.".to_owned(),
        (1, ..) => format!(" The OOM killer killed 1 process{told}."),
        (many, ..) => format!(" The OOM killer killed {many} processes{told}."),
    }
}
