//! How far to trust the answer.

use super::cells::{WIDTH, wrap};
use crate::{
    input::{CgroupVersion, LruKind},
    model::Explanation,
    view::time::seconds,
};

/// What weakens the answer, a line or two each, and the summary as the last line.
pub(super) fn lines(explanation: &Explanation) -> Vec<String> {
    let trust = &explanation.trust;
    let facts = &explanation.facts;
    let mut lines = Vec::new();
    for warning in &trust.warnings {
        let wrapped = wrap(&warning.to_string(), WIDTH - 4);
        for (index, line) in wrapped.iter().enumerate() {
            let mark = if index == 0 { "  ! " } else { "    " };
            lines.push(format!("{mark}{line}"));
        }
    }
    let missing: Vec<&str> = trust.missing().map(|s| s.signal.as_str()).collect();
    let hooks = if missing.is_empty() {
        "hooks complete".to_owned()
    } else {
        format!("no hook for {}", missing.join(", "))
    };
    let lru = match facts.lru {
        LruKind::Classic => "classic LRU",
        LruKind::MultiGen => "MGLRU",
    };
    let version = match facts.cgroup_version {
        CgroupVersion::V1 => "v1",
        CgroupVersion::V2 => "v2",
    };
    let summary = format!(
        "TRUST  {} lost; {hooks}; {lru}; cgroup {version}; events at most {:.1} ms late",
        trust.events_lost,
        seconds(trust.delivery_delay.max_ns) * 1e3
    );
    lines.extend(wrap(&summary, WIDTH));
    lines
}
