//! L6: a long window on a mixed load at full speed: memtrace stays small, its answer short, its sums
//! right.

use std::{
    fs,
    process::Stdio,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::room::{Room, text, truth};
use crate::{
    answer::Answer,
    bound,
    host::Host,
    process::{self, Finished, Running},
    suite::Outcome,
};

/// Seconds unless `MEMTRACE_LONG_SECONDS` says otherwise.
const SECONDS: f64 = 20.0;
/// Readings of memtrace's memory in a window.
const READINGS: u32 = 60;
/// Limit of the cgroup: the load is larger, so that page cache goes as fast as it comes.
const LIMIT_BYTES: u64 = 192 << 20;
/// What memtrace's memory must stay below.
const MOST_KIB: u64 = 48 << 10;
/// Lines of the text must be fewer.
const LINES: usize = 200;
/// Windows from here on must be flat: shorter ones end before the tables are full.
const LONG_SECONDS: f64 = 600.0;
/// By how much the memory may grow in the last third of such a window.
const FLAT_KIB: u64 = 2 << 10;

/// A memtrace at work, and the most memory it had.
struct Watched {
    running: Running,
    highest_kib: JoinHandle<u64>,
}

/// One reading of both memtraces' memory.
struct Resident {
    json_kib: u64,
    text_kib: u64,
}

/// What is measured goes to standard output for `cargo xtask bench long`: each reading as a line
/// `# rss {...}`, the end as `# long {...}`.
pub(super) fn mixed(host: &Host) -> anyhow::Result<Outcome> {
    let seconds = seconds()?;
    let room = Room::new(host)?;
    room.cgroup.set_limit(LIMIT_BYTES)?;
    // Both views of the same window: what people read, and what can be added up.
    let in_json = watch(&room, &["-o", "json"])?;
    let in_text = watch(&room, &[])?;
    let mut load = load(&room, seconds)?;
    let mut readings = Vec::new();
    for _ in 0..READINGS {
        thread::sleep(Duration::from_secs_f64(seconds / f64::from(READINGS)));
        let now = Resident {
            json_kib: resident(&in_json.running)?,
            text_kib: resident(&in_text.running)?,
        };
        println!(
            "# rss {}",
            json!({"json_kib": now.json_kib, "text_kib": now.text_kib})
        );
        readings.push(now);
    }
    load.wait_for_stdout("holding")?;
    let done: Value = truth(load.so_far().as_bytes())?;
    // Writeback may go on for longer than that: what moves is within the bound.
    let _ = room.cgroup.read_settled();
    let (in_json, json_kib) = finish(in_json)?;
    let (in_text, text_kib) = finish(in_text)?;
    load.release();
    load.wait()?;

    let answer = Answer::parse(&in_json.stdout)?;
    let raw: Value = serde_json::from_slice(&in_json.stdout).context("not JSON")?;
    let lines = String::from_utf8_lossy(&in_text.stdout).lines().count();
    let justified = bound::justified_bytes(host);
    println!(
        "# long {}",
        json!({
            "kernel": host.kernel_release, "cgroup_version": host.hierarchy.version as u8,
            "emulated": host.is_emulated(), "cpus": host.cpus, "seconds": seconds,
            "limit_bytes": LIMIT_BYTES, "jobs": done["jobs"],
            "highest_json_kib": json_kib, "highest_text_kib": text_kib,
            "lines": lines, "json_bytes": in_json.stdout.len(),
            "delta_bytes": answer.working_set.delta_bytes,
            "unexplained_bytes": answer.unexplained_bytes,
            "error_bound_bytes": answer.error_bound_bytes, "justified_bytes": justified,
            "pages_produced": answer.trust.pages_produced, "pages_lost": answer.trust.pages_lost,
            "events_lost": answer.trust.events_lost,
            "rows": rows(&raw), "summed": warning(&raw, "summed"), "verdict": raw["verdict"],
        })
    );
    let figures = format!(
        "{seconds:.0} s, {} jobs, at most {json_kib} and {text_kib} KiB, {lines} lines, unexplained \
         {} of {}, {} pages, {} lost",
        done["jobs"],
        answer.unexplained_bytes,
        answer.error_bound_bytes,
        answer.trust.pages_produced,
        answer.trust.pages_lost,
    );
    answer
        .check_sums()
        .and_then(|()| answer.check_conservation())
        .with_context(|| figures.clone())?;
    ensure!(json_kib.max(text_kib) < MOST_KIB, "{figures}");
    ensure!(lines < LINES, "{figures}");
    ensure!(
        answer.unexplained_bytes.unsigned_abs() <= answer.error_bound_bytes
            && answer.error_bound_bytes <= justified,
        "{justified} are justified: {figures}"
    );
    if seconds >= LONG_SECONDS {
        ensure_flat(&readings)?;
    }
    Ok(Outcome::Passed(figures))
}

fn seconds() -> anyhow::Result<f64> {
    let variable = "MEMTRACE_LONG_SECONDS";
    match std::env::var(variable) {
        Ok(seconds) => seconds
            .parse()
            .with_context(|| format!("{variable}={seconds}")),
        Err(_) => Ok(SECONDS),
    }
}

fn watch(room: &Room<'_>, options: &[&str]) -> anyhow::Result<Watched> {
    let mut command = process::command(&room.host.memtrace, ["explain", "-v", "--for", "24h"]);
    command.args(options).arg(&room.cgroup.path);
    let mut running = Running::start(&mut command)?;
    let pid = running.pid();
    // It is largest when it writes the answer, and then it is gone.
    let highest_kib = thread::spawn(move || {
        let mut highest = 0;
        while let Some(kib) = status_kib(pid, "VmHWM") {
            highest = kib;
            thread::sleep(Duration::from_millis(20));
        }
        highest
    });
    running.wait_for_stderr("attached")?;
    Ok(Watched {
        running,
        highest_kib,
    })
}

fn load(room: &Room<'_>, seconds: f64) -> anyhow::Result<Running> {
    let arguments = [
        "mixed",
        text(room.folder())?,
        "--seconds",
        &seconds.to_string(),
    ];
    let mut command = room.hog_command(&arguments);
    command.stdin(Stdio::piped());
    process::join(&mut command, &room.cgroup)?;
    let mut load = Running::start(&mut command)?;
    load.wait_for_stdout("working")?;
    Ok(load)
}

/// Ends the window as a user would; what was printed, and the most memory in KiB.
fn finish(watched: Watched) -> anyhow::Result<(Finished, u64)> {
    watched.running.signal(Signal::INT)?;
    let finished = watched.running.wait()?;
    ensure!(
        finished.status.code() == Some(0),
        "memtrace: {}: {}",
        finished.status,
        finished.stderr
    );
    let highest_kib = watched.highest_kib.join();
    let highest_kib = highest_kib.map_err(|_| anyhow::anyhow!("a thread of the test panicked"))?;
    Ok((finished, highest_kib))
}

fn resident(running: &Running) -> anyhow::Result<u64> {
    status_kib(running.pid(), "VmRSS").context("memtrace has ended before its window")
}

/// A size of `/proc/PID/status`; `None` if the process is gone.
fn status_kib(pid: u32, key: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

fn ensure_flat(readings: &[Resident]) -> anyhow::Result<()> {
    let last = &readings[readings.len() - readings.len() / 3..];
    let views: [fn(&Resident) -> u64; 2] = [|one| one.json_kib, |one| one.text_kib];
    for kib in views {
        let first = last.first().map_or(0, kib);
        let most = last.iter().map(kib).max().unwrap_or(0);
        ensure!(
            most <= first + FLAT_KIB,
            "in the last third of the window it grew from {first} KiB to {most}"
        );
    }
    Ok(())
}

/// Bytes that the rows of page cache moved, by what a row tells apart: in `causes`, and in
/// `page_cache`; those beyond the longest lists are `rest`.
fn rows(answer: &Value) -> Value {
    let lists = [&answer["causes"], &answer["page_cache"]["rows"]];
    let mut sums = serde_json::Map::new();
    let mut add = |name: &str, bytes: i64| {
        let sum = sums.get(name).and_then(Value::as_i64).unwrap_or(0);
        sums.insert(name.to_owned(), (sum + bytes.abs()).into());
    };
    for row in lists.into_iter().filter_map(Value::as_array).flatten() {
        let bytes = row["bytes"].as_i64().unwrap_or(0);
        match (row["kind"].as_str(), row["summed"].as_str()) {
            (Some("rest"), _) => add("rest", bytes),
            (_, Some(summed)) => add(summed, bytes),
            (_, None) if row["file"].is_object() => add("apart", bytes),
            (_, None) => {}
        }
    }
    add(
        "rest",
        answer["page_cache"]["rest_bytes"].as_i64().unwrap_or(0),
    );
    sums.into()
}

fn warning(answer: &Value, id: &str) -> Value {
    let warnings = answer["trust"]["warnings"].as_array();
    let mut warnings = warnings.into_iter().flatten();
    warnings
        .find(|warning| warning["id"] == id)
        .map_or(Value::Null, |warning| warning["message"].clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_summed_by_what_they_tell_apart() {
        let answer = json!({
            "causes": [
                {"component": "anon", "kind": "grew", "bytes": 7},
                {"component": "active_file", "kind": "second_access", "bytes": 10, "file": {}},
                {"component": "active_file", "kind": "evicted", "bytes": -4, "file": {}},
                {"component": "active_file", "kind": "evicted", "bytes": -3, "summed": "files"},
                {"component": "active_file", "kind": "rest", "bytes": 2},
            ],
            "page_cache": {
                "rows": [{"kind": "cache_added", "bytes": 5, "summed": "both"}], "rest_bytes": 6,
            },
        });
        let wanted = json!({"apart": 14, "files": 3, "both": 5, "rest": 8});
        assert_eq!(rows(&answer), wanted);
    }

    #[test]
    fn what_grows_is_not_flat() {
        let readings = |step: u64| -> Vec<Resident> {
            let one = |index| Resident {
                json_kib: 30_000,
                text_kib: 30_000 + index * step,
            };
            (0..60).map(one).collect()
        };
        ensure_flat(&readings(0)).unwrap();
        ensure_flat(&readings(100)).unwrap();
        ensure_flat(&readings(200)).unwrap_err();
    }
}
