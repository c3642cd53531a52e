//! docs/KERNELS.md: which kernels memtrace was tried on, and how it went.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::ladder::Config;
use super::suite::ConfigResult;

const INTRODUCTION: &str = "\
# Kernels

Written by `cargo xtask vm --all` from its last full run; do not edit. Each row is one
boot of a stock Debian cloud kernel in QEMU with two CPUs, on which the live suite ran
every case once; a guest that is locked down (`lockdown=confidentiality`) runs the case about that.
`tests/kernels.lock` names the exact packages. `cargo xtask test --ladder` runs part of this ladder
and says which.

";

/// Writes the page from a full run.
pub fn write(path: &Path, results: &[ConfigResult]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(path, page(results)).with_context(|| format!("write {}", path.display()))
}

/// The names of the cases that failed, after a colon.
fn failed(result: &ConfigResult) -> String {
    let names = result.failed.iter();
    let names: Vec<_> = names.filter_map(|case| case.split(':').next()).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(": {}", names.join(", ")),
    }
}

fn page(results: &[ConfigResult]) -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("## The suite\n\n");
    text.push_str("| kernel | Debian version | LRU | cgroup | suite |\n|---|---|---|---|---|\n");
    for result in results {
        let config = result.config;
        let suite = match (&result.failure, result.counts) {
            (None, Some(counts)) => counts.to_string(),
            (Some(why), Some(counts)) => {
                format!("**failed**: {why}{} ({counts})", failed(result))
            }
            (Some(why), None) => format!("**failed**: {why}"),
            (None, None) => "not run".to_owned(),
        };
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            config.series,
            result.kernel.as_deref().unwrap_or("gone"),
            lru(config),
            config.cgroup,
            cell(&suite)
        );
    }
    text.push_str("\n## The hook in use, by signal\n\n");
    text.push_str(&rungs(results));
    let refused = refused(results);
    if !refused.is_empty() {
        text.push_str("\n## Refused by the kernel\n\n");
        text.push_str(&refused);
    }
    text
}

/// How pages are aged, and what else is special about the guest.
fn lru(config: Config) -> String {
    if config.locked_down {
        format!("{}, locked down", config.lru)
    } else {
        config.lru.to_string()
    }
}

/// One row per signal, one column per configuration with an answer of its own.
fn rungs(results: &[ConfigResult]) -> String {
    let columns = distinct(results);
    if columns.is_empty() {
        return "`memtrace doctor` gave no answer in this run.\n".to_owned();
    }
    let mut text = String::from("| signal |");
    for (name, _) in &columns {
        let _ = write!(text, " {name} |");
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(columns.len()));
    text.push('\n');
    // In the order in which doctor gives them.
    let mut seen = BTreeSet::new();
    let all = columns.iter().flat_map(|(_, result)| &result.rungs);
    for signal in all.map(|r| &r.signal).filter(|s| seen.insert(*s)) {
        let _ = write!(text, "| {} |", cell(signal));
        for (_, result) in &columns {
            let rung = result.rungs.iter().find(|r| r.signal == *signal);
            let hook = match rung {
                Some(rung) => rung.attached.as_deref().unwrap_or("off"),
                None => "not told",
            };
            let _ = write!(text, " {} |", cell(hook));
        }
        text.push('\n');
    }
    text
}

/// The results that have an answer from doctor, without repeating what is the same for
/// another configuration of the same series; each with its column's title.
fn distinct(results: &[ConfigResult]) -> Vec<(String, &ConfigResult)> {
    let mut columns: Vec<(String, &ConfigResult)> = Vec::new();
    for result in results.iter().filter(|r| !r.rungs.is_empty()) {
        let series = result.config.series;
        let hooks = |r: &ConfigResult| -> Vec<_> {
            r.rungs
                .iter()
                .map(|r| (r.signal.clone(), r.attached.clone()))
                .collect()
        };
        let mut siblings = columns
            .iter()
            .filter(|(_, r)| r.config.series == series)
            .peekable();
        if siblings.peek().is_none() {
            columns.push((series.to_owned(), result));
        } else if !siblings.any(|(_, r)| hooks(r) == hooks(result)) {
            columns.push((result.config.to_string(), result));
        }
    }
    columns
}

/// Each refusal once, with the series that refused.
fn refused(results: &[ConfigResult]) -> String {
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for result in results {
        for rung in &result.rungs {
            for refusal in &rung.refused {
                let line = format!("{}: {}", rung.signal, refusal.replace('\n', " "));
                let series = result.config.series;
                match lines.iter_mut().find(|(l, _)| *l == line) {
                    Some((_, all)) if all.contains(&series) => {}
                    Some((_, all)) => all.push(series),
                    None => lines.push((line, vec![series])),
                }
            }
        }
    }
    let mut text = String::new();
    for (line, series) in lines {
        let _ = writeln!(text, "- {line} ({})", series.join(", "));
    }
    text
}

/// Text that stays in its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::vm::doctor::Rung;
    use crate::vm::ladder::{Cgroup, LADDER, Lru};
    use crate::vm::suite::Counts;

    fn result(config: Config, attached: Option<&str>, failure: Option<&str>) -> ConfigResult {
        ConfigResult {
            config,
            kernel: Some("1.2-3".into()),
            counts: Some(Counts {
                passed: 9,
                failed: 0,
                skipped: 1,
            }),
            failure: failure.map(str::to_owned),
            failed: Vec::new(),
            skipped: Vec::new(),
            rungs: vec![Rung {
                signal: "activation".into(),
                attached: attached.map(str::to_owned),
                refused: vec!["fentry x: EPERM".into()],
            }],
            took: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_row_for_every_configuration() {
        let results: Vec<_> = LADDER
            .into_iter()
            .map(|c| result(c, Some("tp_btf"), None))
            .collect();
        let page = page(&results);
        let rows = page
            .lines()
            .filter(|l| l.ends_with("| 9 passed, 0 failed, 1 skipped |"));
        assert_eq!(rows.count(), LADDER.len());
        assert!(
            page.contains("| signal | 5.10 | 6.1 | 6.12 | 6.18 | 7.2 |"),
            "{page}"
        );
        assert!(
            page.contains("- activation: fentry x: EPERM (5.10, 6.1, 6.12, 6.18, 7.2)"),
            "{page}"
        );
    }

    #[test]
    fn failures_and_differences_within_a_series_show() {
        let config = |lru| Config {
            series: "6.12",
            cgroup: Cgroup::V2,
            lru,
            locked_down: false,
        };
        let broken = ConfigResult {
            failed: vec!["one_case: why".to_owned(), "other: why: not".to_owned()],
            ..result(config(Lru::Mglru), None, Some("2 cases failed"))
        };
        let page = page(&[result(config(Lru::Classic), Some("fentry"), None), broken]);
        let row =
            "| 6.12 | 1.2-3 | mglru | v2 | **failed**: 2 cases failed: one_case, other (9 passed";
        assert!(page.contains(row), "{page}");
        assert!(page.contains("| signal | 6.12 | 6.12-v2-mglru |"), "{page}");
        assert!(page.contains("| activation | fentry | off |"), "{page}");
    }
}
