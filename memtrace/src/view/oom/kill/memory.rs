//! A block's part about memory: at the kill, and in the window before.

use super::text::labelled;
use crate::{
    model::{
        oom::{AtKill, KillStory, PARTS, Stalled, Waited, Window, part},
        words::{escaped, mib, signed_mib},
    },
    view::time::seconds,
};

/// Less is not shown.
const VISIBLE_BYTES: u64 = 64 << 10;

pub(super) fn lines(story: &KillStory) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(story.at_kill.iter().flat_map(at_kill));
    lines.extend(story.window.iter().flat_map(window));
    lines
}

fn at_kill(memory: &AtKill) -> Vec<String> {
    let when = match memory.before_ns {
        Some(ns) => format!("read {:.0} ms before", seconds(ns) * 1e3),
        None => "as the kernel log has it".to_owned(),
    };
    let usage = memory.usage_bytes.map_or("?".to_owned(), |b| mib(b as i64));
    let mut lines = vec![format!("AT KILL  MiB, usage {usage}, {when}")];
    for name in PARTS {
        let Some(bytes) = part(&memory.stat, name).filter(|bytes| *bytes >= VISIBLE_BYTES) else {
            continue;
        };
        let lists = match (*name, memory.stat.active_file, memory.stat.inactive_file) {
            ("file", Some(active), Some(inactive)) => format!(
                "  active {}, inactive {}",
                mib(active as i64),
                mib(inactive as i64)
            ),
            _ => String::new(),
        };
        lines.push(format!("  {name:<20}{:>9}{lists}", mib(bytes as i64)));
    }
    lines
}

fn window(window: &Window) -> Vec<String> {
    let length = seconds(window.length_ns);
    let mut lines = vec![format!("GREW     last {length:.1} s, MiB")];
    for (name, change) in &window.change {
        if change.unsigned_abs() >= VISIBLE_BYTES {
            lines.push(format!("  {name:<20}{:>9}", signed_mib(*change)));
        }
    }
    if let Some(pages) = window.victim_grew_pages {
        lines.push(format!("  {:<20}{pages:>+9} pages", "the victim"));
    }
    let mut facts = Vec::new();
    for (whose, waited) in [
        ("PSI", window.waited),
        ("node's PSI", window.waited_on_node),
    ] {
        if let Some(Waited { some, full }) = waited {
            facts.push(format!(
                "{whose} some {:.0} %, full {:.0} %",
                some * 100.0,
                full * 100.0
            ));
        }
    }
    if let Some((scanned, stolen)) = window.scanned_and_stolen {
        facts.push(format!("scanned {scanned} pages, stolen {stolen}"));
    }
    if let Some(max) = window.max_events {
        facts.push(format!("at the limit {max} times"));
    }
    if let Some(stalled) = &window.stalled {
        facts.push(waits(stalled));
    }
    if !facts.is_empty() {
        lines.extend(labelled("PRESSURE", &facts.join("; ")));
    }
    lines
}

fn waits(stalled: &Stalled) -> String {
    let Some((pid, name, longest)) = &stalled.longest else {
        return "nobody waited in reclaim".to_owned();
    };
    let ms = |ns: u64| seconds(ns) * 1e3;
    let name = name.as_deref().map_or("?".to_owned(), escaped);
    format!(
        "tasks waited {:.0} ms in reclaim, {} times; {name} (pid {pid}) {:.0} ms",
        ms(stalled.waits.total_ns),
        stalled.waits.passes,
        ms(longest.total_ns)
    )
}
