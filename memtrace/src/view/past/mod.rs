//! What was, for people: a sentence for each that is meant, then how its sizes went and what was counted.

mod sentences;
mod table;

#[cfg(test)]
mod tests;

use self::{
    sentences::headline,
    table::{groups, sizes},
};
use super::text::{WIDTH, wrap};
use crate::model::{
    past::{Instant, Past, PastOf, RiskPeak},
    words::{escaped, mib},
};

/// How an instant is written: the day, a blank, the time; local, as a rule.
pub type Clock<'a> = &'a dyn Fn(Instant) -> String;

/// Lines under a label begin in this column.
const INDENT: usize = 10;

/// The whole answer, each line ended.
pub fn render(past: &Past, clock: Clock<'_>) -> String {
    let whole = clock;
    let first = clock(past.since);
    let day = first.split_once(' ').map_or("", |(day, _)| day);
    // The day is said once, unless it is another.
    let short = |at: Instant| {
        let text = whole(at);
        let time = text.strip_prefix(day).map(str::trim_start);
        time.map_or_else(|| text.clone(), str::to_owned)
    };
    let clock: Clock<'_> = &short;
    let mut lines = Vec::new();
    for (place, one) in past.of.iter().enumerate() {
        if place > 0 {
            lines.push(String::new());
        }
        lines.extend(of(one, clock, whole));
    }
    if past.left_out > 0 {
        let words = format!(
            "{} more of that name, older ones, are left out.",
            past.left_out
        );
        lines.push(words);
    }
    lines.push(String::new());
    // The machine itself may be what was asked for.
    if let Some(machine) = &past.machine {
        lines.extend(node(machine, clock));
    }
    lines.extend(labelled("NOT KNOWN", &not_known(past, clock)));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn of(one: &PastOf, clock: Clock<'_>, whole: Clock<'_>) -> Vec<String> {
    let mut lines = wrap(&headline(one, clock), WIDTH);
    lines.push(String::new());
    lines.extend(labelled("TARGET", &who(one, clock)));
    let samples = format!(
        "{} to {}, {} samples",
        whole(one.from),
        clock(one.until),
        one.samples
    );
    lines.extend(labelled("KEPT", &samples));
    lines.extend(sizes(one, clock));
    lines.extend(labelled("CHANGE", &groups(one)));
    lines.extend(labelled("LIMIT", &limit(one, clock)));
    lines.extend(labelled("RECLAIM", &reclaim(one)));
    lines.extend(labelled("STALLS", &stalls(one)));
    lines.extend(labelled("RISK", &risk(&one.risks, clock)));
    if !one.eviction_risks.is_empty() {
        lines.extend(labelled("EVICTION", &risk(&one.eviction_risks, clock)));
    }
    for kill in &one.reports {
        let who = match (&kill.comm, kill.pid) {
            (Some(comm), Some(pid)) => format!("{}[{pid}]", escaped(comm)),
            _ => format!("{} processes, unseen", kill.kills),
        };
        let owner = kill.limit_owner.as_deref().unwrap_or("unknown");
        let words = format!(
            "{}  {who}, limit: {owner}; memtrace oom show {}",
            clock(kill.at),
            kill.id
        );
        lines.extend(labelled("KILLED", &words));
    }
    lines
}

fn who(one: &PastOf, clock: Clock<'_>) -> String {
    let who = &one.who;
    let mut words = match who.cgroup.as_str() {
        "/" => "the machine".to_owned(),
        _ => escaped(&who.short()),
    };
    if let Some(restarts) = who.restarts.filter(|restarts| *restarts > 0) {
        words += &format!("  restart {restarts}");
    }
    if who.cgroup != "/" && who.short() != who.cgroup {
        words += &format!("  {}", escaped(&who.cgroup));
    }
    match (who.gone, who.ended) {
        (true, Some(ended)) => words + &format!("  gone since {}", clock(ended)),
        _ => words,
    }
}

fn limit(one: &PastOf, clock: Clock<'_>) -> String {
    let size =
        |bytes: Option<i64>| bytes.map_or("none".to_owned(), |bytes| format!("{} MiB", mib(bytes)));
    let mut words = match one.limit_changes.is_empty() {
        true => format!("{}, the same all the time", size(one.limit_bytes)),
        false => size(one.limit_bytes),
    };
    for change in &one.limit_changes {
        words += &format!(
            "; by {} it was changed from {} to {}",
            clock(change.at),
            size(change.before_bytes),
            size(change.after_bytes)
        );
    }
    if let Some(hits) = one.limit_hits {
        words += &format!("; reached {hits} times");
    }
    words
}

fn reclaim(one: &PastOf) -> String {
    let size = |bytes: u64| format!("{} MiB", mib(bytes as i64));
    let unknown = || "not counted here".to_owned();
    let scanned = one.reclaim.map_or_else(unknown, |reclaim| {
        let (scanned, freed) = (reclaim.scanned_bytes, reclaim.reclaimed_bytes);
        let share = match scanned {
            0 => String::new(),
            _ => format!(" ({:.0} %)", freed as f64 / scanned as f64 * 100.0),
        };
        format!("scanned {}, freed {}{share}", size(scanned), size(freed))
    });
    let again = [
        (one.refault_file_bytes, "of files"),
        (one.refault_anon_bytes, "from swap"),
    ];
    let again: Vec<_> = again
        .into_iter()
        .filter_map(|(bytes, what)| Some(format!("{} {what}", size(bytes?))))
        .collect();
    match again.is_empty() {
        true => scanned,
        false => format!("{scanned}; read in again {}", again.join(", ")),
    }
}

fn stalls(one: &PastOf) -> String {
    match &one.stalls {
        Some(stalls) => format!(
            "some task waited for memory for {:.1} s, all of them for {:.1} s",
            stalls.some_seconds, stalls.full_seconds
        ),
        None => "not counted here (cgroup v1, or PSI is off)".to_owned(),
    }
}

fn risk(risks: &[RiskPeak], clock: Clock<'_>) -> String {
    let words: Vec<_> = risks
        .iter()
        .map(|risk| {
            let horizon = match risk.horizon_seconds as u64 {
                60 => "within a minute",
                _ => "within 15 minutes",
            };
            match risk.highest {
                0.0 => format!("{horizon} 0 all the time"),
                highest => format!(
                    "{horizon} up to {highest:.2} by {}, at the end {:.2}",
                    clock(risk.highest_at),
                    risk.last
                ),
            }
        })
        .collect();
    match words.is_empty() {
        true => "unknown (no limit, or not watched for long enough)".to_owned(),
        false => words.join("; "),
    }
}

fn node(machine: &PastOf, clock: Clock<'_>) -> Vec<String> {
    let least = |course: Option<crate::model::past::Course>| {
        course.map(|course| {
            format!(
                "at least {} MiB (by {})",
                mib(course.least_bytes),
                clock(course.least_at)
            )
        })
    };
    let mut words = vec![format!(
        "headroom {}",
        least(machine.headroom).unwrap_or("unknown".to_owned())
    )];
    words.extend(least(machine.eviction_headroom).map(|least| format!("until eviction {least}")));
    words.extend(machine.kills.map(|kills| format!("OOM kills {kills}")));
    words.push(format!(
        "risk of running out {}",
        risk(&machine.risks, clock)
    ));
    labelled("MACHINE", &words.join("; "))
}

/// What samples do not tell, and the times without samples.
fn not_known(past: &Past, clock: Clock<'_>) -> String {
    let mut words =
        "which files and processes made it so: samples are kept, no events; `memtrace explain` \
                     while it happens tells. A peak shorter than a tick may be missing"
            .to_owned();
    if !past.gaps.is_empty() {
        let gaps: Vec<_> = past
            .gaps
            .iter()
            .map(|gap| format!("{} to {}", clock(gap.from), clock(gap.until)))
            .collect();
        words += &format!(
            "; nothing is kept of {} (no agent ran, or the minute has not ended)",
            gaps.join(", ")
        );
    }
    words + "."
}

/// `LABEL     words`, wrapped below themselves.
fn labelled(label: &str, words: &str) -> Vec<String> {
    let lines = wrap(words, WIDTH - INDENT).into_iter().enumerate();
    lines
        .map(|(number, line)| match number {
            0 => format!("{label:<INDENT$}{line}"),
            _ => format!("{:INDENT$}{line}", ""),
        })
        .collect()
}
