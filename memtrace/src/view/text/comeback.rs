//! Would it come back?

use super::cells::{is_visible, row};
use crate::{
    input::CgroupVersion,
    model::{Explanation, words::mib},
};

/// The working set at the end, by what pressure could do with it.
pub(super) fn lines(explanation: &Explanation) -> Vec<String> {
    let Some(comeback) = explanation.comeback else {
        return Vec::new();
    };
    let swap = match explanation.after.swap_available_bytes {
        Some(0) => "there is no swap",
        _ => "anonymous memory and shmem, as far as swap goes",
    };
    let mut lines = vec![row(
        "UNDER PRESSURE",
        "MiB",
        "of the working set at the end",
    )];
    for (label, bytes, note) in [
        ("  comes back now", comeback.now_bytes, "clean page cache"),
        (
            "  after writeback",
            comeback.after_writeback_bytes,
            "dirty page cache, at most so much",
        ),
        ("  only to swap", comeback.to_swap_bytes, swap),
        (
            "  perhaps",
            comeback.perhaps_bytes,
            match explanation.facts.cgroup_version {
                CgroupVersion::V1 => "kernel memory, which v1 does not tell apart",
                CgroupVersion::V2 => "slab that is not in use",
            },
        ),
    ] {
        if !is_visible(bytes as i64) {
            continue;
        }
        lines.push(row(label, &mib(bytes as i64), note));
    }
    lines.push(row("  stays", &mib(comeback.stays_bytes as i64), ""));
    lines
}
