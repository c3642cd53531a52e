//! Counts that do not drift: instructions of the userspace paths that every event passes through,
//! under callgrind, against what is committed. A tenth more fails.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::{process, workspace};

/// The paths, as memtrace/examples/instructions.rs calls them.
const PATHS: [&str; 2] = ["decode", "ledger"];
/// What a path may take more than is committed, in percent.
const MOST_PERCENT: u64 = 10;
/// Write what was counted instead of comparing.
const WRITE: &str = "MEMTRACE_WRITE_COUNTS";

/// xtask/instructions.json.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Committed {
    /// The compiler and the kind of CPU whose code was counted: another one writes other code.
    rustc: String,
    paths: BTreeMap<String, u64>,
}

/// How the comparison went.
pub(super) enum Compared {
    /// As committed, or less.
    Within(String),
    /// Not here, and why.
    Skipped(String),
}

/// Counts and compares.
pub(super) fn compare() -> Result<Compared> {
    let file = workspace::root().join("xtask/instructions.json");
    let rustc = rustc()?;
    let writes = std::env::var_os(WRITE).is_some();
    let committed = match writes {
        true => None,
        false => {
            let text = match fs::read_to_string(&file) {
                Ok(text) => text,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Ok(Compared::Skipped(format!(
                        "{} is missing: run with {WRITE}=1, and commit it",
                        file.display()
                    )));
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("read {}", file.display()));
                }
            };
            let committed: Committed =
                serde_json::from_str(&text).with_context(|| format!("read {}", file.display()))?;
            if committed.rustc != rustc {
                return Ok(Compared::Skipped(format!(
                    "counted with {}, this is {rustc}",
                    committed.rustc
                )));
            }
            Some(committed)
        }
    };
    if process::find("valgrind", &[]).is_none() {
        return Ok(Compared::Skipped("no valgrind here".to_owned()));
    }
    let program = build()?;
    let mut paths = BTreeMap::new();
    for path in PATHS {
        paths.insert(path.to_owned(), count(&program, path)?);
    }
    let Some(committed) = committed else {
        let text = serde_json::to_string_pretty(&Committed { rustc, paths })?;
        fs::write(&file, format!("{text}\n"))
            .with_context(|| format!("write {}", file.display()))?;
        return Ok(Compared::Within(format!("{} is written", file.display())));
    };
    judge(&committed.paths, &paths).map(Compared::Within)
}

/// What was counted, in words; an error that names the paths that take more.
fn judge(committed: &BTreeMap<String, u64>, counted: &BTreeMap<String, u64>) -> Result<String> {
    let mut risen = Vec::new();
    let mut told = Vec::new();
    for (path, now) in counted {
        let before = *committed
            .get(path)
            .with_context(|| format!("no count of {path} is committed"))?;
        let line = format!("{path}: {now} instructions, {before} committed");
        if *now > before + before * MOST_PERCENT / 100 {
            risen.push(line.clone());
        }
        told.push(line);
    }
    if !risen.is_empty() {
        bail!(
            "more than {MOST_PERCENT} % above what is committed: {}; if it is worth it, run with {WRITE}=1 \
             and commit xtask/instructions.json",
            risen.join("; ")
        );
    }
    Ok(told.join("; "))
}

fn build() -> Result<PathBuf> {
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--locked", "-p", "memtrace"]);
    build.args(["--example", "instructions"]);
    process::run(build.current_dir(workspace::root()))?;
    Ok(workspace::target_dir().join("release/examples/instructions"))
}

/// Instructions that the path takes once: the second time's, so that what is made on first use is
/// not counted.
fn count(program: &Path, path: &str) -> Result<u64> {
    let (once, twice) = (run(program, path, "1")?, run(program, path, "2")?);
    ensure!(
        twice > once,
        "{path}: {once} instructions once, {twice} twice"
    );
    Ok(twice - once)
}

fn run(program: &Path, path: &str, times: &str) -> Result<u64> {
    let out = workspace::target_dir().join(format!("callgrind.{path}"));
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args([path, times]);
    process::stdout(&mut command)?;
    let text = fs::read_to_string(&out).with_context(|| format!("read {}", out.display()))?;
    total(&text).with_context(|| format!("no total in {}", out.display()))
}

/// `totals: N`, or `summary: N` of older versions.
fn total(callgrind: &str) -> Option<u64> {
    let line = callgrind.lines().find_map(|line| {
        line.strip_prefix("totals:")
            .or_else(|| line.strip_prefix("summary:"))
    })?;
    line.trim().parse().ok()
}

/// `rustc 1.95.0 (...) x86_64-unknown-linux-gnu`.
fn rustc() -> Result<String> {
    let text = process::stdout(
        Command::new("rustc")
            .arg("-vV")
            .current_dir(workspace::root()),
    )?;
    let line = |start: &str| text.lines().find(|line| line.starts_with(start));
    let (version, host) = (line("rustc "), line("host: "));
    let (version, host) = version.zip(host).context("rustc -vV says nothing")?;
    Ok(format!("{version} {}", host.trim_start_matches("host: ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(decode: u64) -> BTreeMap<String, u64> {
        BTreeMap::from([("decode".to_owned(), decode), ("ledger".to_owned(), 7)])
    }

    #[test]
    fn a_tenth_more_passes_and_what_is_beyond_fails_with_its_name() {
        assert!(judge(&counts(1000), &counts(1100)).is_ok());
        assert!(judge(&counts(1000), &counts(10)).is_ok());
        let error = judge(&counts(1000), &counts(1101)).unwrap_err().to_string();
        assert!(error.contains("decode: 1101"), "{error}");
        assert!(!error.contains("ledger"), "{error}");
    }

    #[test]
    fn callgrinds_total_is_read() {
        assert_eq!(total("events: Ir\nfn=x\n1 2\ntotals: 1234\n"), Some(1234));
        assert_eq!(total("events: Ir\n"), None);
    }
}
