//! A block of lines a kill.

use super::{gfp, time};
use crate::{
    input::{OomConstraint, OomWatchFacts, OwnedBy},
    model::{
        oom::{
            Confidence, Fate, Held, KillStory, Limit, Owner, PARTS, Prophecy, Table, TableSource,
            part,
        },
        words::{escaped, mib, signed_mib},
    },
    view::{
        oom::name,
        text::{WIDTH, wrap},
        time::seconds,
    },
};

/// Rows of the table; JSON has them all.
const ROWS: usize = 12;
/// Width of the labels.
const LABEL: usize = 9;

/// A few lines and an empty one.
pub fn render(story: &KillStory, facts: &OomWatchFacts) -> String {
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
    lines.extend(memory(story));
    if let Some(table) = &story.table {
        lines.extend(candidates(story, table));
    }
    for text in foretold(story) {
        lines.extend(labelled("FORETOLD", &text));
    }
    lines.extend(labelled("TRUST", &trust(story, facts)));
    lines.push(String::new());
    lines.push(String::new());
    lines.join("\n")
}

fn labelled(label: &str, text: &str) -> Vec<String> {
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
    let window = story.window.as_ref()?;
    let (part, grown) = window.change.iter().max_by_key(|(_, change)| *change)?;
    if *grown <= 0 {
        return None;
    }
    let whose = match limit.owner {
        Owner::Own => "reached its own limit",
        Owner::Ancestor => "(above the victim's cgroup) reached its limit",
        Owner::Cgroup => "reached its limit",
        Owner::Node => "ran out of memory",
    };
    let cache = if *part == "file" { "" } else { ", not cache" };
    Some(format!(
        "{} {whose}: {part} {} MiB in {:.1} s{cache}.",
        domain(limit),
        signed_mib(*grown),
        seconds(window.length_ns)
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
    let bytes = story.at_kill.as_ref().and_then(|memory| memory.limit_bytes);
    let bytes = bytes
        .filter(|_| limit.owner != Owner::Node)
        .map_or(String::new(), |bytes| {
            format!(", {} MiB", mib(bytes as i64))
        });
    let size = story
        .totalpages
        .map_or(String::new(), |pages| format!("; totalpages {pages}"));
    format!("{} ({whose}){bytes}{size}", domain(limit))
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

fn memory(story: &KillStory) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(memory) = &story.at_kill {
        let when = match memory.before_ns {
            Some(ns) => format!("read {:.0} ms before", seconds(ns) * 1e3),
            None => "as the kernel log has it".to_owned(),
        };
        let usage = memory.usage_bytes.map_or("?".to_owned(), |b| mib(b as i64));
        lines.push(format!("AT KILL  MiB, usage {usage}, {when}"));
        let shown = |name: &&&str| part(&memory.stat, name).is_some_and(|bytes| bytes >= 1 << 16);
        for name in PARTS.iter().filter(shown) {
            let bytes = part(&memory.stat, name).unwrap_or(0) as i64;
            let lists = match (*name, memory.stat.active_file, memory.stat.inactive_file) {
                ("file", Some(active), Some(inactive)) => format!(
                    "  active {}, inactive {}",
                    mib(active as i64),
                    mib(inactive as i64)
                ),
                _ => String::new(),
            };
            lines.push(format!("  {name:<20}{:>9}{lists}", mib(bytes)));
        }
    }
    if let Some(window) = &story.window {
        let length = seconds(window.length_ns);
        lines.push(format!("GREW     last {length:.1} s, MiB"));
        let shown = |(_, change): &&(&str, i64)| change.abs() >= 1 << 16;
        for (name, change) in window.change.iter().filter(shown) {
            lines.push(format!("  {name:<20}{:>9}", signed_mib(*change)));
        }
        if let Some(pages) = window.victim_grew_pages {
            lines.push(format!("  {:<20}{pages:>+9} pages", "the victim"));
        }
        let percent = |share: f64| share * 100.0;
        let mut facts = Vec::new();
        if let Some((some, full)) = window.some.zip(window.full) {
            facts.push(format!(
                "PSI some {:.0} %, full {:.0} %",
                percent(some),
                percent(full)
            ));
        }
        if let Some((scanned, stolen)) = window.scanned_and_stolen {
            facts.push(format!("scanned {scanned} pages, stolen {stolen}"));
        }
        if let Some(max) = window.max_events {
            facts.push(format!("at the limit {max} times"));
        }
        if !facts.is_empty() {
            lines.extend(labelled("PRESSURE", &facts.join("; ")));
        }
    }
    lines
}

fn candidates(story: &KillStory, table: &Table) -> Vec<String> {
    let source = match table.source {
        TableSource::Hooks => "the kernel's own points, read in its scan",
        TableSource::KernelLog => "the model's points, from the kernel log's table",
        TableSource::Snapshot => "the model's points, from the last look before the kill",
    };
    let mut lines = vec![
        format!("CANDIDATES  {source}"),
        format!(
            "  {:>7} {:<15} {:>8} {:>7} {:>6} {:>5} {:>10} {:>10}",
            "PID", "comm", "rss", "swap", "pt", "adj", "kernel", "model"
        ),
    ];
    let points = |points: Option<i64>| match points {
        Some(i64::MIN) => "never".to_owned(),
        Some(i64::MAX) => "first".to_owned(),
        Some(points) => points.to_string(),
        None => "?".to_owned(),
    };
    let mut rows: Vec<_> = table.rows.iter().collect();
    // The last of equals wins, so later ones come first.
    rows.reverse();
    rows.sort_by_key(|row| std::cmp::Reverse(row.kernel_points.or(row.model_points)));
    for row in rows.iter().take(ROWS) {
        let killed = if row.pid == story.report.victim.pid {
            "  killed"
        } else {
            ""
        };
        let never = row.eligible == Some(false);
        let model = if never {
            Some(i64::MIN)
        } else {
            row.model_points
        };
        let differs = if row.agrees == Some(false) {
            "  DIFFERS"
        } else {
            ""
        };
        lines.push(format!(
            "  {:>7} {:<15} {:>8} {:>7} {:>6} {:>5} {:>10} {:>10}{killed}{differs}",
            row.pid,
            escaped(&row.comm),
            row.rss_pages,
            row.swap_pages,
            row.pagetable_pages,
            row.oom_score_adj,
            points(row.kernel_points),
            points(model),
        ));
    }
    if rows.len() > ROWS {
        lines.push(format!("  and {} more", rows.len() - ROWS));
    }
    lines
}

fn foretold(story: &KillStory) -> Vec<String> {
    let Some(foretold) = &story.foretold else {
        return match story.fate {
            Fate::WasDying => Vec::new(),
            Fate::Chosen | Fate::Unknown => {
                vec!["nothing: the domain is unknown, or was never looked at before".to_owned()]
            }
        };
    };
    let since = foretold.since_ns.map_or(String::new(), |ns| {
        format!(", and in each look for {:.1} s", seconds(ns))
    });
    let mut texts = vec![format!("{}{since}", prophecy(&foretold.now, "now"))];
    texts.extend(
        foretold
            .at_limit
            .iter()
            .map(|one| prophecy(one, "at the limit")),
    );
    texts
}

fn prophecy(one: &Prophecy, when: &str) -> String {
    let whom = match &one.victim {
        Some((pid, comm)) => name(comm, *pid),
        None => "nobody".to_owned(),
    };
    let sure = match one.confidence {
        Some(Confidence::Certain) => ", certain",
        Some(Confidence::Likely) => ", likely",
        Some(Confidence::Tie) => ", a tie",
        None => "",
    };
    let share = one.share.map_or(String::new(), |share| {
        format!(" at {:.0} % of the limit", share * 100.0)
    });
    let held = match one.held {
        Held::Right => "right".to_owned(),
        Held::Tie => "another one with equal points: a tie".to_owned(),
        Held::Wrong(cause) => format!("WRONG, because {}", cause.words()),
    };
    format!(
        "{when}: {whom}{sure}, {:.0} ms before{share}: {held}",
        seconds(one.before_ns) * 1e3
    )
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
