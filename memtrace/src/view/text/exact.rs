//! Exact mode's flows.

use super::cells::row;
use crate::model::{
    ExactChange, Explanation,
    words::{mib, signed_mib},
};

/// A row for each counter that moved, to the page.
pub(super) fn lines(explanation: &Explanation) -> Vec<String> {
    let Some(changes) = &explanation.exact else {
        return Vec::new();
    };
    let mut lines = vec![row("EXACT", "MiB", "page by page: in, out")];
    let moved = |change: &&ExactChange| change.in_bytes != 0 || change.out_bytes != 0;
    for change in changes.iter().filter(moved) {
        let note = format!(
            "{} in, {} out; memory.stat says {}",
            mib(change.in_bytes as i64),
            mib(change.out_bytes as i64),
            change
                .memory_stat_delta_bytes
                .map_or_else(|| "nothing".to_owned(), signed_mib)
        );
        let label = format!("  {}", change.counter);
        lines.push(row(&label, &signed_mib(change.delta_bytes()), &note));
    }
    if lines.len() == 1 {
        lines.push(row("  nothing moved", "0.0", ""));
    }
    lines
}
