//! Of a parent: the children behind its change.

use super::cells::{NOTE_WIDTH, is_visible, row, shorten};
use crate::model::{
    Child, Explanation,
    words::{self, mib, signed_mib},
};

/// Children that are listed.
const ROWS: usize = 5;

/// A row for each child that changed, and what is the target's own.
pub(super) fn lines(explanation: &Explanation) -> Vec<String> {
    let Some(children) = &explanation.children else {
        return Vec::new();
    };
    let changed: Vec<&Child> = (children.rows.iter())
        .filter(|child| is_visible(child.delta_bytes()))
        .collect();
    if changed.is_empty() {
        return Vec::new();
    }
    let scope = &explanation.facts.scope.cgroup_path;
    let mut lines = vec![row("CHILDREN", "MiB", "of the change of the working set")];
    let (shown, rest) = changed.split_at(changed.len().min(ROWS));
    for child in shown {
        let name = words::cgroup(&child.cgroup);
        let below = name.strip_prefix(scope.as_str()).unwrap_or(&name);
        let ends = match (child.before_bytes, child.after_bytes) {
            (Some(before), Some(after)) => {
                format!("{} -> {}", mib(before as i64), mib(after as i64))
            }
            (None, _) => "new".to_owned(),
            (_, None) => "gone".to_owned(),
        };
        let room = NOTE_WIDTH.saturating_sub(ends.chars().count() + 2).max(16);
        let note = format!("{}  {ends}", shorten(below.trim_start_matches('/'), room));
        lines.push(row("  child", &signed_mib(child.delta_bytes()), &note));
    }
    if !rest.is_empty() {
        let bytes: i64 = rest.iter().map(|child| child.delta_bytes()).sum();
        lines.push(row(
            &format!("  {} more", rest.len()),
            &signed_mib(bytes),
            "",
        ));
    }
    if let Some(own) = children.own_delta_bytes.filter(|own| is_visible(*own)) {
        lines.push(row(
            "  its own",
            &signed_mib(own),
            "processes, and what removed children left",
        ));
    }
    lines
}
