//! A block of lines a kill.

use super::{candidates, foretold, gfp, memory, time};
use crate::{
    input::{OomConstraint, OomWatchFacts, OwnedBy},
    model::{
        oom::{Fate, KillStory, Limit, Owner},
        words::{escaped, mib, signed_mib},
    },
    view::{
        oom::name,
        text::{WIDTH, wrap},
        time::seconds,
    },
};

/// Width of the labels.
const LABEL: usize = 9;

/// How many rows the parts that may be long have.
#[derive(Clone, Copy, Debug)]
pub(in crate::view::oom) struct Rows {
    /// Of the table of candidates.
    pub(in crate::view::oom) candidates: usize,
    /// Of memory, at the kill and in what grew.
    pub(in crate::view::oom) parts: usize,
}

impl Rows {
    /// Where nobody counts lines.
    const ALL: Self = Self {
        candidates: 12,
        parts: usize::MAX,
    };
}

/// A few lines and an empty one.
pub fn render(story: &KillStory, facts: &OomWatchFacts) -> String {
    let mut lines = lines(story, facts, Rows::ALL, Vec::new());
    lines.push(String::new());
    lines.push(String::new());
    lines.join("\n")
}

/// The lines, with `besides` before the last one.
pub(in crate::view::oom) fn lines(
    story: &KillStory,
    facts: &OomWatchFacts,
    rows: Rows,
    besides: Vec<String>,
) -> Vec<String> {
    let report = &story.report;
    let mut lines = vec![format!(
        "OOM  {}  {}",
        time(story, facts),
        match story.fate {
            Fate::WasDying => format!("{} was dying already, nobody chosen", who(&report.victim)),
            Fate::Chosen | Fate::Unknown => format!("{} killed", who(&report.victim)),
        }
    )];
    let mut say = |label: &str, text: String| lines.extend(labelled(label, &text));
    if let Some(text) = verdict(story) {
        say("VERDICT", text);
    }
    say("LIMIT", limit(story, facts));
    say("TRIGGER", trigger(story, facts));
    say("VICTIM", victim(story));
    if !report.also_killed.is_empty() {
        let names: Vec<_> = report.also_killed.iter().map(who).collect();
        say("ALSO", format!("{}: memory.oom.group", names.join(", ")));
    }
    if !story.sharers.is_empty() {
        let names = story.sharers.iter().map(|(pid, comm)| name(comm, *pid));
        let names = names.collect::<Vec<_>>().join(", ");
        lines.extend(labelled(
            "ALSO",
            &format!("{names}: shares the victim's memory"),
        ));
    }
    lines.extend(memory::lines(story, rows.parts));
    if let Some(table) = &story.table {
        lines.extend(candidates::lines(story, table, rows.candidates));
    }
    for text in foretold::texts(story) {
        lines.extend(labelled("FORETOLD", &text));
    }
    lines.extend(besides);
    lines.extend(labelled("TRUST", &trust(story, facts)));
    lines
}

pub(in crate::view::oom) fn labelled(label: &str, text: &str) -> Vec<String> {
    let wrapped = wrap(text, WIDTH - LABEL);
    let mark = |index| if index == 0 { label } else { "" };
    let line = |(index, line): (usize, String)| format!("{:<LABEL$}{line}", mark(index));
    wrapped.into_iter().enumerate().map(line).collect()
}

fn who(task: &OwnedBy) -> String {
    name(task.comm.as_deref().unwrap_or("?"), task.pid)
}

fn place(path: Option<&str>, id: Option<u64>) -> String {
    match (path, id) {
        (Some(path), _) => escaped(path),
        (None, Some(id)) => format!("cgroup {id}, which is gone"),
        (None, None) => "an unknown cgroup".to_owned(),
    }
}

fn domain(limit: &Limit) -> String {
    match limit.owner {
        Owner::Node => "the node".to_owned(),
        Owner::Own | Owner::Ancestor | Owner::Cgroup => {
            place(limit.path.as_deref(), limit.cgroup_id)
        }
    }
}

/// What grew most, if the window shows it.
fn verdict(story: &KillStory) -> Option<String> {
    let limit = story.limit.as_ref()?;
    let whose = match limit.owner {
        Owner::Own => "reached its own limit",
        Owner::Ancestor => "(above the victim's cgroup) reached its limit",
        Owner::Cgroup => "reached its limit",
        Owner::Node => "ran out of memory",
    };
    let grown = story.window.as_ref().and_then(|window| {
        let (part, grown) = window.change.iter().max_by_key(|(_, change)| *change)?;
        let cache = if *part == "file" { "" } else { ", not cache" };
        (*grown > 0).then(|| {
            let (mib, length) = (signed_mib(*grown), seconds(window.length_ns));
            format!(": {part} {mib} MiB in {length:.1} s{cache}")
        })
    });
    // Of the machine no part is told apart.
    Some(format!(
        "{} {whose}{}.",
        domain(limit),
        grown.unwrap_or_default()
    ))
}

fn limit(story: &KillStory, facts: &OomWatchFacts) -> String {
    let Some(limit) = &story.limit else {
        return match (story.fate, &facts.log_unreadable) {
            (Fate::WasDying, _) => "none was decided on: the victim was dying already".to_owned(),
            (_, Some(reason)) => {
                format!("unknown: the hook is off, and the kernel log not readable ({reason})")
            }
            (_, None) => {
                "unknown: the hook is off, and the kernel log, which is rate-limited, says \
                          nothing"
                    .to_owned()
            }
        };
    };
    let whose = match (limit.owner, limit.constraint) {
        (Owner::Own, _) => "the victim's own cgroup",
        (Owner::Ancestor, _) => "above the victim's cgroup",
        (Owner::Cgroup, _) => "its relation to the victim's cgroup is unknown",
        (Owner::Node, Some(OomConstraint::Cpuset)) => "the memory nodes of a cpuset",
        (Owner::Node, Some(OomConstraint::MemoryPolicy)) => "the memory nodes of a mempolicy",
        (Owner::Node, _) => "all of its memory",
    };
    let memory = story
        .at_kill
        .as_ref()
        .filter(|_| limit.owner != Owner::Node);
    let bytes = memory.and_then(|memory| memory.limit_bytes);
    let bytes = bytes.map_or(String::new(), |bytes| {
        format!(", {} MiB", mib(bytes as i64))
    });
    let before = memory.and_then(|memory| memory.limit_before);
    let before = before.map_or(String::new(), |(bytes, before_ns)| {
        let seconds = before_ns as f64 / 1e9;
        format!(" ({} MiB still {seconds:.1} s before)", mib(bytes as i64))
    });
    let size = story
        .totalpages
        .map_or(String::new(), |pages| format!("; totalpages {pages}"));
    format!("{} ({whose}){bytes}{before}{size}", domain(limit))
}

fn trigger(story: &KillStory, facts: &OomWatchFacts) -> String {
    let trigger = &story.report.trigger;
    let mut text = format!(
        "{} in {}",
        who(trigger),
        place(story.trigger_path.as_deref(), trigger.cgroup_id)
    );
    let Some(limit) = &story.limit else {
        return text;
    };
    if let Some(tid) = limit.trigger_tid.filter(|tid| *tid != trigger.pid) {
        text += &format!(", thread {tid}");
    }
    if let Some(order) = limit.order {
        text += &format!("; {}", gfp::order(order, facts.page_size_bytes));
    }
    if let Some(mask) = limit.gfp_mask {
        text += &format!("; {}", gfp::names(mask));
    }
    text
}

fn victim(story: &KillStory) -> String {
    let report = &story.report;
    let mut text = format!(
        "{} in {}",
        who(&report.victim),
        place(story.victim_path.as_deref(), report.victim.cgroup_id)
    );
    if let Some((points, own)) = story.points() {
        let whose = if own { "the kernel's" } else { "memtrace's" };
        text += &format!("; {points} points, {whose}");
    }
    let ms = |ns| seconds(ns) * 1e3;
    match report.gone_after_ns {
        Some(ns) => text += &format!("; gone after {:.1} ms", ms(ns)),
        None => text += "; still dying",
    }
    if let Some(ns) = report.reaped_after_ns {
        text += &format!("; memory reaped after {:.1} ms", ms(ns));
    }
    text
}

fn trust(story: &KillStory, facts: &OomWatchFacts) -> String {
    let log = match (&story.report.log, &facts.log_unreadable) {
        (_, Some(reason)) => format!("kernel log not readable: {reason}"),
        (None, None) => "the kernel log says nothing of it".to_owned(),
        (Some(_), None) if story.differences.is_empty() => "kernel log agrees".to_owned(),
        (Some(_), None) => {
            let each: Vec<_> = story
                .differences
                .iter()
                .map(|difference| {
                    format!(
                        "{}: hook {}, log {}",
                        difference.what,
                        escaped(&difference.hook),
                        escaped(&difference.log)
                    )
                })
                .collect();
            format!("KERNEL LOG DIFFERS: {}", each.join("; "))
        }
    };
    let off: Vec<&str> = facts
        .hooks
        .iter()
        .filter(|hook| hook.attached.is_none())
        .map(|hook| hook.signal.as_str())
        .collect();
    let hooks = match off.is_empty() {
        true => "hooks complete".to_owned(),
        false => format!("off: {}", off.join(", ")),
    };
    let ms = seconds(story.complete_after_ns) * 1e3;
    format!("{hooks}; {log}; complete after {ms:.0} ms")
}
