//! Exact mode: the kernel's own updates, summed, are what `memory.stat` says once it has flushed.

use std::{thread, time::Duration};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::room::Room;
use crate::{host::Host, session::Watch, suite::Outcome};

/// More than the kernel's periodic flush of statistics (mm/memcontrol.c, `FLUSH_TIME`, 2 s; its
/// timer is deferrable, so an idle CPU may be late).
const FLUSHED: Duration = Duration::from_secs(5);
/// Updates that each CPU may hold back from `memory.stat` until the next periodic flush
/// (mm/memcontrol.c, `memcg_vmstats_needs_flush`: `MEMCG_CHARGE_BATCH`).
const BATCH_PAGES: u64 = 64;
const EXACT_SIGNAL: &str = "exact counters";

#[derive(Deserialize)]
struct Counter {
    counter: String,
    delta_bytes: i64,
    memory_stat_delta_bytes: Option<i64>,
}

/// A file is written and read again, another dropped, a third made: on either LRU each counter's exact
/// change is that of `memory.stat`, to the byte. Where DAMON evicts pages at any moment, also between the
/// kernel's flush and either reading, they may differ by what the kernel has not flushed at both.
pub(super) fn counters(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let bytes = host.file_bytes(24 << 20)?;
    let first = room.write_and_read("first", bytes)?;
    let second = room.write_and_read("second", bytes)?;
    thread::sleep(FLUSHED);
    let watch = Watch::start_with(host, &room.cgroup, room.folder(), &["--exact"])?;
    room.hog(&["reread", first.text()?, "2"])?;
    room.hog(&["fadvise", second.text()?])?;
    room.write_and_read("third", bytes / 2)?;
    thread::sleep(FLUSHED);
    let explained = watch.finish_unchecked()?;
    explained.answer.check_conservation()?;

    let answer: serde_json::Value = serde_json::from_slice(&explained.finished.stdout)?;
    let signals = answer["trust"]["signals"]
        .as_array()
        .context("no signals")?;
    let signal = signals
        .iter()
        .find(|signal| signal["signal"] == EXACT_SIGNAL);
    let signal = signal.context("no signal for exact mode")?;
    if signal["attached"].is_null() {
        ensure!(answer["exact"].is_null(), "exact figures without a hook");
        let reason = signal["refused"][0]["reason"].as_str().unwrap_or("?");
        return Ok(Outcome::Skipped(format!("exact mode: {reason}")));
    }
    let counters: Vec<Counter> = serde_json::from_value(answer["exact"].clone())?;
    let moved: Vec<&Counter> = counters.iter().filter(|of| of.delta_bytes != 0).collect();
    for name in ["inactive_file", "file"] {
        let moved = moved.iter().any(|of| of.counter == name);
        ensure!(moved, "{name} did not move: {}", answer["exact"]);
    }
    // A hook call that the kernel skipped is a page or more, and is said.
    let lost = answer["trust"]["events_lost"]
        .as_u64()
        .context("no trust")?;
    if lost > 0 {
        return Ok(Outcome::Skipped(format!(
            "the kernel skipped {lost} hook calls, as the answer says"
        )));
    }
    let unflushed_bytes = if host.has_damon() {
        2 * BATCH_PAGES * host.cpus * host.page_bytes
    } else {
        0
    };
    let mut figures = Vec::new();
    for counter in counters {
        let Some(stat_bytes) = counter.memory_stat_delta_bytes else {
            continue;
        };
        ensure!(
            counter.delta_bytes.abs_diff(stat_bytes) <= unflushed_bytes,
            "{}: exactly {}, memory.stat {stat_bytes}: {}",
            counter.counter,
            counter.delta_bytes,
            answer["exact"]
        );
        figures.push(match counter.delta_bytes - stat_bytes {
            0 => format!("{} {stat_bytes}", counter.counter),
            off => format!("{} {stat_bytes} {off:+} beside DAMON", counter.counter),
        });
    }
    Ok(Outcome::Passed(figures.join(", ")))
}
