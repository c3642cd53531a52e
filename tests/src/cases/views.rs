//! L5: the four numbers that people compare, each reckoned by hand from the same files.

use std::{fs, path::Path};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::{
    room::{Room, text},
    shmem::Tmpfs,
};
use crate::{
    cgroup::{Reading, Version},
    host::Host,
    process,
    session::Explained,
    suite::Outcome,
};

/// Answers that are asked for until nothing moves meanwhile.
const TRIES: u32 = 10;

/// usage, working set, rss and what the OOM killer counts, of a cgroup with anonymous memory, a tmpfs
/// file, and page cache on both lists, at rest.
pub(super) fn by_hand(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let file = room.write_and_read("file", host.file_bytes(16 << 20)?)?;
    room.cat(&file)?;
    room.write("once", host.file_bytes(8 << 20)?, host.page_bytes)?;
    let tmpfs = Tmpfs::mount(room.folder().join("shm"), "64m")?;
    let in_memory = tmpfs.0.join("table");
    let shmem = room.hog_holding(&["shmem", text(&in_memory)?, &(4 << 20).to_string()])?;
    let anon = room.hog_holding(&["anon", &(24 << 20).to_string()])?;
    let (explained, kernel) = at_rest(&room)?;
    let rss = match room.cgroup.version() {
        Version::V1 => room.cgroup.key("memory.stat", "rss"),
        Version::V2 => room.cgroup.key("memory.stat", "anon"),
    };
    let counted = badness_sum(host, &room.cgroup.path)?;
    for mut hog in [shmem, anon] {
        hog.release();
        hog.wait()?;
    }

    let answer: Value = serde_json::from_slice(&explained.finished.stdout)?;
    let rows = answer["views"].as_array().context("no views")?;
    let view = |name: &str| {
        let row = rows.iter().find(|row| row["name"] == name);
        row.and_then(|row| row["bytes"].as_i64())
            .with_context(|| format!("no view {name}: {rows:?}"))
    };
    let mut figures = Vec::new();
    for (name, by_hand) in [
        ("usage", kernel.usage_bytes),
        // cAdvisor container/libcontainer/handler.go, `setMemoryStats`.
        (
            "working_set",
            kernel.usage_bytes - kernel.inactive_file_bytes,
        ),
        ("rss", rss.context("no rss in memory.stat")?),
        ("oom_killer_counts", counted),
    ] {
        let told = view(name)?;
        figures.push(format!("{name} {told}"));
        ensure!(
            told == by_hand as i64,
            "{name} is {told}, by hand {by_hand}: {rows:?}"
        );
    }
    // Between two totals every byte has its step.
    let mut sum = 0;
    for row in rows {
        let bytes = row["bytes"].as_i64().context("no bytes")?;
        match row["role"].as_str() {
            Some("total") => {
                ensure!(sum == 0 || sum == bytes, "{row} is not the {sum} before it");
                sum = bytes;
            }
            Some("minus") => sum -= bytes,
            Some("plus") => sum += bytes,
            _ => bail!("no role: {row}"),
        }
    }
    Ok(Outcome::Passed(format!(
        "all to the byte: {}",
        figures.join(", ")
    )))
}

/// An answer before and after whose last reading nothing moved: other cgroups' charges may drain what a
/// CPU holds in advance for this one.
fn at_rest(room: &Room<'_>) -> anyhow::Result<(Explained, Reading)> {
    for _ in 0..TRIES {
        let explained = room.watch()?.finish()?;
        let now = room.cgroup.read_settled()?;
        let [_, _, earlier, later] = explained.readings.context("not watched")?;
        if earlier == later && later == now {
            return Ok((explained, now));
        }
    }
    bail!("{} does not come to rest", room.cgroup.name())
}

/// What the OOM killer's formula gives for all processes of a cgroup, as `oom predict` reads them.
fn badness_sum(host: &Host, cgroup: &Path) -> anyhow::Result<u64> {
    let pids = fs::read_to_string(cgroup.join("cgroup.procs"))?;
    let pids: Vec<u64> = pids.lines().map(str::parse).collect::<Result<_, _>>()?;
    let mut predict = process::command(&host.memtrace, ["oom", "predict", "-o", "json"]);
    predict.args(["--over", "0s"]).arg(cgroup);
    let finished = process::run(predict)?;
    ensure!(
        finished.status.success(),
        "oom predict: {}",
        finished.stderr
    );
    let answer: Value = serde_json::from_slice(&finished.stdout)?;
    let domains = answer["domains"].as_array().context("no domains")?;
    // The node is a domain always, and has every process.
    let all = domains.iter().find(|domain| domain["kind"] == "node");
    let all = all.and_then(|node| node["candidates"].as_array());
    let mut pages = 0;
    for candidate in all.context("no candidates of the node")? {
        if !candidate["pid"]
            .as_u64()
            .is_some_and(|pid| pids.contains(&pid))
        {
            continue;
        }
        for term in ["rss_pages", "swap_pages", "pagetable_pages"] {
            pages += candidate[term]
                .as_u64()
                .with_context(|| format!("no {term}"))?;
        }
    }
    Ok(pages * host.page_bytes)
}
