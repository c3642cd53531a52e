//! `cargo xtask bench oom`: the live suite's growing herds, many of them, counted.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::accuracy::{self, Kill};
use super::case::{self, Case};
use crate::workspace;

/// The case of the live suite that prints a line for each kill.
const CASE: &str = "oom_growing_herds_foretold";
/// What such a line begins with.
const MARK: &str = "# kill ";

/// Arguments of `cargo xtask bench oom`.
#[derive(clap::Args)]
pub struct Args {
    /// Kills on each kernel.
    #[arg(long, default_value_t = 100)]
    kills: u64,
    /// Seed of the first herd; each next one has the next number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A kernel of the ladder, e.g. 6.12, instead of this machine; may be repeated or separated by
    /// commas.
    #[arg(long, value_delimiter = ',')]
    kernel: Vec<String>,
    /// Limit for one guest, in seconds.
    #[arg(long, default_value_t = 3600)]
    timeout: u64,
}

/// Runs the herds, and puts the rows of these kernels into the document.
pub fn run(args: &Args) -> Result<()> {
    let env = [
        ("MEMTRACE_OOM_KILLS", args.kills.to_string()),
        ("MEMTRACE_OOM_SEED", args.seed.to_string()),
    ];
    let case = Case {
        name: CASE,
        env: &env,
        timeout: Duration::from_secs(args.timeout),
    };
    case.run(&args.kernel, |output| tell(&output, args.kills))
}

fn tell(output: &str, wanted: u64) -> Result<()> {
    let kills: Vec<Kill> = case::figures(output, MARK)?;
    ensure!(!kills.is_empty(), "the live suite told of no kill");
    if (kills.len() as u64) < wanted {
        // What was measured counts; the document says how much it is.
        eprintln!("bench: {} kills instead of {wanted}", kills.len());
    }
    let path = workspace::root().join("docs/OOM-ACCURACY.md");
    print!("{}", accuracy::write(&path, &kills)?);
    Ok(())
}
