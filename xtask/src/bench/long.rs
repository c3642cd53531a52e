//! `cargo xtask bench long`: one long window of the live suite's mixed load, and its figures.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::case::{self, Case};
use super::windows::{self, Resident, Window};
use crate::workspace;

/// The case of the live suite that prints a line for each reading, and one at the end.
const CASE: &str = "long_window_stays_small";
/// What such lines begin with.
const READING: &str = "# rss ";
const END: &str = "# long ";
/// To boot, to make the files, to print the answer; on a slow machine.
const AROUND: Duration = Duration::from_secs(1200);

/// Arguments of `cargo xtask bench long`.
#[derive(clap::Args)]
pub struct Args {
    /// Length of the window.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// A kernel of the ladder, e.g. 6.12, instead of this machine; may be repeated or separated by
    /// commas.
    #[arg(long, value_delimiter = ',')]
    kernel: Vec<String>,
    /// Takes the figures from what the case has printed (a guest's output.log) instead of running it.
    #[arg(long, value_name = "LOG", conflicts_with_all = ["kernel", "minutes"])]
    from: Option<PathBuf>,
}

/// Runs the load, and puts the figures of these kernels into the document.
pub fn run(args: &Args) -> Result<()> {
    if let Some(log) = &args.from {
        let output = fs::read_to_string(log).with_context(|| format!("read {}", log.display()))?;
        return tell(&output);
    }
    let seconds = args.minutes * 60.0;
    let env = [("MEMTRACE_LONG_SECONDS", seconds.to_string())];
    let case = Case {
        name: CASE,
        env: &env,
        timeout: AROUND + Duration::from_secs_f64(seconds),
    };
    case.run(&args.kernel, |output| tell(&output))
}

fn tell(output: &str) -> Result<()> {
    let readings: Vec<Resident> = case::figures(output, READING)?;
    let ends: Vec<Window> = case::figures(output, END)?;
    ensure!(!ends.is_empty(), "the live suite told of no window");
    let path = workspace::root().join("docs/LONG-WINDOWS.md");
    for end in ends {
        print!("{}", windows::write(&path, &end, &readings)?);
    }
    Ok(())
}
