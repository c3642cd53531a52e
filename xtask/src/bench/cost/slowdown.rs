//! C1 and C3: how much longer work takes beside a tracer.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::cgroup::TestCgroup;
use memtrace_tests::process::{Running, join};
use serde_json::Value;

use super::rounds::{Series, alternate};
use super::tracer::{self, Tracer};
use super::{Bench, Claim, Found};
use crate::{process, workspace};

/// Size of the file that is read twice.
const MIB: &str = "256";
/// What second reads may be slowed by, in percent.
const MOST_SECOND_READ: f64 = 6.0;
/// And beside bpftrace's counting.
const MOST_OF_BPFTRACE: f64 = 0.5;
/// What other work may be slowed by, in percent.
const MOST_WORK: f64 = 1.0;
/// How long a run repeats its work, seconds: its figure is the fastest pass, since whatever else the
/// machine does can only add to one.
const RUN_SECONDS: &str = "3";
/// How often a run builds.
const BUILDS: usize = 2;
/// Limit of the cgroup that is short of memory, and what is read in it.
const LIMIT_BYTES: u64 = 64 << 20;

const TRACERS: [Tracer; 4] = [
    Tracer::Off,
    Tracer::Memtrace,
    Tracer::BpftraceCount,
    Tracer::BpftracePrint,
];

/// Second reads on one core, and on two.
pub(super) fn second_read(bench: &Bench) -> Result<Found> {
    let tracers: Vec<_> = TRACERS
        .into_iter()
        .filter(|tracer| tracer.is_there(bench))
        .collect();
    let mut found = Found {
        title: "Second reads".to_owned(),
        workload: format!(
            "A file of {MIB} MiB is written by pages of 4 KiB and read twice by pages; timed is the second \
             pass, which activates every page. That is repeated for {RUN_SECONDS} s, and the fastest pass is a \
             run's figure. On two cores each has a file of its own; the figure is the mean of both."
        ),
        table: vec![head(&["cores", "beside", "ns a page", "slowed, %"])],
        ..Found::default()
    };
    for cores in [1, 2] {
        let series = alternate(bench.rounds, &tracers, |tracer| {
            beside(bench, *tracer, |cgroup| {
                second_pass_ns(bench, cgroup, cores)
            })
        })?;
        for (tracer, own) in tracers.iter().zip(&series) {
            found.table.push(vec![
                cores.to_string(),
                tracer.name().to_owned(),
                own.spread(1),
                own.percent_above(&series[0]).spread(1),
            ]);
        }
        let slowed = |wanted| -> Option<Series> {
            let place = tracers.iter().position(|tracer| *tracer == wanted)?;
            Some(series[place].percent_above(&series[0]))
        };
        let own = slowed(Tracer::Memtrace).context("memtrace did not run")?;
        found.claims.push(Claim {
            id: "C1".to_owned(),
            asked: format!(
                "second reads on {cores} core(s) slowed by at most {MOST_SECOND_READ} %"
            ),
            measured: format!("{} %", own.spread(1)),
            holds: Some(own.median() <= MOST_SECOND_READ),
        });
        let peer = slowed(Tracer::BpftraceCount);
        found.claims.push(Claim {
            id: "C1".to_owned(),
            asked: format!(
                "second reads on {cores} core(s) slowed by at most half of what bpftrace's count() costs"
            ),
            measured: match &peer {
                Some(peer) => format!("{:.1} % against {} %", own.median(), peer.spread(1)),
                None => "no bpftrace here".to_owned(),
            },
            holds: peer.map(|peer| own.median() <= MOST_OF_BPFTRACE * peer.median()),
        });
    }
    Ok(found)
}

/// A page-fault storm, reclaim at a limit, a build.
pub(super) fn work(bench: &Bench) -> Result<Found> {
    type Work = fn(&Bench, &TestCgroup) -> Result<f64>;
    let kinds: [(&str, &str, Work); 3] = [
        (
            "page faults",
            "100 times: fork and exec of /bin/true, 4 MiB mapped and touched; the fastest pass of 3 s",
            faults,
        ),
        (
            "reclaim",
            "a sparse file of 512 MiB read in a cgroup limited to 64 MiB, so that pages come and go as fast \
             as the kernel can do it; the fastest pass of 3 s",
            reclaim,
        ),
        (
            "a build",
            "`cargo build --release -p serde_json`, offline, from nothing; the faster of two",
            build,
        ),
    ];
    let tracers = [Tracer::Off, Tracer::Memtrace];
    let mut found = Found {
        title: "Other work".to_owned(),
        workload: kinds
            .map(|(name, what, _)| format!("*{name}*: {what}."))
            .join(" "),
        table: vec![head(&["work", "beside", "seconds", "slowed, %"])],
        ..Found::default()
    };
    for (name, _, run) in kinds {
        let series = alternate(bench.rounds, &tracers, |tracer| {
            beside(bench, *tracer, |cgroup| run(bench, cgroup))
        })?;
        let slowed = series[1].percent_above(&series[0]);
        for (tracer, own) in tracers.iter().zip(&series) {
            found.table.push(vec![
                name.to_owned(),
                tracer.name().to_owned(),
                own.spread(2),
                own.percent_above(&series[0]).spread(1),
            ]);
        }
        found.claims.push(Claim {
            id: "C3".to_owned(),
            asked: format!("{name} slowed by at most {MOST_WORK} %"),
            measured: format!("{} %", slowed.spread(1)),
            holds: Some(slowed.median() <= MOST_WORK),
        });
    }
    Ok(found)
}

fn head(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

/// Works in a cgroup of its own, which the tracer looks at.
fn beside(
    bench: &Bench,
    tracer: Tracer,
    work: impl FnOnce(&TestCgroup) -> Result<f64>,
) -> Result<f64> {
    let cgroup = TestCgroup::create(&bench.hierarchy)?;
    let running = tracer.start(bench, &cgroup.path)?;
    let figure = work(&cgroup)?;
    if let Some(running) = running {
        tracer::stop(running)?;
    }
    Ok(figure)
}

/// What a page of the second pass takes, ns, with a reader on each of the first `cores`.
fn second_pass_ns(bench: &Bench, cgroup: &TestCgroup, cores: usize) -> Result<f64> {
    let mut readers = Vec::new();
    for core in 0..cores {
        let mut command = Command::new(&bench.hog);
        command
            .arg("second-read")
            .arg(bench.folder.join(format!("second-read-{core}")))
            .args([MIB, "--cpu", &core.to_string(), "--seconds", RUN_SECONDS]);
        join(&mut command, cgroup)?;
        readers.push(Running::start(&mut command)?);
    }
    let mut total_ns = 0.0;
    for reader in readers {
        let said = said(reader)?;
        total_ns += number(&said, "fastest_seconds")? * 1e9 / number(&said, "pages_a_pass")?;
    }
    Ok(total_ns / cores as f64)
}

fn faults(bench: &Bench, cgroup: &TestCgroup) -> Result<f64> {
    let mut command = Command::new(&bench.hog);
    command.args(["faults", "100", "--seconds", RUN_SECONDS]);
    join(&mut command, cgroup)?;
    number(&said(Running::start(&mut command)?)?, "fastest_seconds")
}

fn reclaim(bench: &Bench, cgroup: &TestCgroup) -> Result<f64> {
    cgroup.set_limit(LIMIT_BYTES)?;
    let mut command = Command::new(&bench.hog);
    command
        .arg("holes")
        .arg(bench.folder.join("holes"))
        .args(["512", "--seconds", RUN_SECONDS]);
    join(&mut command, cgroup)?;
    number(&said(Running::start(&mut command)?)?, "fastest_seconds")
}

fn build(bench: &Bench, cgroup: &TestCgroup) -> Result<f64> {
    let target = bench.folder.join("build");
    let mut fastest = f64::INFINITY;
    for _ in 0..BUILDS {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(["build", "--quiet", "--release", "--locked", "--offline"])
            .args(["-p", "serde_json", "--target-dir"])
            .arg(&target)
            .current_dir(workspace::root());
        join(&mut command, cgroup)?;
        let start = Instant::now();
        process::run(&mut command)?;
        fastest = fastest.min(start.elapsed().as_secs_f64());
        std::fs::remove_dir_all(&target).with_context(|| format!("remove {}", target.display()))?;
    }
    Ok(fastest)
}

/// The line of JSON with which a workload ends.
pub(super) fn said(running: Running) -> Result<Value> {
    let finished = running.wait()?;
    ensure!(finished.status.success(), "{finished:?}");
    let text = String::from_utf8_lossy(&finished.stdout);
    let line = text.lines().last().context("the workload says nothing")?;
    serde_json::from_str(line).with_context(|| format!("read {line}"))
}

pub(super) fn number(said: &Value, key: &str) -> Result<f64> {
    said[key]
        .as_f64()
        .with_context(|| format!("no {key} in {said}"))
}
