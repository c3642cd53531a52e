//! Herds that grow until one of them is killed, while `oom watch` keeps its prediction up to date:
//! what it foretold, and what others would have, against the kernel's choice.

use std::{
    collections::VecDeque,
    fs,
    io::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{
    oom::{self, LIMIT_BYTES, fill, first_killed, lowest_adj, pasture, pid, processes, threads},
    oom_scene::{self, Watch, killed_at, seconds_of_day},
    room::Room,
};
use crate::{host::Host, kmsg::KernelLog, process::Running, suite::Outcome};

/// Herds unless `MEMTRACE_OOM_KILLS` says otherwise.
const KILLS: u64 = 3;
/// How fast a herd grows, KiB a second.
const GROW_KIB: u64 = 32 << 10;
/// Readings of the baselines that are kept.
const READINGS: usize = 64;

/// Each kill is a line `# kill {...}` on standard output, for `cargo xtask bench oom`.
pub(super) fn growing(host: &Host) -> anyhow::Result<Outcome> {
    let (kills, first) = oom::wishes(KILLS)?;
    let (mut now, mut certain, mut certain_right, mut at_limit) = (0, 0, 0, 0);
    let (mut wrong, mut failed) = (Vec::new(), Vec::new());
    let room = Room::new(host)?;
    oom_scene::let_the_log_rest(host);
    let mut watch = Watch::start_without_end(host, super::room::text(&room.cgroup.path)?)?;
    for seed in first..first + kills {
        let kill = match herd(&room, &mut watch, seed) {
            Ok(kill) => kill,
            // What the other seeds show is worth having.
            Err(error) => {
                failed.push(format!("seed {seed}: {error:#}"));
                continue;
            }
        };
        println!("# kill {kill}");
        let held = |one: &Value| one["held"] == "right" || one["held"] == "tie";
        now += u64::from(held(&kill["now"]));
        at_limit += u64::from(held(&kill["at_limit"]));
        if kill["now"]["confidence"] == "certain" {
            certain += 1;
            certain_right += u64::from(kill["now"]["held"] == "right");
        }
        if !held(&kill["now"]) {
            wrong.push(format!("seed {seed}: {}", kill["now"]));
        }
    }
    watch.end()?;
    let figures = format!(
        "{kills} kills: now {now} right, {certain_right} of {certain} certain ones; at the limit \
         {at_limit}"
    );
    ensure!(failed.is_empty(), "{figures}; {}", failed.join("; "));
    ensure!(certain_right == certain, "{figures}; {}", wrong.join("; "));
    Ok(Outcome::Passed(figures))
}

fn herd(room: &Room<'_>, watch: &mut Watch, seed: u64) -> anyhow::Result<Value> {
    let host = room.host;
    let pasture = pasture(room, seed)?;
    let cgroup = super::room::text(&pasture.0)?;
    let min_adj = lowest_adj().to_string();
    let grow = host.scaled(GROW_KIB).to_string();
    let arguments = [
        "herd",
        &seed.to_string(),
        cgroup,
        "--min-adj",
        &min_adj,
        "--grow-kib",
        &grow,
    ];
    let mut command = room.hog_command(&arguments);
    let (reader, mut writer) = std::io::pipe().context("making a pipe")?;
    command.stdin(reader);
    let mut herd = Running::start(&mut command)?;
    // The command keeps the reading end open.
    drop(command);
    herd.wait_for_stdout("holding")?;
    let grows = !herd.so_far().contains("\"growers\":0");

    let mut log = KernelLog::open()?;
    let mut threads = threads(&pasture.0)?;
    let baselines = Baselines::start(processes(&pasture.0)?, host.page_bytes);
    // One look at the herd at rest.
    thread::sleep(Duration::from_millis(150));
    let filler = match grows {
        true => {
            writer.write_all(b"grow\n").context("telling the herd")?;
            None
        }
        false => Some(fill(room, &pasture, host.scaled(GROW_KIB) / 2)?),
    };
    if let Some(filler) = &filler {
        threads.insert(filler.pid(), filler.pid());
    }
    let report = watch.next_in(&pasture.name(room));
    let readings = baselines.stop();
    let report = report?;
    drop(filler);
    let said = first_killed(&mut log, &threads)?;
    drop(writer);
    let ended = herd.wait()?;
    ensure!(ended.status.success(), "{ended:?}");

    let actual = pid(&report["victim"]).context("no victim in the report")?;
    ensure!(
        said.is_none_or(|said| said == actual),
        "the kernel log says {said:?} was killed, oom watch {actual}"
    );
    Ok(judged(host, seed, grows, &report, &readings, actual))
}

fn judged(
    host: &Host,
    seed: u64,
    grows: bool,
    report: &Value,
    readings: &[Reading],
    actual: u32,
) -> Value {
    let killed_at = killed_at(report);
    let last = readings
        .iter()
        .rev()
        .find(|reading| killed_at.is_some_and(|at| reading.unix_s < at));
    let baseline = |which: usize| last.map(|reading| reading.choice[which] == Some(actual));
    let agree = |agrees: bool| {
        let rows = report["candidates"].as_array().into_iter().flatten();
        rows.filter(|row| row["model_agrees"] == agrees).count()
    };
    json!({
        "kernel": host.kernel_release,
        "cgroup_version": host.hierarchy.version as u8,
        "emulated": host.is_emulated(),
        "seed": seed,
        "grows": grows,
        "fate": report["fate"],
        "limit_owner": report["limit_owner"],
        "victim": actual,
        "now": report["foretold"]["now"],
        "at_limit": report["foretold"]["at_limit"],
        "oom_score": baseline(0),
        "rss": baseline(1),
        "proc_badness": baseline(2),
        "baseline_before_seconds": last.zip(killed_at).map(|(reading, at)| at - reading.unix_s),
        "candidates_source": report["candidates_source"],
        "candidates_agree": agree(true),
        "candidates_differ": agree(false),
        "complete_after_seconds": report["complete_after_seconds"],
        "differences": report["kernel_log"]["differences"],
    })
}

/// Whom others would name at one instant: by the highest `/proc/PID/oom_score`, by the largest
/// VmRSS, and by the kernel's formula from `/proc/PID/status`.
struct Reading {
    unix_s: f64,
    choice: [Option<u32>; 3],
}

struct Baselines {
    stop: Arc<AtomicBool>,
    readings: Arc<Mutex<VecDeque<Reading>>>,
    thread: thread::JoinHandle<()>,
}

impl Baselines {
    fn start(pids: Vec<u32>, page_bytes: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let readings = Arc::new(Mutex::new(VecDeque::new()));
        let (told, kept) = (Arc::clone(&stop), Arc::clone(&readings));
        let thread = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                let reading = Reading {
                    choice: choices(&pids, page_bytes),
                    unix_s: seconds_of_day(),
                };
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() >= READINGS {
                    kept.pop_front();
                }
                kept.push_back(reading);
                drop(kept);
                thread::sleep(Duration::from_millis(10));
            }
        });
        Self {
            stop,
            readings,
            thread,
        }
    }

    fn stop(self) -> Vec<Reading> {
        self.stop.store(true, Ordering::Relaxed);
        // A panic there leaves what was read before.
        let _ = self.thread.join();
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        readings.drain(..).collect()
    }
}

fn choices(pids: &[u32], page_bytes: u64) -> [Option<u32>; 3] {
    let read = |pid: &u32, name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let score = |pid: &u32| read(pid, "oom_score")?.trim().parse::<i64>().ok();
    let status = |text: &str, key: &str| -> Option<i64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    let rss = |pid: &u32| status(&read(pid, "status")?, "VmRSS:");
    // mm/oom_kill.c, oom_badness, as far as /proc shows its terms.
    let badness = |pid: &u32| -> Option<i64> {
        let adj: i64 = read(pid, "oom_score_adj")?.trim().parse().ok()?;
        if adj == -1000 {
            return None;
        }
        let text = read(pid, "status")?;
        let kib = status(&text, "VmRSS:")? + status(&text, "VmSwap:")? + status(&text, "VmPTE:")?;
        let page_kib = page_bytes as i64 / 1024;
        let totalpages = (LIMIT_BYTES / page_bytes) as i64;
        Some(kib / page_kib + adj * (totalpages / 1000))
    };
    let best = |points: &dyn Fn(&u32) -> Option<i64>| {
        let scored = pids.iter().filter_map(|pid| Some((points(pid)?, *pid)));
        scored.max_by_key(|(points, _)| *points).map(|(_, pid)| pid)
    };
    [best(&score), best(&rss), best(&badness)]
}
