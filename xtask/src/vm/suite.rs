//! The live suite on the ladder: what goes into each guest, and what counts as passed.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::compiler;
use super::doctor::{self, Rung};
use super::guest::{Machines, Outcome, Run};
use super::image::Payload;
use super::ladder::Config;
use super::qemu::Ended;
use crate::musl;

/// How one configuration went.
#[derive(Debug)]
pub struct ConfigResult {
    /// The configuration.
    pub config: Config,
    /// Debian version of its kernel; `None` if the series has left the archive.
    pub kernel: Option<String>,
    /// What the closing line counted; `None` if there was none.
    pub counts: Option<Counts>,
    /// Why it does not count as passed; `None` if it does.
    pub failure: Option<String>,
    /// The cases that failed: `NAME: why`.
    pub failed: Vec<String>,
    /// The cases that were skipped: `NAME: why`.
    pub skipped: Vec<String>,
    /// What `memtrace doctor` said about each signal; empty if it did not answer.
    pub rungs: Vec<Rung>,
    /// Wall-clock time of the guest, boot to end.
    pub took: Duration,
}

/// The suite's closing line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Cases that hold.
    pub passed: u32,
    /// Cases that do not.
    pub failed: u32,
    /// Cases that could not be tried.
    pub skipped: u32,
}

/// How the ladder is run.
pub struct Wishes {
    /// Limit for one guest.
    pub timeout: Duration,
    /// Guests at a time.
    pub jobs: usize,
}

/// Names the variable that selects cases in the guest.
const FILTER: &str = "FILTER";

/// The case that needs a C compiler, which is large.
const BUILD: &str = "scenario_build";
/// Runs the suite, then keeps what doctor says.
const SUITE: &str = "memtrace-live --repeat 1 ${FILTER:+\"$FILTER\"}\n\
                     code=$?\n\
                     memtrace doctor -o json >/out/doctor.json 2>/out/doctor.err\n\
                     exit $code\n";

/// `memtrace` and the live suite, built for the guest. `filter` selects cases by name.
pub fn live(filter: Option<&str>) -> Result<Payload> {
    let names = ["memtrace", "memtrace-live", "memtrace-hog"];
    let paths = musl::executables(&["memtrace", "memtrace-tests"], &names)?;
    let own = paths.into_iter().zip(names);
    let mut files: Vec<_> = own
        .map(|(path, name)| (path, format!("/bin/{name}")))
        .collect();
    let builds = |filter: &str| filter.split(',').any(|part| BUILD.contains(part));
    if filter.is_none_or(builds) {
        files.extend(compiler::files()?);
    }
    let passes = compiler::PASSES;
    let command = format!(
        "if [ -d {passes} ]; then mv {passes} /data/gcc && ln -s /data/gcc {passes}; fi\n\
         {SUITE}"
    );
    Ok(Payload {
        command,
        env: [
            ("MEMTRACE_BIN", "/bin/memtrace"),
            ("MEMTRACE_HOG", "/bin/memtrace-hog"),
            ("PATH", "/bin:/sbin:/usr/bin"),
            ("TMPDIR", "/data"),
            ("RUST_BACKTRACE", "0"),
            (FILTER, filter.unwrap_or_default()),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec(),
        files,
    })
}

/// The check of the guests themselves, without memtrace.
pub fn facts(machines: &Machines) -> Payload {
    Payload {
        command: "guest-facts\n".to_owned(),
        env: Vec::new(),
        files: vec![(
            PathBuf::from(machines.facts()),
            "/bin/guest-facts".to_owned(),
        )],
    }
}

/// Runs a payload on each configuration and prints a line for each as it ends.
///
/// The results are in the order of `configs`. An error means that a guest could not
/// be run at all; a guest that failed is a result.
pub fn run(
    machines: &Machines,
    configs: &[Config],
    payload: &Payload,
    wishes: &Wishes,
) -> Result<Vec<ConfigResult>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..wishes.jobs.max(1) {
            scope.spawn(|| {
                while let Some((index, config)) = take(configs, &next) {
                    let result = one(machines, config, payload, wishes.timeout);
                    let mut results = results
                        .lock()
                        .unwrap_or_else(|poisoned| poisoned.into_inner());
                    results.push((index, result));
                }
            });
        }
    });
    let mut results = results
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn take(configs: &[Config], next: &AtomicUsize) -> Option<(usize, Config)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    configs.get(index).map(|config| (index, *config))
}

fn one(
    machines: &Machines,
    config: Config,
    payload: &Payload,
    timeout: Duration,
) -> Result<ConfigResult> {
    if let Some(why) = machines.gone(config.series) {
        println!("FAILED {config}: {why}");
        return Ok(ConfigResult {
            config,
            kernel: None,
            counts: None,
            failure: Some(why.to_owned()),
            failed: Vec::new(),
            skipped: Vec::new(),
            rungs: Vec::new(),
            took: Duration::ZERO,
        });
    }
    let payload = &for_config(payload, config);
    let run = Run {
        payload,
        parameters: config.parameters(),
        timeout,
        echo: false,
    };
    let outcome = machines
        .run(config, &run)
        .with_context(|| format!("run {config}"))?;
    let counts = closing_line(&outcome.output);
    let result = ConfigResult {
        config,
        kernel: Some(machines.kernel(config.series)?.version.clone()),
        counts,
        failure: failure(outcome.ended, counts),
        failed: marked(&outcome.output, "FAILED "),
        skipped: marked(&outcome.output, "skipped "),
        rungs: doctor::read(&outcome.folder.join("out/doctor.json")),
        took: outcome.took,
    };
    report(&result, &outcome);
    Ok(result)
}

/// A guest that is locked down runs the cases about that, whatever was asked for.
fn for_config(payload: &Payload, config: Config) -> Payload {
    let mut payload = payload.clone();
    if config.locked_down {
        let filter = (payload.env.iter_mut()).find(|(key, _)| key == FILTER);
        if let Some((_, value)) = filter {
            *value = "locked_down".to_owned();
        }
    }
    payload
}

fn report(result: &ConfigResult, outcome: &Outcome) {
    let counts = result.counts.map(|c| c.to_string());
    let counts = counts.unwrap_or_else(|| "no closing line".to_owned());
    let took = result.took.as_secs_f64();
    let config = result.config;
    let kernel = result.kernel.as_deref().unwrap_or("no kernel");
    let mut text = match &result.failure {
        None => format!("ok {config} ({kernel}, {counts}, {took:.1} s)\n"),
        Some(why) => format!("FAILED {config}: {why} ({kernel}, {counts}, {took:.1} s)\n"),
    };
    for case in &result.failed {
        text.push_str(&format!("    FAILED {case}\n"));
    }
    for case in &result.skipped {
        text.push_str(&format!("    skipped {case}\n"));
    }
    if result.failure.is_some() {
        if result.counts.is_none() {
            text.push_str(&outcome.last_lines);
        }
        text.push_str(&format!("    logs: {}\n", outcome.folder.display()));
    }
    print!("{text}");
}

/// What follows a mark at the start of a line.
fn marked(output: &str, mark: &str) -> Vec<String> {
    let lines = output.lines().filter_map(|line| line.strip_prefix(mark));
    lines.map(|rest| rest.trim_end().to_owned()).collect()
}

/// Why a run does not count as passed. A panicking guest makes QEMU exit with 0, and a
/// suite that skipped everything has proved nothing.
fn failure(ended: Ended, counts: Option<Counts>) -> Option<String> {
    match (ended, counts) {
        (Ended::Exit(_), None) => Some(format!("{ended} without a closing line")),
        (Ended::Exit(_), Some(c)) if c.failed > 0 => Some(format!("{} cases failed", c.failed)),
        (Ended::Exit(_), Some(c)) if c.passed == 0 => Some("no case passed".to_owned()),
        (Ended::Exit(0), Some(_)) => None,
        (ended, _) => Some(ended.to_string()),
    }
}

/// The counts of the last line, if it is `N passed, N failed, N skipped`.
fn closing_line(output: &str) -> Option<Counts> {
    let line = output.lines().rfind(|l| !l.trim().is_empty())?;
    let mut counts = line
        .trim()
        .split(", ")
        .zip(["passed", "failed", "skipped"])
        .map(|(part, word)| {
            let number = part.strip_suffix(word)?.strip_suffix(' ')?;
            number.parse().ok()
        });
    let counts = [counts.next()??, counts.next()??, counts.next()??];
    let [passed, failed, skipped] = counts;
    let counts = Counts {
        passed,
        failed,
        skipped,
    };
    (counts.to_string() == line.trim()).then_some(counts)
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_last_line_counts() {
        let counts = Counts {
            passed: 3,
            failed: 0,
            skipped: 12,
        };
        assert_eq!(
            closing_line("ok a\n3 passed, 0 failed, 12 skipped\n\n"),
            Some(counts)
        );
        for broken in [
            "",
            "3 passed, 0 failed",
            "3 passed, 0 failed, 12 skipped, x",
            "3 passed, 0 failed, 12 skipped\nKernel panic",
            "3 failed, 0 passed, 12 skipped",
        ] {
            assert_eq!(closing_line(broken), None, "{broken}");
        }
    }

    #[test]
    fn what_counts_as_passed() {
        let counts = |passed, failed| {
            Some(Counts {
                passed,
                failed,
                skipped: 1,
            })
        };
        assert_eq!(marked("ok a\nFAILED b: c \r\n", "FAILED "), ["b: c"]);
        assert_eq!(failure(Ended::Exit(0), counts(1, 0)), None);
        let bad = [
            (Ended::Exit(0), None),
            (Ended::Exit(0), counts(0, 0)),
            (Ended::Exit(0), counts(1, 1)),
            (Ended::Exit(1), counts(1, 0)),
            (Ended::Died, counts(1, 0)),
            (Ended::TimedOut(Duration::ZERO), counts(1, 0)),
        ];
        for (ended, counts) in bad {
            assert!(failure(ended, counts).is_some(), "{ended}, {counts:?}");
        }
    }
}
