//! What the scenarios of single kills are made of.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::room::Room;
use crate::{
    cgroup::{self, Version},
    host::Host,
    process::{self, PATIENCE, Running},
};

pub(super) const MIB: u64 = 1 << 20;
pub(super) const LIMIT: u64 = 32 * MIB;
/// O5: on a machine of one's own.
const COMPLETE_S: f64 = 0.2;

/// A cgroup below the room's, removed with the processes in it.
pub(super) struct Below(pub(super) PathBuf);

impl Below {
    pub(super) fn new(room: &Room<'_>, name: &str) -> anyhow::Result<Self> {
        let top = &room.cgroup.path;
        if room.cgroup.version() == Version::V2 {
            fs::write(top.join("cgroup.subtree_control"), "+memory")
                .context("handing the memory controller down")?;
        }
        let path = top.join(name);
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn name(&self, room: &Room<'_>) -> String {
        let own = self.0.file_name().unwrap_or_default();
        format!("{}/{}", room.cgroup.name(), own.display())
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        if let Err(error) = cgroup::remove(&self.0) {
            eprintln!("{error:#}");
        }
    }
}

/// `oom watch` of a cgroup.
pub(super) struct Watch {
    running: Running,
    /// Reports that [`next_in`](Self::next_in) has passed.
    taken: usize,
}

impl Watch {
    /// Ends by itself, after so many kills.
    pub(super) fn start(host: &Host, cgroup: &str, kills: u64) -> anyhow::Result<Self> {
        Self::start_with(host, &[], cgroup, kills)
    }

    /// The same, with more arguments.
    pub(super) fn start_with(
        host: &Host,
        arguments: &[&str],
        cgroup: &str,
        kills: u64,
    ) -> anyhow::Result<Self> {
        let mut command = Self::command(host);
        command.args(arguments);
        command.args(["--kills", &kills.to_string(), "--for", "110s", cgroup]);
        // For fixtures: MEMTRACE_OOM_RECORD names a folder, which gets a recording a watch.
        if let Some(folder) = std::env::var_os("MEMTRACE_OOM_RECORD") {
            let name = format!(
                "{}-{kills}.rec",
                cgroup.rsplit('/').next().unwrap_or_default()
            );
            command
                .arg("--record")
                .arg(PathBuf::from(folder).join(name));
        }
        let watch = Self::attached(&mut command)?;
        // One look before anything grows.
        thread::sleep(Duration::from_millis(100));
        Ok(watch)
    }

    /// Goes on until [`end`](Self::end): attaching takes longer than most kills.
    pub(super) fn start_without_end(host: &Host, cgroup: &str) -> anyhow::Result<Self> {
        Self::attached(Self::command(host).arg(cgroup))
    }

    fn command(host: &Host) -> Command {
        process::command(&host.memtrace, ["-v", "oom", "watch", "-o", "json"])
    }

    fn attached(command: &mut Command) -> anyhow::Result<Self> {
        let mut running = Running::start(command)?;
        running.wait_for_stderr("attached")?;
        Ok(Self { running, taken: 0 })
    }

    pub(super) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// The next report of a kill in this cgroup or below; those of others before it are dropped.
    pub(super) fn next_in(&mut self, cgroup: &str) -> anyhow::Result<Value> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let said = self.running.so_far();
            let complete = said.rfind('\n').map_or("", |end| &said[..end]);
            for line in complete.lines().skip(self.taken) {
                self.taken += 1;
                let report: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
                let victims = report["victim"]["cgroup"].as_str().unwrap_or_default();
                if Path::new(victims).starts_with(cgroup) {
                    return Ok(report);
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
        bail!("memtrace saw no kill in {cgroup}")
    }

    /// Ends one that was started without end.
    pub(super) fn end(self) -> anyhow::Result<()> {
        self.running.signal(Signal::INT)?;
        self.reports().map(drop)
    }

    pub(super) fn reports(self) -> anyhow::Result<Vec<Value>> {
        let ended = self.running.wait()?;
        ensure!(ended.status.success(), "{ended:?}");
        ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        let lines = String::from_utf8_lossy(&ended.stdout).into_owned();
        lines
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect()
    }

    pub(super) fn report(self) -> anyhow::Result<Value> {
        let reports = self.reports()?;
        reports.into_iter().next().context("memtrace saw no kill")
    }
}

/// What a report must say.
pub(super) struct Expected<'a> {
    pub(super) victim: u32,
    pub(super) victim_cgroup: &'a str,
    pub(super) trigger: Option<u32>,
    pub(super) trigger_cgroup: Option<&'a str>,
    pub(super) owner: &'a str,
    pub(super) limit_cgroup: Option<&'a str>,
    pub(super) constraint: &'a str,
}

pub(super) fn check(
    host: &Host,
    report: &Value,
    expected: &Expected<'_>,
) -> anyhow::Result<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &str, found: &Value, wanted: Value| {
        if *found != wanted {
            wrong.push(format!("{what} {found}, not {wanted}"));
        }
    };
    compare("fate", &report["fate"], "chosen".into());
    compare("victim", &report["victim"]["pid"], expected.victim.into());
    let cgroup = &report["victim"]["cgroup"];
    compare("victim's cgroup", cgroup, expected.victim_cgroup.into());
    if let Some(trigger) = expected.trigger {
        compare("trigger", &report["trigger"]["pid"], trigger.into());
    }
    if let Some(wanted) = expected.trigger_cgroup {
        compare(
            "trigger's cgroup",
            &report["trigger"]["cgroup"],
            wanted.into(),
        );
    }
    compare("limit", &report["limit_owner"], expected.owner.into());
    let wanted = expected.limit_cgroup.into();
    compare("limit's cgroup", &report["limit_cgroup"], wanted);
    compare(
        "constraint",
        &report["constraint"],
        expected.constraint.into(),
    );
    let none = Value::Array(Vec::new());
    compare("differences", &report["kernel_log"]["differences"], none);
    ensure!(wrong.is_empty(), "{}: {report}", wrong.join("; "));
    let complete = report["complete_after_seconds"].as_f64();
    let complete = complete.context("no complete_after_seconds")?;
    ensure!(
        complete <= COMPLETE_S || host.is_emulated() || host.is_robbed()?.is_some(),
        "complete after {complete} s: {report}"
    );
    Ok(format!("complete after {:.0} ms", complete * 1e3))
}

/// The rate-limited part of the kernel log is all that tells whose limit it was where the hook is off:
/// ten reports in five seconds.
pub(super) fn let_the_log_rest(host: &Host) {
    if !host.is_emulated() {
        thread::sleep(Duration::from_millis(5_100));
    }
}

pub(super) fn growing(room: &Room<'_>, cgroup: &Path) -> anyhow::Result<Running> {
    let mut command = room.hog_command(&["anon", &(2 * LIMIT).to_string()]);
    process::join_at(&mut command, cgroup)?;
    Running::start(&mut command)
}

/// When a report says that the kill was, `2026-11-21T02:14:07.312000123Z`: seconds within that day.
pub(super) fn killed_at(report: &Value) -> Option<f64> {
    let time = report["time"].as_str()?;
    let clock = time.split_once('T')?.1.strip_suffix('Z')?;
    let mut parts = clock.split(':').map(str::parse::<f64>);
    let mut next = || parts.next()?.ok();
    Some(next()? * 3600.0 + next()? * 60.0 + next()?)
}

/// The same of now.
pub(super) fn seconds_of_day() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |now| now.as_secs_f64() % 86_400.0)
}
