//! Reclaim: how long tasks waited, against PSI, and for whose sake it was: an ancestor's, the node's.

use std::fs;

use anyhow::{Context as _, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use super::{
    reclaim::{Watched, clean_file},
    room::{CaseFile, Room, cat_in},
};
use crate::{
    cgroup::{TestCgroup, meminfo_bytes},
    host::Host,
    suite::Outcome,
};

/// L3: one task streams a file through a limit. What it waited for reclaim is what PSI says that some
/// task waited for memory, since nothing is read twice.
pub(super) fn stalls_match_psi(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let Some(_) = stalled_us(&room.cgroup) else {
        let reason = "no memory.pressure here (cgroup v1, or PSI is off)";
        return Ok(Outcome::Skipped(reason.to_owned()));
    };
    let file = clean_file(&room, "data", host.file_bytes(64 << 20)?)?;
    room.hog(&["fadvise", file.text()?])?;
    room.cgroup.set_limit(8 << 20)?;
    let (mut before, mut after) = (None, None);
    let mut watched = Watched::of(&room, || {
        before = stalled_us(&room.cgroup);
        // PSI weighs the CPUs by how busy the cgroup is on each (kernel/sched/psi.c, `collect_percpu_times`):
        // of a task that moves between two it counts less than what it waited.
        on_one_cpu(|| room.hog(&["reread", file.text()?, "1"]).map(drop))?;
        after = stalled_us(&room.cgroup);
        Ok(())
    })?;
    let psi_us = after.zip(before).map(|(after, before)| after - before);
    let psi_us = psi_us.context("memory.pressure went away")? as f64;
    let reclaim = &watched.explained.answer.reclaim;
    let told_us = reclaim["stall_total_seconds"]
        .as_f64()
        .context("no stall")?
        * 1e6;
    let figure = format!("stalls {told_us:.0} us, PSI some {psi_us:.0} us");
    ensure!(
        psi_us > 0.0 && (told_us / psi_us - 1.0).abs() <= 0.10,
        "{figure}: {reclaim}"
    );
    let groups = reclaim["by_cause"].as_array().context("no by_cause")?;
    for group in groups {
        let stall = &group["stall"];
        let of = |key: &str| stall[key].as_f64().with_context(|| format!("no {key}"));
        let (p50, p90) = (of("p50_seconds")?, of("p90_seconds")?);
        let (p99, max) = (of("p99_seconds")?, of("max_seconds")?);
        ensure!(
            0.0 < p50 && p50 <= p90 && p90 <= p99 && p99 <= max,
            "no quantiles: {stall}"
        );
        ensure!(stall["count"] == group["passes"], "{group}");
    }
    watched.figures.push(figure);
    Ok(watched.passed())
}

/// Whoever is started meanwhile runs on the CPU that this thread is on now.
fn on_one_cpu(start: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let allowed = sched_getaffinity(None).context("reading the CPU affinity")?;
    let mut one = CpuSet::new();
    one.set(sched_getcpu());
    sched_setaffinity(None, &one).context("pinning to one CPU")?;
    let done = start();
    sched_setaffinity(None, &allowed).context("unpinning")?;
    done
}

fn stalled_us(cgroup: &TestCgroup) -> Option<u64> {
    let text = fs::read_to_string(cgroup.path.join("memory.pressure")).ok()?;
    let some = text.lines().find(|line| line.starts_with("some "))?;
    some.rsplit_once("total=")?.1.trim().parse().ok()
}

/// The limit that is too low is the parent's.
pub(super) fn of_an_ancestor(host: &Host) -> anyhow::Result<Outcome> {
    let parent = TestCgroup::create(&host.hierarchy)?;
    let room = Room::of(host, parent.child("memtrace-child")?)?;
    let file = clean_file(&room, "data", host.file_bytes(32 << 20)?)?;
    parent.set_limit(file.bytes / 2)?;
    let mut watched = Watched::of(&room, || {
        room.hog(&["reread", file.text()?, "2"])?;
        Ok(())
    })?;
    let groups = &watched.reclaim.by_cause;
    let passes: u64 = groups.iter().map(|group| group.passes).sum();
    let above = Some(parent.name());
    let right: u64 = groups
        .iter()
        .filter(|group| group.cause.as_deref() == Some("max"))
        .filter(|group| group.target_cgroup.is_none() || group.target_cgroup == above)
        .map(|group| group.passes)
        .sum();
    ensure!(
        passes > 0 && right * 100 >= passes * 95,
        "not the limit of {above:?}: {groups:?}"
    );
    let named = groups.iter().any(|group| group.target_cgroup == above);
    if let Some(rows) = &watched.reclaim.shrunk {
        let own = Some(room.cgroup.name());
        let is_right =
            |row: &&super::reclaim::Shrunk| row.victim_cgroup == own && row.target_cgroup == above;
        let theirs: u64 = rows
            .iter()
            .filter(is_right)
            .map(|row| row.reclaimed_bytes)
            .sum();
        ensure!(
            theirs > 0,
            "nothing taken from {own:?} for {above:?}: {rows:?}"
        );
    }
    watched.figures.push(match named {
        true => format!("{right} of {passes} passes for {}", parent.name()),
        false => format!("{right} of {passes} passes by max, no target told here"),
    });
    Ok(watched.passed())
}

/// The whole machine is short: kswapd, and tasks that cannot wait for it.
pub(super) fn of_the_node(host: &Host) -> anyhow::Result<Outcome> {
    let total = meminfo_bytes("MemTotal").context("no MemTotal in /proc/meminfo")?;
    if !host.is_emulated() || total > 2 << 30 {
        let reason = "it would press the memory of a machine that others use";
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let room = Room::new(host)?;
    // A hole costs no disk and fills the page cache like any file.
    let path = room.folder().join("hole");
    fs::File::create(&path)
        .and_then(|file| file.set_len(total / 4 * 5))
        .with_context(|| format!("making {}", path.display()))?;
    let file = CaseFile::of(path)?;
    let mut watched = Watched::of(&room, || cat_in(&room.cgroup, &file).map(drop))?;
    let Some(rows) = &watched.reclaim.shrunk else {
        let reason = "no hook on shrink_lruvec here".to_owned();
        return Ok(Outcome::Skipped(reason));
    };
    let own = Some(room.cgroup.name());
    let taken: u64 = (rows.iter())
        .filter(|row| row.victim_cgroup == own && row.target_cgroup.is_none())
        .filter(|row| row.kind == "kswapd" || row.kind == "direct")
        .map(|row| row.reclaimed_bytes)
        .sum();
    ensure!(
        taken >= total / 10,
        "the node took {taken} bytes only: {rows:?}"
    );
    let figure = format!("the node took {taken} bytes");
    watched.figures.push(figure);
    let evicted = watched.reclaim.evicted.as_ref();
    let evicted = evicted.map(|evicted| evicted.bytes / host.page_bytes);
    watched.compare("evicted", evicted, watched.kernel.stolen)?;
    Ok(watched.passed())
}
