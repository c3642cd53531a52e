//! `cargo xtask bench cost`: what memtrace costs, beside its peers, in docs/COST.md.
//!
//! Every figure compares runs that alternate on one machine within the same minute. What is measured
//! is kept part by part in `target/bench/cost.json`; the document is written from that, and a part
//! that is measured again replaces itself only.

mod conditions;
mod document;
mod hooks;
mod node;
mod oom;
mod peers;
mod rounds;
mod scan;
mod slowdown;
mod stream;
mod tracer;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use memtrace_tests::cgroup::Hierarchy;
use serde::{Deserialize, Serialize};

use self::conditions::{Conditions, Watch};
use crate::{process, workspace};

/// Arguments of `cargo xtask bench cost`.
#[derive(clap::Args)]
pub struct Args {
    /// Measure these parts only; may be repeated or separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    part: Vec<Part>,
    /// How many times each run is repeated; the figures are medians.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measure memtrace and memtrace-hog of this folder, not of a build of this checkout.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

/// What is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// C1: each hook against an empty program, by bpf_stats.
    Hooks,
    /// C1: second reads slowed, on one core and on two.
    SecondRead,
    /// C2 and C6: second reads on every core, for a minute.
    Stream,
    /// C3: a page-fault storm, reclaim at a limit, a build.
    Work,
    /// C4: 10,000 processes scanned.
    Scan,
    /// C5: an idle node with up to 3,000 cgroups.
    Node,
    /// C6: an OOM storm.
    Oom,
}

/// One line of the issue, and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claim {
    /// `C1` to `C6`.
    id: String,
    /// What is asked.
    asked: String,
    /// What was measured.
    measured: String,
    /// Whether it holds; `None` where it could not be measured.
    holds: Option<bool>,
}

/// What a part found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Found {
    /// Title of its chapter.
    title: String,
    /// What was run.
    workload: String,
    claims: Vec<Claim>,
    /// Rows of a table, its head first.
    table: Vec<Vec<String>>,
    /// What the reader must know of the figures.
    notes: Vec<String>,
}

/// A part as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    part: String,
    conditions: Conditions,
    found: Found,
}

/// What every part works with.
struct Bench {
    rounds: u32,
    memtrace: PathBuf,
    hog: PathBuf,
    /// For files, gone at the end.
    folder: PathBuf,
    hierarchy: Hierarchy,
    peers: peers::Peers,
}

/// Measures, and writes docs/COST.md.
pub fn run(args: &Args) -> Result<()> {
    let release = match &args.programs {
        // A workload may run elsewhere.
        Some(folder) => fs::canonicalize(folder)
            .with_context(|| format!("look at --programs {}", folder.display()))?,
        None => build()?,
    };
    let folder = workspace::target_dir().join(format!("bench/files-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let folder = Folder(folder);
    let bench = Bench {
        rounds: args.rounds,
        memtrace: release.join("memtrace"),
        hog: release.join("memtrace-hog"),
        folder: folder.0.clone(),
        hierarchy: Hierarchy::find()?,
        peers: peers::Peers::find()?,
    };
    let parts = match args.part.is_empty() {
        true => Part::value_variants(),
        false => &args.part,
    };
    let store = workspace::target_dir().join("bench/cost.json");
    let mut kept = read(&store)?;
    for part in parts {
        let name = part
            .to_possible_value()
            .map(|value| value.get_name().to_owned())
            .context("a part without a name")?;
        eprintln!("bench: {name}");
        let watch = Watch::begin()?;
        let found = part
            .measure(&bench)
            .with_context(|| format!("measuring {name}"))?;
        let conditions = watch.end(&bench)?;
        document::tell(&found);
        kept.retain(|other| other.part != name);
        kept.push(Kept {
            part: name,
            conditions,
            found,
        });
        // Part by part: what is measured stays, whatever becomes of the next.
        write(&store, &kept)?;
        document::write(&workspace::root().join("docs/COST.md"), &in_order(&kept))?;
    }
    Ok(())
}

impl Part {
    fn measure(self, bench: &Bench) -> Result<Found> {
        match self {
            Self::Hooks => hooks::measure(bench),
            Self::SecondRead => slowdown::second_read(bench),
            Self::Stream => stream::measure(bench),
            Self::Work => slowdown::work(bench),
            Self::Scan => scan::measure(bench),
            Self::Node => node::measure(bench),
            Self::Oom => oom::measure(bench),
        }
    }
}

fn in_order(kept: &[Kept]) -> Vec<&Kept> {
    let names = Part::value_variants().iter();
    names
        .filter_map(|part| part.to_possible_value())
        .filter_map(|value| kept.iter().find(|kept| kept.part == value.get_name()))
        .collect()
}

/// A folder that goes with this.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("bench: removing {}: {error}", self.0.display());
        }
    }
}

fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--locked", "--bins"]);
    build.args(["-p", "memtrace", "-p", "memtrace-tests"]);
    process::run(build.current_dir(workspace::root()))?;
    Ok(workspace::target_dir().join("release"))
}

fn read(path: &Path) -> Result<Vec<Kept>> {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text)
            .with_context(|| format!("read {}; remove it to begin anew", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

fn write(path: &Path, kept: &[Kept]) -> Result<()> {
    let text = serde_json::to_string_pretty(kept)?;
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
