//! The sizes as a table.

use super::Clock;
use crate::model::{
    past::{Course, PastOf},
    words::{mib, signed_mib},
};

/// Groups of parts, as they are shown.
const GROUPS: [&str; 5] = ["file", "anon", "shmem", "kernel", "other"];

/// `file +20.0, anon +790.0, shmem +0.0, kernel +2.0 MiB`
pub(super) fn groups(one: &PastOf) -> String {
    let group = |group: &&str| {
        let parts = one.parts.iter().filter(|part| part.group == *group);
        let changes = parts.map(|part| part.course.delta_bytes());
        changes
            .reduce(|one, other| one + other)
            .map(|bytes| format!("{group} {}", signed_mib(bytes)))
    };
    let known: Vec<_> = GROUPS.iter().filter_map(group).collect();
    match known.is_empty() {
        true => "not known by its parts".to_owned(),
        false => format!("{} MiB", known.join(", ")),
    }
}

/// `SIZES, MiB  start  least  most  at  end  change`
pub(super) fn sizes(one: &PastOf, clock: Clock<'_>) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<21}{:>9}{:>9}{:>9}{:>9}{:>9}  {}",
        "SIZES, MiB", "start", "least", "most", "end", "change", "most by"
    )];
    let mut row = |label: &str, course: Option<Course>| {
        if let Some(course) = course {
            lines.push(line(label, &course, clock));
        }
    };
    row("usage", one.usage);
    row("working set", one.working_set);
    // What was nothing all the time is in JSON only.
    for part in one.parts.iter().filter(|part| is_visible(&part.course)) {
        row(&format!("  {}", part.name), Some(part.course));
    }
    if let Some(rest) = one.unexplained_bytes {
        lines.push(format!("{:<21}{:>45}", "  residual", signed_mib(rest)));
    }
    let mut row = |label: &str, course: Option<Course>| {
        if let Some(course) = course {
            lines.push(line(label, &course, clock));
        }
    };
    row("unreclaimable", one.unreclaimable);
    row("headroom", one.headroom);
    row("until eviction", one.eviction_headroom);
    row("swap", one.swap.filter(is_visible));
    lines
}

fn is_visible(course: &Course) -> bool {
    let visible = |bytes: i64| !matches!(mib(bytes).as_str(), "0.0" | "-0.0");
    visible(course.least_bytes) || visible(course.most_bytes)
}

fn line(label: &str, course: &Course, clock: Clock<'_>) -> String {
    let most = clock(course.most_at);
    // The day is in the line above.
    let most = most.split_once(' ').map_or(most.as_str(), |(_, time)| time);
    let numbers = [
        mib(course.start_bytes),
        mib(course.least_bytes),
        mib(course.most_bytes),
        mib(course.end_bytes),
        signed_mib(course.delta_bytes()),
    ];
    let mut line = format!("{label:<21}");
    for number in numbers {
        line += &format!("{number:>9}");
    }
    format!("{line}  {most}")
}
