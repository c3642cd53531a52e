//! Whom the OOM killer chooses: predicted, provoked, compared.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{
    oom_scene::{Below, Watch},
    room::Room,
};
use crate::{
    cgroup::Version,
    host::Host,
    kmsg::KernelLog,
    process::{self, Running},
    suite::Outcome,
};

/// Limit of a herd's cgroup.
pub(super) const LIMIT_BYTES: u64 = 48 << 20;
/// Herds unless `MEMTRACE_OOM_KILLS` says otherwise.
pub(super) const KILLS: u64 = 4;
/// First seed unless `MEMTRACE_OOM_SEED` says otherwise.
pub(super) const SEED: u64 = 1;

/// What a run of herds came to.
#[derive(Default)]
struct Grades {
    kills: u64,
    right: u64,
    certain: u64,
    certain_right: u64,
    ties: u64,
    along_right: u64,
    baseline_score: u64,
    baseline_rss: u64,
    points_seen: u64,
    points_equal: u64,
    candidates_seen: u64,
    candidates_agree: u64,
    misses: Vec<String>,
}

/// Random herds; each time one is killed, the prediction made just before is compared with the
/// kernel's choice: the victim, its points, who dies along, and every candidate's points.
pub(super) fn herds(host: &Host) -> anyhow::Result<Outcome> {
    let (kills, first) = wishes(KILLS)?;
    let room = Room::new(host)?;
    let mut watch = Watch::start_without_end(host, super::room::text(&room.cgroup.path)?)?;
    let mut grades = Grades::default();
    for seed in first..first + kills {
        herd(&room, &mut watch, seed, &mut grades).with_context(|| format!("seed {seed}"))?;
        // A run of many takes long in an emulated machine.
        eprintln!(
            "# seed {seed}: {} of {} right, points {} of {}, candidates {} of {}",
            grades.right,
            grades.kills,
            grades.points_equal,
            grades.points_seen,
            grades.candidates_agree,
            grades.candidates_seen
        );
    }
    watch.end()?;
    let Grades {
        kills,
        right,
        certain,
        certain_right,
        ties,
        along_right,
        baseline_score,
        baseline_rss,
        points_seen,
        points_equal,
        candidates_seen,
        candidates_agree,
        ref misses,
    } = grades;
    let figures = format!(
        "{right} of {kills} victims right, {certain_right} of {certain} certain ones, {ties} ties; \
         all who died {along_right}; points equal {points_equal} of {points_seen}; candidates \
         {candidates_agree} of {candidates_seen}; oom_score {baseline_score}, rss {baseline_rss}"
    );
    let all = [
        certain_right == certain,
        right + ties >= kills,
        points_equal == points_seen,
        candidates_agree == candidates_seen,
        along_right + ties >= kills,
    ];
    ensure!(
        all.iter().all(|held| *held),
        "{figures}: {}",
        misses.join("; ")
    );
    Ok(Outcome::Passed(figures))
}

/// How many herds, and the first seed.
pub(super) fn wishes(kills: u64) -> anyhow::Result<(u64, u64)> {
    let number = |name, default| match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(default),
    };
    Ok((
        number("MEMTRACE_OOM_KILLS", kills)?,
        number("MEMTRACE_OOM_SEED", SEED)?,
    ))
}

fn herd(room: &Room<'_>, watch: &mut Watch, seed: u64, grades: &mut Grades) -> anyhow::Result<()> {
    let host = room.host;
    let pasture = pasture(room, seed)?;
    let cgroup = super::room::text(&pasture.0)?.to_owned();
    let min_adj = lowest_adj().to_string();
    let mut command =
        room.hog_command(&["herd", &seed.to_string(), &cgroup, "--min-adj", &min_adj]);
    command.stdin(Stdio::piped());
    let mut herd = Running::start(&mut command)?;
    herd.wait_for_stdout("holding")?;
    let mut log = KernelLog::open()?;

    let [by_score, by_rss] = baselines(&pasture.0)?;
    let mut threads = threads(&pasture.0)?;
    let predicted = predict(host, &cgroup)?;
    let filler = fill(room, &pasture, 0)?;
    let filler_pid = filler.pid();
    threads.insert(filler.pid(), filler.pid());
    let report = watch.next_in(&pasture.name(room))?;
    drop(filler);
    // What the kernel says itself is the judge; where the log is quiet, what the hook saw.
    let said = first_killed(&mut log, &threads)?;
    let seen = pid(&report["victim"]).context("no victim in the report")?;
    let actual = said.unwrap_or(seen);
    grade(seed, grades, &predicted, &report, actual, filler_pid);
    grades.baseline_score += u64::from(by_score == Some(actual));
    grades.baseline_rss += u64::from(by_rss == Some(actual));
    ensure!(
        said.is_none_or(|said| said == seen),
        "the kernel log says {said:?} was killed, oom watch {seen}"
    );
    herd.release();
    let ended = herd.wait()?;
    ensure!(ended.status.success(), "{ended:?}");
    Ok(())
}

fn grade(
    seed: u64,
    grades: &mut Grades,
    predicted: &Value,
    report: &Value,
    actual: u32,
    filler_pid: u32,
) {
    let own = &predicted["domains"][0];
    let victim = pid(&own["victim"]);
    let confidence = own["confidence"].as_str().unwrap_or("none");
    let tied = own["tied"]
        .as_array()
        .is_some_and(|tied| tied.iter().any(|task| pid(task) == Some(actual)));
    let right = victim == Some(actual);
    grades.kills += 1;
    grades.right += u64::from(right);
    grades.ties += u64::from(!right && tied);
    if confidence == "certain" {
        grades.certain += 1;
        grades.certain_right += u64::from(right);
    }
    if !right {
        grades.misses.push(format!(
            "seed {seed}: predicted {victim:?} ({confidence}, margin {}), killed {actual}",
            own["margin_points"]
        ));
    }
    let pids = |list: &Value| -> Vec<u32> {
        let mut pids: Vec<u32> = list
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(pid)
            // Came after the prediction, into a cgroup that may die as a group.
            .filter(|pid| *pid != filler_pid)
            .collect();
        pids.sort_unstable();
        pids
    };
    let along = pids(&own["also_killed"]) == pids(&report["also_killed"]);
    grades.along_right += u64::from(right && along);
    if right && !along {
        grades.misses.push(format!(
            "seed {seed}: die along: predicted {}, did {}",
            own["also_killed"], report["also_killed"]
        ));
    }
    let kernels = report["points_are_the_kernels"] == true;
    if let Some(points) = report["points"].as_i64().filter(|_| right && kernels) {
        grades.points_seen += 1;
        let equal = own["victim"]["points"].as_i64() == Some(points);
        grades.points_equal += u64::from(equal);
        if !equal {
            grades.misses.push(format!(
                "seed {seed}: points predicted {}, kernel's {points}",
                own["victim"]["points"]
            ));
        }
    }
    for candidate in report["candidates"].as_array().into_iter().flatten() {
        if let Some(agrees) = candidate["model_agrees"].as_bool() {
            grades.candidates_seen += 1;
            grades.candidates_agree += u64::from(agrees);
            if !agrees {
                grades.misses.push(format!("seed {seed}: {candidate}"));
            }
        }
    }
}

pub(super) fn pid(task: &Value) -> Option<u32> {
    task["pid"].as_u64().and_then(|pid| pid.try_into().ok())
}

fn predict(host: &Host, cgroup: &str) -> anyhow::Result<Value> {
    let arguments = ["oom", "predict", "--over", "0s", "-o", "json", cgroup];
    let finished = process::run(process::command(&host.memtrace, arguments))?;
    ensure!(finished.status.success(), "{finished:?}");
    serde_json::from_slice(&finished.stdout).context("reading the prediction")
}

/// The processes in the cgroup and below.
pub(super) fn processes(cgroup: &Path) -> anyhow::Result<Vec<u32>> {
    let mut pids = Vec::new();
    let mut waiting = vec![cgroup.to_owned()];
    while let Some(directory) = waiting.pop() {
        let procs = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        pids.extend(procs.lines().filter_map(|pid| pid.parse::<u32>().ok()));
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            }
        }
    }
    Ok(pids)
}

/// The process of each thread: the kernel log names the thread that holds the memory, which is not
/// the first one where that has exited.
pub(super) fn threads(cgroup: &Path) -> anyhow::Result<BTreeMap<u32, u32>> {
    let mut threads = BTreeMap::new();
    for pid in processes(cgroup)? {
        for entry in fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
        {
            if let Some(tid) = entry?.file_name().to_str().and_then(|tid| tid.parse().ok()) {
                threads.insert(tid, pid);
            }
        }
    }
    Ok(threads)
}

/// The highest `/proc/PID/oom_score`, and the largest VmRSS, of the processes in the cgroup.
fn baselines(cgroup: &Path) -> anyhow::Result<[Option<u32>; 2]> {
    let pids = processes(cgroup)?;
    let score = |pid: &u32| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/oom_score")).ok()?;
        text.trim().parse().ok()
    };
    let rss = |pid: &u32| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Ok([
        pids.iter().copied().max_by_key(|pid| score(pid)),
        pids.iter().copied().max_by_key(|pid| rss(pid)),
    ])
}

/// A limited cgroup of its own for a herd.
pub(super) fn pasture(room: &Room<'_>, seed: u64) -> anyhow::Result<Below> {
    let pasture = Below::new(room, &format!("memtrace-pasture-{seed}"))?;
    set_limit(room.host, &pasture.0, LIMIT_BYTES)?;
    Ok(pasture)
}

/// Fills a herd's cgroup with pages that no process maps: nobody's points change.
pub(super) fn fill(room: &Room<'_>, pasture: &Below, rate_kib: u64) -> anyhow::Result<Filler> {
    let file = std::path::PathBuf::from(format!("/dev/shm/memtrace-fill-{}", std::process::id()));
    let leaf = pasture.0.join("memtrace-herd-0");
    let mut command = room.hog_command(&["shmem"]);
    command.arg(&file).arg((2 * LIMIT_BYTES).to_string());
    command.args(["--rate-kib", &rate_kib.to_string()]);
    command.stdin(Stdio::piped());
    process::join_at(&mut command, &leaf)?;
    Ok(Filler {
        file,
        running: Running::start(&mut command)?,
    })
}

pub(super) struct Filler {
    file: std::path::PathBuf,
    running: Running,
}

impl Filler {
    pub(super) fn pid(&self) -> u32 {
        self.running.pid()
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        // It may not have got as far.
        let _ = fs::remove_file(&self.file);
    }
}

/// Limits a cgroup, swap aside.
pub(super) fn set_limit(host: &Host, cgroup: &Path, bytes: u64) -> anyhow::Result<()> {
    let set = |name: &str, value: &str| {
        let path = cgroup.join(name);
        fs::write(&path, value).with_context(|| format!("writing {}", path.display()))
    };
    match host.hierarchy.version {
        Version::V1 => set("memory.limit_in_bytes", &bytes.to_string()),
        Version::V2 => {
            set("memory.max", &bytes.to_string())?;
            // Where the machine has swap, its use would blur the figures.
            match cgroup.join("memory.swap.max").exists() {
                true => set("memory.swap.max", "0"),
                false => Ok(()),
            }
        }
    }
}

/// The lowest `oom_score_adj` that this process may give its children.
pub(super) fn lowest_adj() -> i32 {
    let path = "/proc/self/oom_score_adj";
    let now = fs::read_to_string(path)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    match fs::write(path, "-1000") {
        Ok(()) => {
            // Back to what it was, which is always allowed.
            let _ = fs::write(path, now.to_string());
            -1000
        }
        Err(_) => now,
    }
}

/// The first of these processes that the kernel log names; `None` if it names none in time.
pub(super) fn first_killed(
    log: &mut KernelLog,
    threads: &BTreeMap<u32, u32>,
) -> anyhow::Result<Option<u32>> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        // Others on this machine may be killed at the same time.
        let killed = log.killed()?;
        if let Some(pid) = killed.iter().find_map(|line| threads.get(&line.pid)) {
            return Ok(Some(*pid));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(None)
}
