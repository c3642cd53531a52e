//! Many kills in a short time, and processes that come and go while they are looked at.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::{
    oom::{pid, set_limit},
    oom_scene::{Below, Watch},
    room::{Room, text, truth},
};
use crate::{
    host::Host,
    process::{self, Running},
    suite::Outcome,
};

/// Kills of the storm.
const KILLS: usize = 200;
/// They come from this many cgroups at once.
const SIDES: usize = 2;
const LIMIT: u64 = 4 << 20;
/// How much memtrace may grow from the first quarter of the storm to its end.
const GROWTH_KIB: u64 = 6 << 10;

/// Every kill is reported once, and memtrace stays as small as it was.
pub(super) fn storm(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let sides: Vec<Below> = (0..SIDES)
        .map(|side| Below::new(&room, &format!("memtrace-side-{side}")))
        .collect::<Result<_, _>>()?;
    for side in &sides {
        set_limit(host, &side.0, LIMIT)?;
    }
    let watch = Watch::start(host, text(&room.cgroup.path)?, KILLS as u64)?;
    let start = Instant::now();
    let results: Vec<anyhow::Result<Vec<u32>>> = thread::scope(|scope| {
        let run = |side| {
            let room = &room;
            scope.spawn(move || kill_many(room, side, KILLS / SIDES / 4))
        };
        let first: Vec<_> = sides.iter().map(run).collect();
        first
            .into_iter()
            .map(|side| side.join().unwrap_or_else(|_| Ok(Vec::new())))
            .collect()
    });
    let early_kib = resident_kib(watch.pid())?;
    let more: Vec<anyhow::Result<Vec<u32>>> = thread::scope(|scope| {
        let left = KILLS / SIDES - KILLS / SIDES / 4;
        let run = |side| {
            let room = &room;
            scope.spawn(move || kill_many(room, side, left))
        };
        let rest: Vec<_> = sides.iter().map(run).collect();
        rest.into_iter()
            .map(|side| side.join().unwrap_or_else(|_| Ok(Vec::new())))
            .collect()
    });
    let took = start.elapsed().as_secs_f64();
    let late_kib = resident_kib(watch.pid());
    let mut killed = BTreeSet::new();
    for side in results.into_iter().chain(more) {
        killed.extend(side?);
    }
    let reports = watch.reports()?;
    let told: Vec<u32> = reports
        .iter()
        .filter_map(|report| pid(&report["victim"]))
        .collect();
    let once: BTreeSet<u32> = told.iter().copied().collect();
    ensure!(
        told.len() == once.len() && once == killed,
        "{} killed, {} reports of {} processes; not told {:?}; told only {:?}",
        killed.len(),
        told.len(),
        once.len(),
        killed.difference(&once).collect::<Vec<_>>(),
        once.difference(&killed).collect::<Vec<_>>()
    );
    // It may have ended already, having told of all of them.
    let grown = late_kib.map_or(0, |late| late.saturating_sub(early_kib));
    ensure!(grown <= GROWTH_KIB, "grew by {grown} KiB from {early_kib}");
    let mut complete: Vec<f64> = reports
        .iter()
        .filter_map(|report| report["complete_after_seconds"].as_f64())
        .collect();
    complete.sort_by(f64::total_cmp);
    let last = complete.last().copied().unwrap_or(f64::MAX);
    ensure!(
        last <= 0.25 || host.is_emulated() || host.is_robbed()?.is_some(),
        "complete after {last} s"
    );
    Ok(Outcome::Passed(format!(
        "{} kills in {took:.1} s, each told once; {early_kib} KiB, then +{grown}; complete after \
         {:.0} ms at most",
        told.len(),
        last * 1e3
    )))
}

fn kill_many(room: &Room<'_>, side: &Below, kills: usize) -> anyhow::Result<Vec<u32>> {
    let mut command = room.hog_command(&["storm", &kills.to_string(), &LIMIT.to_string()]);
    process::join_at(&mut command, &side.0)?;
    let ended = Running::start(&mut command)?.wait()?;
    ensure!(ended.status.success(), "{ended:?}");
    #[derive(Deserialize)]
    struct Said {
        killed: Vec<u32>,
    }
    let Said { killed } = truth(&ended.stdout)?;
    ensure!(killed.len() == kills, "{} kills", killed.len());
    Ok(killed)
}

fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kib.with_context(|| format!("no VmRSS in {path}"))
}

/// Processes start and end, and cgroups come and go, while predictions are made: no panic, no
/// failure, and always an answer about the cgroup that stays.
pub(super) fn churn(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let stays = Below::new(&room, "memtrace-stays")?;
    set_limit(host, &stays.0, LIMIT)?;
    let over = AtomicBool::new(false);
    let (answers, turns) = thread::scope(|scope| {
        let churner = scope.spawn(|| churn_until(&room, &stays, &over));
        let answers = predictions(host, &room);
        over.store(true, Ordering::Relaxed);
        let turns = churner.join();
        (answers, turns.unwrap_or_else(|_| Ok(0)))
    });
    let (answers, turns) = (answers?, turns?);
    ensure!(turns > 0, "nothing came or went");
    Ok(Outcome::Passed(format!(
        "{answers} answers while {turns} cgroups came and went"
    )))
}

fn churn_until(room: &Room<'_>, stays: &Below, over: &AtomicBool) -> anyhow::Result<u64> {
    let mut turns = 0;
    while !over.load(Ordering::Relaxed) {
        let brief = Below::new(room, "memtrace-brief")?;
        set_limit(room.host, &brief.0, LIMIT)?;
        let mut running = Vec::new();
        for cgroup in [&brief.0, &stays.0, &brief.0] {
            let mut command = room.hog_command(&["sleep", "0.002"]);
            process::join_at(&mut command, cgroup)?;
            running.push(Running::start(&mut command)?);
        }
        running
            .into_iter()
            .try_for_each(|one| one.wait().map(drop))?;
        turns += 1;
    }
    Ok(turns)
}

fn predictions(host: &Host, room: &Room<'_>) -> anyhow::Result<u64> {
    let start = Instant::now();
    let mut answers = 0;
    while start.elapsed() < Duration::from_secs(3) || answers < 3 {
        let cgroup = text(&room.cgroup.path)?;
        let arguments = ["oom", "predict", "--over", "50ms", "-o", "json", cgroup];
        let ended = process::run(process::command(&host.memtrace, arguments))?;
        ensure!(
            ended.status.success() && !ended.stderr.contains("panicked"),
            "{ended:?}"
        );
        let answer: serde_json::Value = serde_json::from_slice(&ended.stdout)?;
        let domains = answer["domains"].as_array().context("no domains")?;
        let stays = |domain: &&serde_json::Value| {
            domain["cgroup"]
                .as_str()
                .is_some_and(|path| path.ends_with("/memtrace-stays"))
        };
        ensure!(domains.iter().any(|domain| stays(&domain)), "{answer}");
        answers += 1;
    }
    Ok(answers)
}
