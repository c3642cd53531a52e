//! `cargo xtask bench oom`: the live suite's growing herds, many of them, counted.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::accuracy::{self, Kill};
use crate::{process, vm, workspace};

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
    let tell = |output: String| tell(&output, args.kills);
    if args.kernel.is_empty() {
        return tell(on_this_machine(&env)?);
    }
    let timeout = Duration::from_secs(args.timeout);
    // Kernel by kernel: what is measured is written, whatever becomes of the next.
    vm::run_case(&args.kernel, CASE, &env, timeout, tell)
}

fn tell(output: &str, wanted: u64) -> Result<()> {
    let kills = kills(output)?;
    ensure!(!kills.is_empty(), "the live suite told of no kill");
    if (kills.len() as u64) < wanted {
        // What was measured counts; the document says how much it is.
        eprintln!("bench: {} kills instead of {wanted}", kills.len());
    }
    let path = workspace::root().join("docs/OOM-ACCURACY.md");
    print!("{}", accuracy::write(&path, &kills)?);
    Ok(())
}

fn kills(output: &str) -> Result<Vec<Kill>> {
    let lines = output
        .lines()
        .filter_map(|line| line.trim_end().strip_prefix(MARK));
    lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("read {line}")))
        .collect()
}

fn on_this_machine(env: &[(&str, String)]) -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--bins"]);
    build.args(["-p", "memtrace", "-p", "memtrace-tests"]);
    process::run(build.current_dir(workspace::root()))?;
    let folder = workspace::target_dir().join("release");
    let mut suite = Command::new(folder.join("memtrace-live"));
    suite
        .arg(CASE)
        .env("MEMTRACE_BIN", folder.join("memtrace"))
        .envs(env.iter().map(|(key, value)| (key, value)))
        .stdout(Stdio::piped());
    let mut child = suite
        .spawn()
        .with_context(|| format!("start {}", process::line(&suite)))?;
    let out = child.stdout.take().context("no pipe from the suite")?;
    let mut output = String::new();
    let mut kills = 0;
    for line in BufReader::new(out).lines() {
        let line = line.context("read what the suite prints")?;
        if line.starts_with(MARK) {
            kills += 1;
            eprintln!("bench: {kills} kills");
        } else {
            eprintln!("{line}");
        }
        output.push_str(&line);
        output.push('\n');
    }
    // A case that failed has told what it measured all the same.
    child.wait().context("wait for the suite")?;
    Ok(output)
}
