//! C4: every process read once, by the iterator and by a loop over /proc.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::cgroup::{TestCgroup, Version};
use memtrace_tests::process::Running;
use serde::Deserialize;

use super::rounds::Series;
use super::{Bench, Claim, Found};
use crate::process;

const PROCESSES: usize = 10_000;
const MOST_MS: f64 = 8.0;
const LEAST_TIMES_FASTER: f64 = 15.0;
/// What a shell script does that asks every process for its memory and its adjustment.
const SHELL_LOOP: &str = "for p in /proc/[0-9]*; do \
    while read -r key value rest; do case $key in VmRSS:|VmSwap:|VmPTE:) :;; esac; done < $p/status; \
    read -r adj < $p/oom_score_adj; done 2> /dev/null";

#[derive(Deserialize)]
struct Doctor {
    scan: Option<Scan>,
}

#[derive(Deserialize)]
struct Scan {
    processes: u64,
    iterator_seconds: Vec<f64>,
    proc_seconds: Vec<f64>,
}

pub(super) fn measure(bench: &Bench) -> Result<Found> {
    let cgroup = TestCgroup::create(&bench.hierarchy)?;
    let crowd = crowd(bench, &cgroup, 0, PROCESSES)?;
    let (mut iterator, mut proc, mut shell) =
        (Series::default(), Series::default(), Series::default());
    let mut processes = 0;
    for _ in 0..bench.rounds {
        let mut command = Command::new(&bench.memtrace);
        command
            .args(["doctor", "--cost", "100ms", "-o", "json"])
            .env("TMPDIR", &bench.folder);
        let doctor: Doctor = serde_json::from_str(&process::stdout(&mut command)?)
            .context("reading what doctor says")?;
        let scan = doctor.scan.context("this kernel has no task iterator")?;
        ensure!(
            scan.processes as usize >= PROCESSES,
            "{} seen",
            scan.processes
        );
        processes = scan.processes;
        iterator.push(median_ms(&scan.iterator_seconds));
        proc.push(median_ms(&scan.proc_seconds));
        let start = Instant::now();
        process::run(Command::new("sh").args(["-c", SHELL_LOOP]))?;
        shell.push(start.elapsed().as_secs_f64() * 1e3);
    }
    drop(crowd);
    let faster = proc.median() / iterator.median();
    Ok(Found {
        title: "A scan of all processes".to_owned(),
        workload: format!(
            "{processes} processes, all idle, read by `memtrace doctor --cost`: with the kernel's task \
             iterator, from opening it to the decoded table, and with memtrace's own reading of \
             /proc/PID/status, oom_score_adj and stat; and by a loop of the shell over /proc."
        ),
        claims: vec![
            Claim {
                id: "C4".to_owned(),
                asked: format!("{PROCESSES} processes in at most {MOST_MS} ms"),
                measured: format!("{} ms", iterator.spread(1)),
                holds: Some(iterator.median() <= MOST_MS),
            },
            Claim {
                id: "C4".to_owned(),
                asked: format!("at least {LEAST_TIMES_FASTER} times faster than the /proc loop"),
                measured: format!("{faster:.1} times"),
                holds: Some(faster >= LEAST_TIMES_FASTER),
            },
        ],
        table: vec![
            ["iterator, ms", "/proc by memtrace, ms", "/proc by sh, ms"]
                .map(str::to_owned)
                .to_vec(),
            vec![iterator.spread(1), proc.spread(1), shell.spread(0)],
        ],
        notes: vec!["The claim is held against memtrace's own loop, not the shell's.".to_owned()],
    })
}

fn median_ms(seconds: &[f64]) -> f64 {
    let mut series = Series::default();
    for value in seconds {
        series.push(value * 1e3);
    }
    series.median()
}

/// So many cgroups with limits below this one, and idle processes in them; they go when it is dropped.
pub(super) fn crowd(
    bench: &Bench,
    cgroup: &TestCgroup,
    cgroups: usize,
    tasks: usize,
) -> Result<Crowd> {
    if cgroup.version() == Version::V2 {
        cgroup.set("cgroup.subtree_control", "+memory")?;
    }
    let limit = match cgroup.version() {
        Version::V1 => "memory.limit_in_bytes",
        Version::V2 => "memory.max",
    };
    let mut command = Command::new(&bench.hog);
    command
        .arg("crowd")
        .arg(&cgroup.path)
        .args([&cgroups.to_string(), &tasks.to_string(), "--limit", limit])
        .stdin(Stdio::piped());
    let mut running = Running::start(&mut command)?;
    running.wait_for_stdout("holding")?;
    Ok(Crowd(Some(running)))
}

/// The processes of [`crowd`].
pub(super) struct Crowd(Option<Running>);

impl Drop for Crowd {
    fn drop(&mut self) {
        if let Some(mut running) = self.0.take() {
            running.release();
            match running.wait() {
                Ok(ended) if ended.status.success() => {}
                Ok(ended) => eprintln!("bench: {ended:?}"),
                Err(error) => eprintln!("bench: {error:#}"),
            }
        }
    }
}
