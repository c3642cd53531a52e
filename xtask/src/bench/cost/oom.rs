//! The half of C6 that is of OOM kills, and what a storm of them costs.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::cgroup::TestCgroup;
use memtrace_tests::process::{Running, join};
use serde_json::Value;

use super::rounds::Series;
use super::slowdown::said;
use super::tracer::{Usage, stop, wait_for_hooks};
use super::{Bench, Claim, Found};

const KILLS: &str = "200";
const LIMIT_BYTES: u64 = 32 << 20;
const MOST_MS: f64 = 5.0;

pub(super) fn measure(bench: &Bench) -> Result<Found> {
    let cgroup = TestCgroup::create(&bench.hierarchy)?;
    cgroup.set_limit(LIMIT_BYTES)?;
    let mut command = Command::new(&bench.memtrace);
    command
        .args(["oom", "watch", "-o", "json"])
        .arg(&cgroup.path);
    let watch = Running::start(&mut command)?;
    wait_for_hooks(watch.pid())?;
    let usage = Usage::begin(watch.pid())?;
    let mut storm = Command::new(&bench.hog);
    storm.args(["storm", KILLS, "1048576"]);
    join(&mut storm, &cgroup)?;
    let killed = said(Running::start(&mut storm)?)?;
    let killed = killed["killed"].as_array().context("no kills")?.len();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let cpu_percent = usage.percent_of_core(watch.pid())?;
    let finished = stop(watch)?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    let mut delays = Series::default();
    let mut sorted = Vec::new();
    for line in String::from_utf8_lossy(&finished.stdout).lines() {
        let kill: Value = serde_json::from_str(line).with_context(|| format!("read {line}"))?;
        if let Some(seconds) = kill["delivered_after_seconds"].as_f64() {
            delays.push(seconds * 1e3);
            sorted.push(seconds * 1e3);
        }
    }
    sorted.sort_by(f64::total_cmp);
    let p99 = sorted
        .get((sorted.len() * 99).div_ceil(100).saturating_sub(1))
        .copied();
    Ok(Found {
        title: "An OOM storm".to_owned(),
        workload: format!(
            "{killed} children, one after the other, each outgrow a cgroup of 32 MiB and are killed; beside \
             `memtrace oom watch`."
        ),
        claims: vec![Claim {
            id: "C6".to_owned(),
            asked: format!(
                "OOM events, p99 under {MOST_MS} ms from the kernel's mark to memtrace's reading"
            ),
            measured: p99.map_or("not told".to_owned(), |ms| {
                format!("{ms:.2} ms, of {} of {killed} kills", sorted.len())
            }),
            holds: p99.map(|ms| ms < MOST_MS && sorted.len() == killed),
        }],
        table: vec![
            ["delay, ms: median (least to most)", "CPU, % of a core"]
                .map(str::to_owned)
                .to_vec(),
            vec![delays.spread(2), format!("{cpu_percent:.1}")],
        ],
        notes: Vec::new(),
    })
}
