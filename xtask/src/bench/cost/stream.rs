//! C2, and the half of C6 that is of merged events: second reads on every core for a minute.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::cgroup::TestCgroup;
use memtrace_tests::process::{Running, join, run};
use serde_json::Value;

use super::slowdown::{number, said};
use super::tracer::{self, Usage};
use super::{Bench, Claim, Found};

const SECONDS: &str = "60";
/// memtrace's own CPU time, percent of a core.
const MOST_CPU: f64 = 3.0;
/// From the first page of a run to its being read, ms.
const MOST_DELAY_MS: f64 = 50.0;
/// Readers beside, and the size of their files: they go on reading what is active already.
const OTHERS: usize = 2;
const OTHERS_BYTES: &str = "4194304";

pub(super) fn measure(bench: &Bench) -> Result<Found> {
    let cores = std::thread::available_parallelism()?.get();
    let cgroup = TestCgroup::create(&bench.hierarchy)?;
    let mut others = Vec::new();
    let memtrace = tracer::explain(bench, &cgroup.path)?;
    let usage = Usage::begin(memtrace.pid())?;
    for number in 0..OTHERS {
        let file = bench.folder.join(format!("other-{number}"));
        let mut write = Command::new(&bench.hog);
        write.arg("write").arg(&file).arg(OTHERS_BYTES);
        let written = run(write)?;
        ensure!(written.status.success(), "{written:?}");
        let mut command = Command::new(&bench.hog);
        command.arg("reread").arg(&file).arg("4000000000");
        join(&mut command, &cgroup)?;
        others.push(Running::start(&mut command)?);
    }
    let mut readers = Vec::new();
    for core in 0..cores {
        let mut command = Command::new(&bench.hog);
        command
            .arg("second-read")
            .arg(bench.folder.join(format!("stream-{core}")))
            .args(["64", "--cpu", &core.to_string(), "--seconds", SECONDS]);
        join(&mut command, &cgroup)?;
        readers.push(Running::start(&mut command)?);
    }
    let mut pages = 0.0;
    for reader in readers {
        pages += number(&said(reader)?, "pages")?;
    }
    let cpu_percent = usage.percent_of_core(memtrace.pid())?;
    let resident_mib = tracer::resident_mib(memtrace.pid())?;
    // Killed when dropped.
    drop(others);
    let finished = tracer::stop(memtrace)?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    let answer: Value =
        serde_json::from_slice(&finished.stdout).context("reading what explain says")?;
    let trust = &answer["trust"];
    let lost = number(trust, "events_lost")?;
    let (produced, seen) = (
        number(trust, "pages_produced")?,
        number(trust, "pages_seen")?,
    );
    let delay = &trust["event_delay"];
    let delay_ms = delay["p99_seconds"].as_f64().map(|seconds| seconds * 1e3);
    let ms = |key: &str| {
        delay[key]
            .as_f64()
            .map_or("-".to_owned(), |seconds| format!("{:.1}", seconds * 1e3))
    };
    Ok(Found {
        title: "A minute of second reads on every core".to_owned(),
        workload: format!(
            "On each of {cores} cores a task writes a file of 64 MiB by pages and reads it twice, for \
             {SECONDS} s, while {OTHERS} others read files of 4 MiB over and over; beside `memtrace explain`."
        ),
        claims: vec![
            Claim {
                id: "C2".to_owned(),
                asked: "no event lost".to_owned(),
                measured: format!("{lost} lost; {seen} of {produced} pages seen"),
                holds: Some(lost == 0.0 && seen == produced),
            },
            Claim {
                id: "C2".to_owned(),
                asked: format!("memtrace's own CPU under {MOST_CPU} % of one core"),
                measured: format!("{cpu_percent:.2} %"),
                holds: Some(cpu_percent < MOST_CPU),
            },
            Claim {
                id: "C6".to_owned(),
                asked: format!("event to consumer, p99 under {MOST_DELAY_MS} ms while merging"),
                measured: delay_ms.map_or("not told".to_owned(), |ms| format!("{ms:.1} ms")),
                holds: delay_ms.map(|ms| ms < MOST_DELAY_MS),
            },
        ],
        table: vec![
            [
                "pages activated",
                "runs read",
                "delay p50, ms",
                "p99, ms",
                "max, ms",
                "resident, MiB",
            ]
            .map(str::to_owned)
            .to_vec(),
            vec![
                pages.to_string(),
                delay["count"].to_string(),
                ms("p50_seconds"),
                ms("p99_seconds"),
                ms("max_seconds"),
                format!("{resident_mib:.1}"),
            ],
        ],
        notes: vec![
            "The delay is from the first page of a run to memtrace's reading it: merging included."
                .to_owned(),
        ],
    })
}
