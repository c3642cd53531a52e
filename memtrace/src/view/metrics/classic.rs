//! Prometheus' older text format, for scrapers that do not ask for OpenMetrics.

use std::collections::BTreeSet;

/// The content type of what [`of`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The same series: the older format names a counter's family with its `_total`, and has neither
/// units nor a last line.
pub fn of(openmetrics: &str) -> String {
    let kind = |line: &str| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        (kind == "counter").then(|| name.to_owned())
    };
    let counters: BTreeSet<_> = openmetrics.lines().filter_map(kind).collect();
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let about = ["# HELP ", "# TYPE "]
            .iter()
            .find_map(|mark| Some((*mark, line.strip_prefix(mark)?.split_once(' ')?)));
        match about {
            Some((mark, (name, rest))) if counters.contains(name) => {
                text += &format!("{mark}{name}_total {rest}\n");
            }
            _ => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}
