//! `cargo xtask vm`: Debian's kernels in QEMU.
//!
//! Everything is downloaded from Debian into the user's cache folder and run from
//! there; nothing is installed, and no root or KVM is needed.

mod apt;
mod build;
mod cpio;
mod fetch;
mod guest;
mod image;
mod kernels;
mod ladder;
mod lock;
mod qemu;
mod sources;
mod tools;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use guest::{Machines, Run};
use image::Payload;
use kernels::SERIES;
use ladder::{Cgroup, Config, LADDER, Lru};
use qemu::Ended;

/// Arguments of `cargo xtask vm`.
#[derive(clap::Args)]
pub struct Args {
    /// Kernel series, e.g. 6.12; may be repeated or separated by commas.
    #[arg(long, value_delimiter = ',')]
    kernel: Vec<String>,
    /// All kernels of the ladder.
    #[arg(long, conflicts_with = "kernel")]
    all: bool,
    /// Only this cgroup version (with --run: v2 unless given).
    #[arg(long)]
    cgroup: Option<Cgroup>,
    /// Only this kind of LRU (with --run: classic unless given).
    #[arg(long)]
    lru: Option<Lru>,
    /// Lists the configurations and ends.
    #[arg(long)]
    list: bool,
    /// Takes the newest versions instead of the locked ones, and locks those.
    #[arg(long)]
    update: bool,
    /// Runs this shell command in the guest instead of the suite.
    #[arg(long, value_name = "CMD")]
    run: Option<String>,
    /// Brings a file or folder into the guest; may be repeated.
    #[arg(long, value_name = "HOST:GUEST")]
    add: Vec<String>,
    /// Sets an environment variable in the guest; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// Adds kernel parameters, e.g. lockdown=confidentiality.
    #[arg(long, value_name = "PARAMETERS", default_value = "")]
    append: String,
    /// Limit for one guest, in seconds.
    #[arg(long, default_value_t = 300)]
    timeout: u64,
}

/// Runs `cargo xtask vm`.
pub fn run(args: Args) -> Result<()> {
    let series = selected(&args)?;
    if args.list {
        for config in LADDER.iter().filter(|c| series.contains(&c.series)) {
            println!("{config}");
        }
        return Ok(());
    }
    let Some(command) = &args.run else {
        bail!("the suite is not there yet; use --run");
    };
    run_command(&args, &series, command)
}

/// Runs a shell command on one configuration of each series.
fn run_command(args: &Args, series: &[&'static str], command: &str) -> Result<()> {
    let machines = Machines::fetch(series, args.update)?;
    let payload = Payload {
        command: command.to_owned(),
        env: args
            .env
            .iter()
            .map(|e| pair(e, '='))
            .collect::<Result<_>>()?,
        files: args
            .add
            .iter()
            .map(|a| pair(a, ':').map(|(host, guest)| (PathBuf::from(host), guest)))
            .collect::<Result<_>>()?,
    };
    let mut failed = Vec::new();
    for series in series {
        let config = Config {
            series,
            cgroup: args.cgroup.unwrap_or(Cgroup::V2),
            lru: args.lru.unwrap_or(Lru::Classic),
        };
        let kernel = machines.kernel(series)?;
        eprintln!("vm: {config} ({})", kernel.version);
        let run = Run {
            payload: &payload,
            parameters: &args.append,
            timeout: Duration::from_secs(args.timeout),
            echo: true,
        };
        let outcome = machines.run(config, &run)?;
        let took = outcome.took.as_secs_f64();
        let folder = outcome.folder.display();
        eprintln!(
            "vm: {config}: {} after {took:.1} s; logs and out/ in {folder}",
            outcome.ended
        );
        if outcome.ended != Ended::Exit(0) {
            if !matches!(outcome.ended, Ended::Exit(_)) {
                eprint!("{}", outcome.last_lines);
            }
            failed.push(format!("{config}: {}", outcome.ended));
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(())
}

/// The series named on the command line, oldest first.
fn selected(args: &Args) -> Result<Vec<&'static str>> {
    for name in &args.kernel {
        let known = SERIES.iter().any(|s| s.name == name);
        ensure!(
            known,
            "no kernel series {name}; there are {}",
            names().join(", ")
        );
    }
    ensure!(
        args.all || args.list || !args.kernel.is_empty(),
        "name a kernel, or --all; there are {}",
        names().join(", ")
    );
    let all = args.kernel.is_empty();
    Ok(names()
        .into_iter()
        .filter(|n| all || args.kernel.iter().any(|k| k == n))
        .collect())
}

fn names() -> Vec<&'static str> {
    SERIES.iter().map(|s| s.name).collect()
}

fn pair(text: &str, separator: char) -> Result<(String, String)> {
    let (left, right) = text
        .split_once(separator)
        .with_context(|| format!("expected LEFT{separator}RIGHT, found {text}"))?;
    Ok((left.to_owned(), right.to_owned()))
}
