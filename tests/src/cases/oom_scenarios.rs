//! Single kills, each arranged so that trigger, victim and limit are known beforehand.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{
    oom::{pid, set_limit},
    oom_scene::{Below, Expected, LIMIT, MIB, Watch, check, growing, let_the_log_rest},
    room::{Room, text},
};
use crate::{
    cgroup::Version,
    host::Host,
    process::{self, Running},
    suite::Outcome,
};

pub(super) fn own_limit(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let_the_log_rest(host);
    set_limit(host, &room.cgroup.path, LIMIT)?;
    let watch = Watch::start(host, text(&room.cgroup.path)?, 1)?;
    let hog = growing(&room, &room.cgroup.path)?;
    let report = watch.report()?;
    let name = room.cgroup.name();
    let expected = Expected {
        victim: hog.pid(),
        victim_cgroup: &name,
        trigger: Some(hog.pid()),
        trigger_cgroup: Some(&name),
        owner: "own",
        limit_cgroup: Some(&name),
        constraint: "memcg",
    };
    check(host, &report, &expected).map(Outcome::Passed)
}

pub(super) fn parent_limit(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let_the_log_rest(host);
    let below = Below::new(&room, "memtrace-below")?;
    set_limit(host, &room.cgroup.path, LIMIT)?;
    let watch = Watch::start(host, text(&room.cgroup.path)?, 1)?;
    let hog = growing(&room, &below.0)?;
    let report = watch.report()?;
    let name = below.name(&room);
    let expected = Expected {
        victim: hog.pid(),
        victim_cgroup: &name,
        trigger: Some(hog.pid()),
        trigger_cgroup: Some(&name),
        owner: "ancestor",
        limit_cgroup: Some(&room.cgroup.name()),
        constraint: "memcg",
    };
    check(host, &report, &expected).map(Outcome::Passed)
}

/// A shell that lives on stands for the container's first process.
pub(super) fn child_in_a_living_container(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let_the_log_rest(host);
    set_limit(host, &room.cgroup.path, LIMIT)?;
    let watch = Watch::start(host, text(&room.cgroup.path)?, 1)?;
    let hog = text(&host.hog)?;
    let script = format!(
        "{hog} anon {} & echo child $!; wait $!; echo lived; read x",
        2 * LIMIT
    );
    let mut shell = process::command(Path::new("/bin/sh"), ["-c", &script]);
    shell.stdin(Stdio::piped());
    process::join(&mut shell, &room.cgroup)?;
    let mut shell = Running::start(&mut shell)?;
    shell.wait_for_stdout("lived")?;
    let said = shell.so_far();
    let child = said
        .lines()
        .find_map(|line| line.strip_prefix("child ")?.parse().ok())
        .with_context(|| said.clone())?;
    let report = watch.report()?;
    let name = room.cgroup.name();
    let expected = Expected {
        victim: child,
        victim_cgroup: &name,
        trigger: Some(child),
        trigger_cgroup: Some(&name),
        owner: "own",
        limit_cgroup: Some(&name),
        constraint: "memcg",
    };
    let figures = check(host, &report, &expected)?;
    shell.release();
    let ended = shell.wait()?;
    ensure!(
        ended.status.code() == Some(1),
        "the shell did not live on: {ended:?}"
    );
    Ok(Outcome::Passed(figures))
}

/// A file on a tmpfs fills the parent's limit; whoever writes it holds next to nothing itself.
pub(super) fn trigger_elsewhere(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let_the_log_rest(host);
    let (one, other) = (
        Below::new(&room, "memtrace-one")?,
        Below::new(&room, "memtrace-other")?,
    );
    set_limit(host, &room.cgroup.path, LIMIT)?;
    let mut big = room.hog_command(&["anon", &(LIMIT / 2).to_string()]);
    big.stdin(Stdio::piped());
    process::join_at(&mut big, &one.0)?;
    let mut big = Running::start(&mut big)?;
    big.wait_for_stdout("holding")?;
    let watch = Watch::start(host, text(&room.cgroup.path)?, 1)?;
    let file = PathBuf::from(format!("/dev/shm/memtrace-scene-{}", std::process::id()));
    let mut writer = room.hog_command(&["shmem", text(&file)?, &(2 * LIMIT).to_string()]);
    process::join_at(&mut writer, &other.0)?;
    let writer = Running::start(&mut writer)?;
    let report = watch.report();
    // It may not have got as far.
    let _ = fs::remove_file(&file);
    let (victim_cgroup, trigger_cgroup) = (one.name(&room), other.name(&room));
    let expected = Expected {
        victim: big.pid(),
        victim_cgroup: &victim_cgroup,
        trigger: Some(writer.pid()),
        trigger_cgroup: Some(&trigger_cgroup),
        owner: "ancestor",
        limit_cgroup: Some(&room.cgroup.name()),
        constraint: "memcg",
    };
    check(host, &report?, &expected).map(Outcome::Passed)
}

/// Two processes on one memory have equal points, and die together.
pub(super) fn shared_memory(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let_the_log_rest(host);
    set_limit(host, &room.cgroup.path, LIMIT)?;
    let mut hog = room.hog_command(&["shared-memory", &(LIMIT / 2).to_string()]);
    let (reader, mut writer) = std::io::pipe().context("making a pipe")?;
    hog.stdin(reader);
    process::join(&mut hog, &room.cgroup)?;
    let mut running = Running::start(&mut hog)?;
    running.wait_for_stdout("holding")?;
    let said: Value = serde_json::from_str(running.so_far().trim())?;
    let child = said["child"].as_u64().context("no child")? as u32;
    let watch = Watch::start(host, text(&room.cgroup.path)?, 1)?;
    writer.write_all(b"grow\n").context("telling the hog")?;
    let report = watch.report()?;
    let both = [running.pid(), child];
    let victim = pid(&report["victim"]).filter(|pid| both.contains(pid));
    let victim = victim.with_context(|| format!("none of {both:?}: {report}"))?;
    let name = room.cgroup.name();
    let expected = Expected {
        victim,
        victim_cgroup: &name,
        trigger: Some(running.pid()),
        trigger_cgroup: Some(&name),
        owner: "own",
        limit_cgroup: Some(&name),
        constraint: "memcg",
    };
    let figures = check(host, &report, &expected)?;
    let along = report["also_killed"].as_array().into_iter().flatten();
    let along: Vec<_> = along.filter_map(pid).collect();
    let other: Vec<u32> = both.into_iter().filter(|pid| *pid != victim).collect();
    ensure!(
        along == other,
        "dies along: {along:?}, not {other:?}: {report}"
    );
    Ok(Outcome::Passed(figures))
}

pub(super) fn group(host: &Host) -> anyhow::Result<Outcome> {
    if host.hierarchy.version == Version::V1 {
        return Ok(Outcome::Skipped(
            "cgroup v1 has no memory.oom.group".to_owned(),
        ));
    }
    let by_hooks = group_killed(host, &[])?;
    let unhooked = [
        "--without-hook",
        "fentry/oom_kill_process",
        "--without-hook",
        "kprobe/oom_kill_process",
    ];
    let by_the_log = group_killed(host, &unhooked)?;
    Ok(Outcome::Passed(format!(
        "by the hooks: {by_hooks}; by the kernel log: {by_the_log}"
    )))
}

fn group_killed(host: &Host, arguments: &[&str]) -> anyhow::Result<String> {
    let room = Room::new(host)?;
    set_limit(host, &room.cgroup.path, LIMIT)?;
    room.cgroup.set("memory.oom.group", "1")?;
    let small = room.hog_holding(&["anon", &MIB.to_string()])?;
    let watch = Watch::start_with(host, arguments, text(&room.cgroup.path)?, 1)?;
    let hog = growing(&room, &room.cgroup.path)?;
    let report = watch.report()?;
    let name = room.cgroup.name();
    let expected = Expected {
        victim: hog.pid(),
        victim_cgroup: &name,
        trigger: Some(hog.pid()),
        trigger_cgroup: Some(&name),
        owner: "own",
        limit_cgroup: Some(&name),
        constraint: "memcg",
    };
    let figures = check(host, &report, &expected)?;
    let along = report["also_killed"].as_array().into_iter().flatten();
    let along: Vec<_> = along.filter_map(pid).collect();
    ensure!(along == [small.pid()], "dies along: {along:?}: {report}");
    Ok(figures)
}

/// In a machine of its own only: the kernel chooses among all processes there are.
pub(super) fn sysrq(host: &Host) -> anyhow::Result<Outcome> {
    if !host.is_emulated() {
        return Ok(Outcome::Skipped(
            "only in a virtual machine of its own".to_owned(),
        ));
    }
    let room = Room::new(host)?;
    let hog = room.hog_holding(&["anon", &LIMIT.to_string()])?;
    fs::write(format!("/proc/{}/oom_score_adj", hog.pid()), "1000").context("oom_score_adj")?;
    let watch = Watch::start(host, text(&room.cgroup.path)?, 1)?;
    fs::write("/proc/sysrq-trigger", "f").context("writing f to /proc/sysrq-trigger")?;
    let report = watch.report()?;
    let expected = Expected {
        victim: hog.pid(),
        victim_cgroup: &room.cgroup.name(),
        trigger: None,
        trigger_cgroup: None,
        owner: "node",
        limit_cgroup: None,
        constraint: "none",
    };
    let figures = check(host, &report, &expected)?;
    ensure!(report["order"] == -1, "order {}: {report}", report["order"]);
    Ok(Outcome::Passed(figures))
}

/// The same, by using up the machine's memory.
pub(super) fn node(host: &Host) -> anyhow::Result<Outcome> {
    if !host.is_emulated() {
        return Ok(Outcome::Skipped(
            "only in a virtual machine of its own".to_owned(),
        ));
    }
    let room = Room::new(host)?;
    let meminfo = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let total: u64 = meminfo
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .context("no MemTotal")?;
    // One allocation of all memory would be refused (mm/util.c, `__vm_enough_memory`).
    let part = total * 1024 / 100 * 55;
    let _other = room.hog_holding(&["anon", &part.to_string()])?;
    let watch = Watch::start(host, text(&room.cgroup.path)?, 1)?;
    let script = format!(
        "echo 1000 > /proc/self/oom_score_adj; exec {} anon {}",
        text(&host.hog)?,
        part
    );
    let mut hog = process::command(Path::new("/bin/sh"), ["-c", &script]);
    process::join(&mut hog, &room.cgroup)?;
    let hog = Running::start(&mut hog)?;
    let report = watch.report()?;
    let expected = Expected {
        victim: hog.pid(),
        victim_cgroup: &room.cgroup.name(),
        trigger: None,
        trigger_cgroup: None,
        owner: "node",
        limit_cgroup: None,
        constraint: "none",
    };
    let figures = check(host, &report, &expected)?;
    let complete = report["complete_after_seconds"]
        .as_f64()
        .unwrap_or(f64::MAX);
    ensure!(complete <= 1.0, "complete after {complete} s");
    Ok(Outcome::Passed(figures))
}

/// The cgroup is gone as soon as its process is.
pub(super) fn cgroup_removed(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let_the_log_rest(host);
    let below = Below::new(&room, "memtrace-brief")?;
    set_limit(host, &below.0, LIMIT)?;
    let watch = Watch::start(host, text(&room.cgroup.path)?, 1)?;
    let hog = growing(&room, &below.0)?;
    let (victim, name) = (hog.pid(), below.name(&room));
    let ended = hog.wait()?;
    ensure!(!ended.status.success(), "{ended:?}");
    let start = Instant::now();
    while fs::remove_dir(&below.0).is_err() {
        ensure!(
            start.elapsed() < Duration::from_secs(5),
            "the cgroup stays busy"
        );
    }
    let report = watch.report()?;
    let expected = Expected {
        victim,
        victim_cgroup: &name,
        trigger: Some(victim),
        trigger_cgroup: Some(&name),
        owner: "own",
        limit_cgroup: Some(&name),
        constraint: "memcg",
    };
    check(host, &report, &expected).map(Outcome::Passed)
}
