//! `cargo xtask bench risk`: the backtest of risks and alerts, docs/BACKTEST.md.

mod document;
mod library;
mod plot;
mod prometheus;
mod record;
mod recording;
mod replay;
mod rules;
mod score;
mod workload;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use self::{
    document::Measured,
    library::Library,
    prometheus::Prometheus,
    replay::{Extent, SCRAPES_S},
    rules::{Rule, Severity},
    score::{Fired, Score},
    workload::{Set, Workload},
};
use crate::{process, workspace};

/// Arguments of `cargo xtask bench risk`.
#[derive(clap::Args)]
pub struct Args {
    /// Record the workloads anew instead (as root, some 25 minutes), all or those named.
    #[arg(long, value_name = "WORKLOAD", num_args = 0.., value_delimiter = ',')]
    record: Option<Vec<String>>,
    /// Days to live, half of them of the tuning workloads.
    #[arg(long, default_value_t = 1_000)]
    node_days: usize,
    /// Services on each node.
    #[arg(long, default_value_t = 2)]
    services: usize,
    /// Look at the tuning workloads alone, and write no document.
    #[arg(long)]
    tuning: bool,
}

/// Runs it.
pub fn run(args: &Args) -> Result<()> {
    if let Some(names) = &args.record {
        return record::run(names);
    }
    if cfg!(debug_assertions) {
        return in_release(args);
    }
    for program in ["prometheus", "promtool"] {
        ensure!(
            process::find(program, &[]).is_some(),
            "no {program} here: run `cargo xtask setup`"
        );
    }
    let library = Library::open()?;
    let shipped = rules::shipped()?;
    let sets: &[Set] = match args.tuning {
        true => &[Set::Tuning],
        false => &[Set::Tuning, Set::HeldOut],
    };
    let extent = Extent {
        node_days: args.node_days.div_ceil(2),
        services: args.services,
    };
    let mut measured = Vec::new();
    for set in sets {
        measured.push(measure(*set, extent, &library, &shipped)?);
    }
    let page = document::page(&library, &measured, &shipped);
    if args.tuning {
        print!("{page}");
        return Ok(());
    }
    let docs = workspace::root().join("docs");
    let write = |name: &str, text: &str| {
        let path = docs.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    write("BACKTEST.md", &page)?;
    let lines: Vec<_> = ["tuning", "held out"]
        .into_iter()
        .zip(measured.iter().map(|one| &one.replayed.calibration))
        .collect();
    plot::draw(&docs.join("backtest-calibration.svg"), &lines)
}

/// A day of a node is some hundred thousand looks: without optimisation, hours.
fn in_release(args: &Args) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut run = Command::new(cargo);
    run.args([
        "run",
        "--quiet",
        "--release",
        "-p",
        "xtask",
        "--",
        "bench",
        "risk",
    ]);
    run.arg(format!("--node-days={}", args.node_days));
    run.arg(format!("--services={}", args.services));
    if args.tuning {
        run.arg("--tuning");
    }
    process::run(run.current_dir(workspace::root()))
}

/// Lives the days of a set, and asks Prometheus what would have fired.
fn measure(set: Set, extent: Extent, library: &Library, shipped: &[Rule]) -> Result<Measured> {
    let folder = tempfile::Builder::new()
        .prefix("memtrace-bench-")
        .tempdir_in(workspace::target_dir())
        .context("make a folder in the target folder")?;
    let texts = SCRAPES_S.map(|every| folder.path().join(format!("{every}.om")));
    let wanted: Vec<&str> = rules::families(shipped).into_iter().collect();
    eprintln!("{set:?}: {extent:?}");
    let replayed = replay::run(
        set,
        extent,
        library,
        &wanted,
        texts.each_ref().map(|text| &**text),
    )?;
    eprintln!("{set:?}: lived in {:.0} s", replayed.seconds);
    let workloads: Vec<&Workload> = library.all().iter().map(|(workload, _)| workload).collect();
    let mut measured = Measured {
        set,
        replayed,
        shipped: Vec::new(),
        baselines: Vec::new(),
    };
    for (text, every) in texts.iter().zip(SCRAPES_S) {
        let data = folder.path().join(every.to_string());
        fs::create_dir(&data).with_context(|| format!("make {}", data.display()))?;
        let (own, baselines) = ask(text, &data, every, shipped, &measured, &workloads)?;
        measured.shipped.push(own);
        measured.baselines.push(baselines);
        eprintln!("{set:?}: Prometheus answered for scrapes each {every} s");
    }
    Ok(measured)
}

type Answers = ([Score; 2], Vec<(Rule, Score)>);

fn ask(
    text: &Path,
    data: &Path,
    every: u32,
    shipped: &[Rule],
    measured: &Measured,
    workloads: &[&Workload],
) -> Result<Answers> {
    let prometheus = Prometheus::start(text, data)?;
    let kills = &measured.replayed.kills;
    let mut fired = Vec::new();
    for rule in shipped {
        let episodes = prometheus.episodes(rule, every)?;
        fired.push(Fired { rule, episodes });
    }
    let of = |severity| {
        let wanted = |fired: &&Fired<'_>| fired.rule.severity == severity;
        let fired: Vec<_> = fired.iter().filter(wanted).collect();
        score::score(&fired, kills, workloads, |_| true)
    };
    let own = [of(Severity::Page), of(Severity::Automation)];
    let quiet = &measured.replayed.baseline_nodes;
    let mut baselines = Vec::new();
    for rule in rules::baselines() {
        let episodes = prometheus.episodes(&rule, every)?;
        let fired = Fired {
            rule: &rule,
            episodes,
        };
        let looked_at = |node: usize| quiet.contains(&node);
        let score = score::score(&[&fired], kills, workloads, looked_at);
        baselines.push((rule, score));
    }
    Ok((own, baselines))
}
