//! `cargo xtask test`: every test there is, and one line at the end that counts them.

mod deploy;
mod instructions;
mod libtest;
mod live;
mod receiver;
mod tally;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{fs, io};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::ebpf::{self, Checked};
use crate::{process, setup, vm, workspace};
use instructions::Compared;
use tally::Tally;

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Args {
    /// Run only the tests whose names contain this.
    filter: Option<String>,
    /// Run the live suite on the other kernels, too: a part of the ladder of `cargo xtask vm`.
    #[arg(long)]
    ladder: bool,
}

/// The package and the target of the live suite.
const LIVE_PACKAGE: &str = "memtrace-tests";
const LIVE_TARGET: &str = "live";
/// Names the file in which a test that finds it cannot run here says so; see
/// `memtrace_tests::skip`.
const SKIPS_FILE: &str = "MEMTRACE_SKIPS";
/// Names a VictoriaMetrics, which takes OTLP.
const RECEIVER: &str = "MEMTRACE_OTLP_RECEIVER";
/// Names the binary under test.
const BINARY: &str = "MEMTRACE_BIN";

/// Runs the subcommand. What goes wrong on the way counts as a failed test, so that the last line
/// is always the sum.
pub fn run(args: &Args) -> ExitCode {
    let mut total = Tally::default();
    let setup = setup::install();
    if let Err(error) = &setup {
        // The suites do not need the BPF tools; what does is skipped below, with a reason.
        eprintln!("setup: {error:#}");
    }
    let filter = args.filter.as_deref();
    let mut suite = |name: &str, tally: Result<Tally>| {
        let tally = tally.unwrap_or_else(|error| failure(format!("{name}: {error:#}")));
        let chosen = !tally.is_empty();
        total.add(tally);
        chosen
    };
    suite("unit and integration tests", rust_tests(filter));
    suite("documentation tests", doc_tests(filter));
    suite("BPF object", bpf_object(filter));
    suite("deploy", Ok(deploy::suite(filter)));
    suite("instruction counts", instruction_counts(filter));
    // A filter that is meant for other tests selects no case of the suite, here or in a guest.
    if suite("live suite", live_suite(filter)) {
        suite(
            "ladder",
            match args.ladder {
                true => ladder(filter),
                false => Ok(Tally {
                    skipped: vec!["ladder: only with `cargo xtask test --ladder`".to_owned()],
                    ..Tally::default()
                }),
            },
        );
    }

    println!("\n{total}");
    if total.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// All tests under Rust's harness, except in documentation.
fn rust_tests(filter: Option<&str>) -> Result<Tally> {
    let mut command = cargo_test();
    command.args(["--workspace", "--lib", "--bins"]);
    for target in test_targets()?.iter().filter(|name| *name != LIVE_TARGET) {
        command.args(["--test", target]);
    }
    under_harness(command, filter)
}

/// The examples in documentation.
fn doc_tests(filter: Option<&str>) -> Result<Tally> {
    let mut command = cargo_test();
    command.args(["--workspace", "--doc"]);
    under_harness(command, filter)
}

fn under_harness(mut command: Command, filter: Option<&str>) -> Result<Tally> {
    let skips = skips_file()?;
    command.env(SKIPS_FILE, &skips).arg("--").args(filter);
    let mut reader = libtest::Reader::default();
    let succeeded = stream(&mut command, |line| reader.line(line))?;
    let mut tally = reader.finish();
    if !succeeded && tally.failed.is_empty() {
        // It did not build, or a program died before it could say what failed.
        tally.add(failure(process::line(&command)));
    }
    tally.reclassify_as_skipped(read_skips(&skips)?);
    Ok(tally)
}

/// The committed BPF object: up to date, and what a rebuild gives.
fn bpf_object(filter: Option<&str>) -> Result<Tally> {
    let wanted = |name: &str| filter.is_none_or(|filter| name.contains(filter));
    let mut tally = Tally::default();
    let mut report = |name: &str, outcome: Result<Checked>| match outcome {
        Ok(Checked::Rebuilt) => {
            println!("ok {name}");
            tally.passed += 1;
        }
        Ok(Checked::HashesOnly(why)) => tally.skipped.push(format!("{name}: {why}")),
        Err(error) => {
            println!("FAILED {name}: {error:#}");
            tally.failed.push(format!("{name}: {error:#}"));
        }
    };
    let name = "bpf_object::belongs_to_the_sources";
    if wanted(name) {
        report(name, ebpf::check_hashes().map(|()| Checked::Rebuilt));
    }
    let name = "bpf_object::rebuilds_to_the_same_bytes";
    if wanted(name) {
        report(name, ebpf::check_bytes());
    }
    Ok(tally)
}

/// Instructions of the paths that every event passes through.
fn instruction_counts(filter: Option<&str>) -> Result<Tally> {
    let name = "instructions::no_more_than_committed";
    let mut tally = Tally::default();
    if !filter.is_none_or(|filter| name.contains(filter)) {
        return Ok(tally);
    }
    match instructions::compare() {
        Ok(Compared::Within(counts)) => {
            println!("ok {name}: {counts}");
            tally.passed += 1;
        }
        Ok(Compared::Skipped(why)) => tally.skipped.push(format!("{name}: {why}")),
        Err(error) => {
            println!("FAILED {name}: {error:#}");
            tally.failed.push(format!("{name}: {error:#}"));
        }
    }
    Ok(tally)
}

/// The cases that drive the release binary on this kernel.
fn live_suite(filter: Option<&str>) -> Result<Tally> {
    if !test_targets()?.iter().any(|name| name == LIVE_TARGET) {
        return Ok(Tally::default());
    }
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--locked", "--package=memtrace"]);
    process::run(build.current_dir(workspace::root()))?;

    let mut command = cargo_test();
    command
        .args(["--package", LIVE_PACKAGE, "--test", LIVE_TARGET, "--"])
        .args(filter)
        .env(BINARY, workspace::target_dir().join("release/memtrace"));
    // Without it one case is skipped, and says so.
    match receiver::find() {
        Ok(program) => _ = command.env(RECEIVER, program),
        Err(error) => eprintln!("no receiver of OTLP: {error:#}"),
    }
    let mut reader = live::Reader::default();
    let succeeded = stream(&mut command, |line| reader.line(line))?;
    let mut tally = reader.finish();
    if !succeeded && tally.failed.is_empty() {
        tally.add(failure(process::line(&command)));
    }
    Ok(tally)
}

/// The same cases on other kernels, in QEMU.
fn ladder(filter: Option<&str>) -> Result<Tally> {
    let mut tally = Tally::default();
    if let Err(why) = vm::available() {
        println!("skipped ladder: {why}");
        tally.skipped.push(format!("ladder: {why}"));
        return Ok(tally);
    }
    for result in vm::run_in_tests(filter)? {
        let config = result.config;
        let named = |cases: Vec<String>| -> Vec<String> {
            cases
                .iter()
                .map(|case| format!("{config}::{case}"))
                .collect()
        };
        tally.passed += result.counts.map_or(0, |counts| counts.passed as usize);
        tally.skipped.extend(named(result.skipped));
        // A guest that panicked has no case to blame.
        match result.failure {
            Some(why) if result.kernel.is_none() => {
                tally.skipped.push(format!("{config}: {why}"));
            }
            Some(why) if result.failed.is_empty() => {
                tally.failed.push(format!("{config}: {why}"));
            }
            _ => tally.failed.extend(named(result.failed)),
        }
    }
    Ok(tally)
}

fn failure(what: String) -> Tally {
    Tally {
        failed: vec![what],
        ..Tally::default()
    }
}

fn cargo_test() -> Command {
    let mut command = Command::new("cargo");
    command
        .args(["test", "--locked", "--no-fail-fast"])
        .current_dir(workspace::root());
    command
}

/// Runs `command`, showing each line of its stdout as it comes, and to `line` too. Returns whether
/// it succeeded.
fn stream(command: &mut Command, mut line: impl FnMut(&str)) -> Result<bool> {
    let shown = process::line(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let stdout = child.stdout.take().expect("stdout is piped");
    for bytes in BufReader::new(stdout).split(b'\n') {
        let bytes = bytes.with_context(|| format!("cannot read from `{shown}`"))?;
        let text = String::from_utf8_lossy(&bytes);
        println!("{text}");
        line(&text);
    }
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for `{shown}`"))?;
    Ok(status.success())
}

/// The names of the workspace's integration test targets.
fn test_targets() -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        targets: Vec<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        kind: Vec<String>,
    }
    let mut command = Command::new("cargo");
    command.args(["metadata", "--locked", "--no-deps", "--format-version=1"]);
    let json = process::stdout(command.current_dir(workspace::root()))?;
    let metadata: Metadata =
        serde_json::from_str(&json).context("cannot decode `cargo metadata`")?;
    Ok(metadata
        .packages
        .into_iter()
        .flat_map(|package| package.targets)
        .filter(|target| target.kind.iter().any(|kind| kind == "test"))
        .map(|target| target.name)
        .collect())
}

/// An empty file for tests to say in that they were skipped.
fn skips_file() -> Result<PathBuf> {
    let folder = workspace::target_dir().join("xtask");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join("skips");
    fs::write(&path, "").with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn read_skips(path: &Path) -> Result<Vec<String>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("a test removed {}", path.display())
        }
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    Ok(text.lines().map(str::to_owned).collect())
}
