//! How far to trust the answer.

use super::cells::{WIDTH, wrap};
use crate::{
    input::{CgroupVersion, LruKind},
    model::{Explanation, Warning},
    view::time::seconds,
};

/// What weakens the answer, a line or two each, and the summary as the last line.
pub(super) fn lines(explanation: &Explanation) -> Vec<String> {
    let trust = &explanation.trust;
    let facts = &explanation.facts;
    let mut lines = Vec::new();
    for warning in trust.warnings.iter().filter(|w| !is_lasting(w)) {
        let wrapped = wrap(&warning.to_string(), WIDTH - 4);
        for (index, line) in wrapped.iter().enumerate() {
            let mark = if index == 0 { "  ! " } else { "    " };
            lines.push(format!("{mark}{line}"));
        }
    }
    let missing: Vec<&str> = trust.missing().map(|s| s.signal.as_str()).collect();
    let second_best = trust.warnings.iter().filter(|w| is_lasting(w)).count();
    let hooks = if missing.is_empty() {
        match second_best {
            0 => "hooks complete".to_owned(),
            hooks => format!("hooks complete, {hooks} second-best"),
        }
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
        "TRUST  {} lost; {hooks}; {lru}; cgroup {version}; delay max {:.1} ms",
        trust.events_lost,
        seconds(trust.delivery_delay.max_ns) * 1e3
    );
    lines.extend(wrap(&summary, WIDTH));
    lines
}

/// It is so on this machine every time: `memtrace doctor` and JSON have the details.
fn is_lasting(warning: &Warning) -> bool {
    matches!(warning, Warning::HookDegraded { .. })
}
