//! docs/COST.md.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Claim, Found, Kept};

const INTRODUCTION: &str = "\
# What memtrace costs

Written by `cargo xtask bench cost` (as root; it installs what memtrace is compared with); do not edit.
`--part NAME` measures one chapter again. Runs with and without a tracer, or with another one, alternate
on one machine within the same minute. Figures are medians, with the least and the most behind them; what
is slowed is reckoned round by round. A claim that does not hold stays here with what was measured.

";

/// Writes the document.
pub(super) fn write(path: &Path, kept: &[&Kept]) -> Result<()> {
    let mut text = INTRODUCTION.to_owned();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "| | asked | measured | |\n|---|---|---|---|");
    let mut claims: Vec<&Claim> = kept.iter().flat_map(|kept| &kept.found.claims).collect();
    claims.sort_by(|one, other| one.id.cmp(&other.id));
    for claim in claims {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            claim.id,
            claim.asked,
            claim.measured,
            verdict(claim)
        );
    }
    for kept in kept {
        chapter(&mut text, kept);
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// The same of one part, for people who wait for it.
pub(super) fn tell(found: &Found) {
    for claim in &found.claims {
        println!(
            "{} {}: {}: {}",
            claim.id,
            claim.asked,
            claim.measured,
            verdict(claim)
        );
    }
    for row in &found.table {
        println!("  {}", row.join(" | "));
    }
}

fn verdict(claim: &Claim) -> &'static str {
    match claim.holds {
        Some(true) => "holds",
        Some(false) => "**does not hold**",
        None => "not measured",
    }
}

fn chapter(text: &mut String, kept: &Kept) {
    let (found, on) = (&kept.found, &kept.conditions);
    let _ = writeln!(
        text,
        "\n## {}\n\n`cargo xtask bench cost --part {}`. {}\n",
        found.title, kept.part, found.workload
    );
    for (place, row) in found.table.iter().enumerate() {
        let _ = writeln!(text, "| {} |", row.join(" | "));
        if place == 0 {
            let _ = writeln!(text, "|{}", "---|".repeat(row.len()));
        }
    }
    for note in &found.notes {
        let _ = writeln!(text, "\n{note}");
    }
    let _ = writeln!(
        text,
        "\nOn Linux {}, {}; load average {} before, {} after; other machines took {} % of the CPU time. {}.",
        on.kernel,
        on.cpu,
        on.load_before,
        on.load_after,
        on.stolen_percent,
        on.versions.join("; "),
    );
}
