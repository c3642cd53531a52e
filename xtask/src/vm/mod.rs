//! `cargo xtask vm`: Debian's kernels in QEMU.
//!
//! Everything is downloaded from Debian into the user's cache folder and run from
//! there; nothing is installed, and no root or KVM is needed.

pub(crate) mod apt;
mod compiler;
mod cpio;
mod doctor;
pub(crate) mod fetch;
mod guest;
mod image;
mod kernels;
mod ladder;
mod lock;
mod qemu;
mod report;
mod sources;
mod suite;
mod tools;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use guest::{Downloads, Machines, Run};
use image::Payload;
use kernels::SERIES;
use ladder::{Cgroup, Config, LADDER, Lru};
use qemu::Ended;
use suite::Wishes;

use crate::workspace;

pub use suite::ConfigResult;

/// Guests that run at a time unless told otherwise: a guest has two CPUs, but waits as often as it
/// works.
const JOBS: usize = 2;
/// Limit for one guest unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(1500);

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
    /// Checks the guests themselves instead of memtrace.
    #[arg(long, conflicts_with = "run")]
    facts: bool,
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
    #[arg(long, default_value_t = TIMEOUT.as_secs())]
    timeout: u64,
    /// Guests at a time.
    #[arg(long, default_value_t = JOBS)]
    jobs: usize,
    /// Only cases whose name contains this.
    #[arg(last = true)]
    filter: Option<String>,
}

/// Runs `cargo xtask vm`.
pub fn run(args: Args) -> Result<()> {
    let series = selected(&args)?;
    if let Some(command) = &args.run {
        return run_command(&args, &series, command);
    }
    let wanted = |c: &Config| {
        series.contains(&c.series)
            && args.cgroup.is_none_or(|cgroup| cgroup == c.cgroup)
            && args.lru.is_none_or(|lru| lru == c.lru)
    };
    let configs: Vec<Config> = LADDER.into_iter().filter(wanted).collect();
    if args.list {
        configs.iter().for_each(|config| println!("{config}"));
        return Ok(());
    }
    ensure!(
        !configs.is_empty(),
        "the ladder has no such configuration; see --list"
    );
    let started = Instant::now();
    let machines = Machines::build(Downloads::fetch(&series, args.update)?)?;
    let wishes = Wishes {
        timeout: Duration::from_secs(args.timeout),
        jobs: args.jobs,
    };
    let results = if args.facts {
        suite::run(&machines, &configs, &suite::facts(&machines), &wishes)?
    } else {
        run_suite(&machines, &configs, args.filter.as_deref(), &wishes)?
    };
    let failed = results.iter().filter(|r| r.failure.is_some()).count();
    let took = started.elapsed().as_secs();
    println!(
        "{} configurations passed, {failed} failed, in {took} s",
        results.len() - failed
    );
    ensure!(
        failed == 0,
        "{failed} of {} configurations failed",
        results.len()
    );
    Ok(())
}

/// Runs the live suite on the part of the ladder that `cargo xtask test` includes, after saying
/// which that is. `filter` selects cases by name.
///
/// A configuration that failed is a result with its `failure`; an error means that the
/// ladder could not be run.
pub fn run_in_tests(filter: Option<&str>) -> Result<Vec<ConfigResult>> {
    let configs: Vec<Config> = LADDER.into_iter().filter(ladder::in_tests).collect();
    let chosen: Vec<String> = configs.iter().map(ToString::to_string).collect();
    println!(
        "ladder: {} of its {} configurations: {}; `cargo xtask vm --all` runs all",
        chosen.len(),
        LADDER.len(),
        chosen.join(", ")
    );
    let machines = Machines::build(Downloads::fetch(&series_of(&configs), false)?)?;
    let wishes = Wishes {
        timeout: TIMEOUT,
        jobs: JOBS,
    };
    run_suite(&machines, &configs, filter, &wishes)
}

fn run_suite(
    machines: &Machines,
    configs: &[Config],
    filter: Option<&str>,
    wishes: &Wishes,
) -> Result<Vec<ConfigResult>> {
    let results = suite::run(machines, configs, &suite::live(filter)?, wishes)?;
    if filter.is_none() && configs.len() == LADDER.len() {
        report::write(&workspace::root().join("docs/KERNELS.md"), &results)?;
    }
    Ok(results)
}

/// Runs one case of the live suite, with environment variables, on one configuration of each series;
/// what each printed, whether the case passed or not.
pub fn run_case(
    kernels: &[String],
    case: &str,
    env: &[(&str, String)],
    timeout: Duration,
    mut done: impl FnMut(String) -> Result<()>,
) -> Result<()> {
    let mut payload = suite::live(Some(case))?;
    let more = env
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()));
    payload.env.extend(more);
    let series = known(kernels)?;
    let machines = Machines::build(Downloads::fetch(&series, false)?)?;
    for series in series {
        let config = Config {
            series,
            cgroup: Cgroup::V2,
            lru: Lru::Classic,
            locked_down: false,
        };
        let run = Run {
            payload: &payload,
            parameters: config.parameters(),
            timeout,
            echo: true,
        };
        let outcome = machines.run(config, &run)?;
        eprintln!(
            "vm: {config}: {} after {:.0} s",
            outcome.ended,
            outcome.took.as_secs_f64()
        );
        done(outcome.output)?;
    }
    Ok(())
}

/// Whether the ladder can run here; the error says what is missing.
///
/// Everything that is not in the cache yet is downloaded, so that a later failure is
/// not one of the network.
pub fn available() -> Result<(), String> {
    if !cfg!(target_arch = "x86_64") {
        return Err("the ladder's QEMU and kernels are for x86-64 machines".to_owned());
    }
    let configs: Vec<Config> = LADDER.into_iter().filter(ladder::in_tests).collect();
    Downloads::fetch(&series_of(&configs), false)
        .map(drop)
        .map_err(|e| format!("{e:#}"))
}

/// Runs a shell command on one configuration of each series.
fn run_command(args: &Args, series: &[&'static str], command: &str) -> Result<()> {
    let machines = Machines::build(Downloads::fetch(series, args.update)?)?;
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
            locked_down: false,
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
    let named = known(&args.kernel)?;
    ensure!(
        args.all || args.list || !args.kernel.is_empty(),
        "name a kernel, or --all; there are {}",
        names().join(", ")
    );
    Ok(match named.is_empty() {
        true => names(),
        false => named,
    })
}

/// The series of these names, oldest first.
fn known(kernels: &[String]) -> Result<Vec<&'static str>> {
    for name in kernels {
        ensure!(
            names().contains(&name.as_str()),
            "no kernel series {name}; there are {}",
            names().join(", ")
        );
    }
    let named = |name: &&str| kernels.iter().any(|kernel| kernel == name);
    Ok(names().into_iter().filter(named).collect())
}

fn series_of(configs: &[Config]) -> Vec<&'static str> {
    let wanted = |name: &&str| configs.iter().any(|config| config.series == *name);
    names().into_iter().filter(wanted).collect()
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
