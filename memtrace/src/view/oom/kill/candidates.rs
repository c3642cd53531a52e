//! A block's table of candidates.

use crate::model::{
    oom::{KillStory, Table, TableSource},
    words::escaped,
};

/// At most so many rows; JSON has them all.
pub(super) fn lines(story: &KillStory, table: &Table, max_rows: usize) -> Vec<String> {
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
    for row in rows.iter().take(max_rows) {
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
    if rows.len() > max_rows {
        lines.push(format!("  and {} more", rows.len() - max_rows));
    }
    lines
}
