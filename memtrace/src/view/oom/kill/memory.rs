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

/// At most so many parts, the largest of them; JSON has them all.
pub(super) fn lines(story: &KillStory, max_parts: usize) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(
        story
            .at_kill
            .iter()
            .flat_map(|memory| at_kill(memory, max_parts)),
    );
    lines.extend(story.window.iter().flat_map(|one| window(one, max_parts)));
    lines
}

fn at_kill(memory: &AtKill, max_parts: usize) -> Vec<String> {
    let when = match memory.before_ns {
        Some(ns) => format!("read {:.0} ms before", seconds(ns) * 1e3),
        None => "as the kernel log has it".to_owned(),
    };
    let usage = memory.usage_bytes.map_or("?".to_owned(), |b| mib(b as i64));
    let mut lines = vec![format!("AT KILL  MiB, usage {usage}, {when}")];
    let known = |name: &&'static str| {
        let bytes = part(&memory.stat, name).filter(|bytes| *bytes >= VISIBLE_BYTES)?;
        Some((*name, bytes as i64))
    };
    for (name, bytes) in largest(PARTS.iter().filter_map(known), max_parts) {
        let lists = match (name, memory.stat.active_file, memory.stat.inactive_file) {
            ("file", Some(active), Some(inactive)) => format!(
                "  active {}, inactive {}",
                mib(active as i64),
                mib(inactive as i64)
            ),
            _ => String::new(),
        };
        lines.push(format!("  {name:<20}{:>9}{lists}", mib(bytes)));
    }
    lines
}

/// The `max` with most, in their own order.
fn largest(
    parts: impl Iterator<Item = (&'static str, i64)>,
    max: usize,
) -> Vec<(&'static str, i64)> {
    let parts: Vec<_> = parts.collect();
    let mut sizes: Vec<_> = parts
        .iter()
        .map(|(_, bytes)| bytes.unsigned_abs())
        .collect();
    sizes.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
    let least = max.checked_sub(1).and_then(|last| sizes.get(last).copied());
    let least = least.unwrap_or(0);
    let large = parts
        .into_iter()
        .filter(|(_, bytes)| bytes.unsigned_abs() >= least);
    large.take(max).collect()
}

fn window(window: &Window, max_parts: usize) -> Vec<String> {
    let length = seconds(window.length_ns);
    let mut lines = vec![format!("GREW     last {length:.1} s, MiB")];
    let visible = window.change.iter().copied();
    let visible = visible.filter(|(_, change)| change.unsigned_abs() >= VISIBLE_BYTES);
    for (name, change) in largest(visible, max_parts) {
        lines.push(format!("  {name:<20}{:>9}", signed_mib(change)));
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
