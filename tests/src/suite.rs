//! Which cases there are, running them, and the lines that tell how they went.

use std::{
    panic::AssertUnwindSafe,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;

use crate::{cases, host::Host, leaks::Leaks};

/// How a case ended, if nothing was wrong.
pub enum Outcome {
    /// What was claimed holds; the figures that show it.
    Passed(String),
    /// It cannot be tried here; why.
    Skipped(String),
}

/// One claim about memtrace.
pub struct Case {
    /// Stable name, in snake case.
    pub name: &'static str,
    /// Tries it; an error says what is wrong, with figures.
    pub run: fn(&Host) -> anyhow::Result<Outcome>,
}

/// Runs the live suite.
#[derive(Parser)]
struct Arguments {
    /// Run only cases whose name contains this, or one of these with commas between.
    filter: Option<String>,
    /// Run each case this many times in a row.
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    /// Print the names of the cases, and run none.
    #[arg(long)]
    list: bool,
}

#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
}

/// Runs the cases that the command line asks for. The last line of standard output is
/// `N passed, N failed, N skipped`; the exit code is a failure if a case failed.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let chosen = cases::all().into_iter().filter(|case| {
        arguments.filter.as_ref().is_none_or(|filter| {
            filter
                .split(',')
                .any(|part| !part.is_empty() && case.name.contains(part))
        })
    });
    if arguments.list {
        chosen.for_each(|case| println!("{}", case.name));
        return ExitCode::SUCCESS;
    }
    let host = Host::probe();
    if let Ok(host) = &host {
        println!("# {host}");
    }
    let mut tally = Tally::default();
    for case in chosen {
        for _ in 0..arguments.repeat {
            let start = Instant::now();
            let outcome = match &host {
                Ok(host) => run(&case, host),
                Err(error) => unfit(error),
            };
            let (line, ended) = report(&case, outcome, start.elapsed());
            println!("{line}");
            *match ended {
                Ended::Passed => &mut tally.passed,
                Ended::Failed => &mut tally.failed,
                Ended::Skipped => &mut tally.skipped,
            } += 1;
            if matches!(ended, Ended::Skipped) {
                break;
            }
        }
    }
    println!(
        "{} passed, {} failed, {} skipped",
        tally.passed, tally.failed, tally.skipped
    );
    if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs one case and then looks for what it, or memtrace, left behind.
fn run(case: &Case, host: &Host) -> anyhow::Result<Outcome> {
    let leaks = Leaks::baseline(host);
    host.begin_case();
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| (case.run)(host)))
        .unwrap_or_else(|_| Err(anyhow::anyhow!("the test itself panicked")));
    let left_behind = leaks.find_and_remove(host);
    let outcome = outcome?;
    if left_behind.is_empty() {
        Ok(outcome)
    } else {
        Err(anyhow::anyhow!("left behind: {}", left_behind.join("; ")))
    }
}

/// Without root nothing can be tried, which is no failure; nor without a memtrace that nobody
/// built. But where somebody says which memtrace to test, the machine must be fit for it.
fn unfit(error: &anyhow::Error) -> anyhow::Result<Outcome> {
    if rustix::process::geteuid().is_root() && std::env::var_os("MEMTRACE_BIN").is_some() {
        anyhow::bail!("{error:#}");
    }
    Ok(Outcome::Skipped(format!("{error:#}")))
}

enum Ended {
    Passed,
    Failed,
    Skipped,
}

fn report(case: &Case, outcome: anyhow::Result<Outcome>, took: Duration) -> (String, Ended) {
    let name = case.name;
    let took = took.as_secs_f64();
    match outcome {
        Ok(Outcome::Passed(figures)) => {
            (format!("ok {name} ({took:.1} s: {figures})"), Ended::Passed)
        }
        Ok(Outcome::Skipped(reason)) => (format!("skipped {name}: {reason}"), Ended::Skipped),
        Err(error) => {
            // One line a case: whoever reads the console of a virtual machine reads lines.
            let why = format!("{error:#}").replace('\n', " | ");
            (
                format!("FAILED {name}: {why} (after {took:.1} s)"),
                Ended::Failed,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = cases::all().iter().map(|case| case.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn a_failure_is_one_line() {
        let case = Case {
            name: "a",
            run: |_| Ok(Outcome::Skipped(String::new())),
        };
        let error = Err(anyhow::anyhow!("x\ny").context("z"));
        let (line, ended) = report(&case, error, Duration::from_secs(1));
        assert_eq!(line, "FAILED a: z: x | y (after 1.0 s)");
        assert!(matches!(ended, Ended::Failed));
    }
}
