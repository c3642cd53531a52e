//! Runs of `memtrace explain`, and what must be true of every one of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;

use crate::{
    answer::Answer,
    bound,
    cgroup::{Reading, TestCgroup},
    host::Host,
    process::{self, Finished, Running},
};

/// memtrace says this with `-v` once its hooks are attached and its first reading is done.
const ATTACHED: &str = "attached";

/// `memtrace explain` of a cgroup, at work.
pub struct Watch<'a> {
    host: &'a Host,
    cgroup: &'a TestCgroup,
    running: Running,
    recording: PathBuf,
    before: [Reading; 2],
    attached_after: Duration,
}

/// A run that has ended.
pub struct Explained {
    /// What it printed, read.
    pub answer: Answer,
    /// What it printed.
    pub finished: Finished,
    /// Where it recorded.
    pub recording: PathBuf,
    /// The cgroup as the test read it: before and after memtrace's first reading, before and after
    /// its last.
    pub readings: Option<[Reading; 4]>,
}

impl<'a> Watch<'a> {
    /// Starts to watch a cgroup, and returns when memtrace does.
    pub fn start(host: &'a Host, cgroup: &'a TestCgroup, folder: &Path) -> anyhow::Result<Self> {
        Self::start_with(host, cgroup, folder, &[])
    }

    /// The same, with more options.
    pub fn start_with(
        host: &'a Host,
        cgroup: &'a TestCgroup,
        folder: &Path,
        options: &[&str],
    ) -> anyhow::Result<Self> {
        let recording = folder.join("recording");
        let first = cgroup.read_settled()?;
        let mut command = explain(host, &recording);
        command
            .args(options)
            .arg(&cgroup.path)
            .args(["--for", "600s"]);
        let start = Instant::now();
        let mut running = Running::start(&mut command)?;
        running.wait_for_stderr(ATTACHED)?;
        let attached_after = start.elapsed();
        Ok(Self {
            host,
            cgroup,
            running,
            recording,
            before: [first, cgroup.read()?],
            attached_after,
        })
    }

    /// memtrace's process.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// From starting memtrace to its hooks being attached.
    pub fn attached_after(&self) -> Duration {
        self.attached_after
    }

    /// Ends the window with Ctrl-C, as a user would, once the counters are at rest, and checks
    /// what must be true of every run.
    pub fn finish(self) -> anyhow::Result<Explained> {
        let host = self.host;
        let explained = self.finish_unchecked()?;
        explained.check(host)?;
        Ok(explained)
    }

    /// Ends the window likewise, and checks nothing.
    pub fn finish_unchecked(self) -> anyhow::Result<Explained> {
        let [first, second] = self.before;
        let third = self.cgroup.read_settled()?;
        self.running.signal(Signal::INT)?;
        let finished = self.running.wait()?;
        let fourth = self.cgroup.read()?;
        ensure!(
            finished.status.code() == Some(0),
            "memtrace: {}: {}",
            finished.status,
            finished.stderr
        );
        Explained::read(
            finished,
            self.recording,
            Some([first, second, third, fourth]),
        )
    }
}

/// Runs `memtrace explain -- COMMAND`; it must end with the exit code `code`.
pub fn explain_command(
    host: &Host,
    folder: &Path,
    command: &Command,
    code: i32,
) -> anyhow::Result<Explained> {
    explain_command_with(host, folder, &[], command, code)
}

/// The same, with more options.
pub fn explain_command_with(
    host: &Host,
    folder: &Path,
    options: &[&str],
    command: &Command,
    code: i32,
) -> anyhow::Result<Explained> {
    let recording = folder.join("recording");
    let mut explain = explain(host, &recording);
    explain
        .args(options)
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args());
    let finished = process::run(explain)?;
    ensure!(
        finished.status.code() == Some(code),
        "memtrace: {}, not {code}: {}",
        finished.status,
        finished.stderr
    );
    let explained = Explained::read(finished, recording, None)?;
    explained.check(host)?;
    Ok(explained)
}

fn explain(host: &Host, recording: &Path) -> Command {
    let mut command = process::command(&host.memtrace, ["explain", "-v", "-o", "json"]);
    command.arg("--record").arg(recording);
    command
}

/// `memtrace explain --replay RECORDING -o json`.
pub fn replay(host: &Host, recording: &Path) -> anyhow::Result<Finished> {
    let mut command = process::command(&host.memtrace, ["explain", "-o", "json", "--replay"]);
    command.arg(recording);
    process::run(command)
}

impl Explained {
    fn read(
        finished: Finished,
        recording: PathBuf,
        readings: Option<[Reading; 4]>,
    ) -> anyhow::Result<Self> {
        ensure!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
        // What the command under `--` prints comes first; the answer is the last line or block.
        let start = answer_start(&finished.stdout);
        Ok(Self {
            answer: Answer::parse(&finished.stdout[start..])?,
            finished,
            recording,
            readings,
        })
    }

    /// What holds of every run: the ledger (F3), no loss (F4), replay (F5).
    pub fn check(&self, host: &Host) -> anyhow::Result<()> {
        self.check_ledger(host)?;
        self.answer.check_conservation()?;
        self.answer.check_no_loss(host.preemptible_hooks())?;
        self.check_replay(host)
    }

    /// F3: sums, a residual within a justified bound, both working sets as the cgroup files gave
    /// them.
    pub fn check_ledger(&self, host: &Host) -> anyhow::Result<()> {
        let answer = &self.answer;
        answer.check_sums()?;
        // Pages in the swap cache that nobody maps are in usage, but in no counter: how many of all
        // that are there is not told.
        let swapcache = self.readings.map_or(0, |readings| {
            let all = readings.iter().map(|reading| reading.swapcached_bytes);
            all.max().unwrap_or(0)
        });
        let justified = bound::justified_bytes(host) + swapcache;
        ensure!(
            answer.error_bound_bytes <= justified,
            "error bound {} is more than the {justified} that {} CPUs justify",
            answer.error_bound_bytes,
            host.cpus
        );
        ensure!(
            answer.unexplained_bytes.unsigned_abs() <= answer.error_bound_bytes,
            "unexplained {} is more than the bound {}; {:?}",
            answer.unexplained_bytes,
            answer.error_bound_bytes,
            answer.components
        );
        for phase in &answer.phases {
            ensure!(
                phase.unexplained_bytes.unsigned_abs() <= phase.error_bound_bytes,
                "{}: unexplained {} is more than the bound {}; {:?}",
                phase.name,
                phase.unexplained_bytes,
                phase.error_bound_bytes,
                phase.components
            );
        }
        if let Some([first, second, third, fourth]) = self.readings {
            let stock = bound::stock_bytes(host);
            between(
                "before",
                answer.working_set.before_bytes,
                first,
                second,
                stock,
            )?;
            between(
                "after",
                answer.working_set.after_bytes,
                third,
                fourth,
                stock,
            )?;
        }
        Ok(())
    }

    /// Growth of the active file list in bytes, as the test read it.
    pub fn active_file_growth_bytes(&self) -> anyhow::Result<i64> {
        let [_, before, after, _] = self.readings.context("a run that was not watched")?;
        Ok(after.active_file_bytes as i64 - before.active_file_bytes as i64)
    }

    /// F5: replaying the recording prints the same bytes.
    pub fn check_replay(&self, host: &Host) -> anyhow::Result<()> {
        let replayed = replay(host, &self.recording)?;
        ensure!(
            replayed.status.success(),
            "replay: {}: {}",
            replayed.status,
            replayed.stderr
        );
        let live = &self.finished.stdout[answer_start(&self.finished.stdout)..];
        if replayed.stdout != live {
            let at = replayed
                .stdout
                .iter()
                .zip(live)
                .take_while(|(a, b)| a == b)
                .count();
            let around = |bytes: &[u8]| {
                let to = bytes.len().min(at + 60);
                String::from_utf8_lossy(&bytes[at.saturating_sub(60).min(to)..to]).into_owned()
            };
            bail!(
                "replay differs from live at byte {at}: {:?} but live {:?}",
                around(&replayed.stdout),
                around(live)
            );
        }
        Ok(())
    }

    /// Figures that every case shows.
    pub fn figures(&self) -> String {
        let answer = &self.answer;
        format!(
            "working set {:+}, unexplained {} of {}, {} pages",
            answer.working_set.delta_bytes,
            answer.unexplained_bytes,
            answer.error_bound_bytes,
            answer.trust.pages_produced
        )
    }

    /// Size of the recording in bytes.
    pub fn recording_bytes(&self) -> anyhow::Result<u64> {
        let path = &self.recording;
        Ok(fs::metadata(path)
            .with_context(|| path.display().to_string())?
            .len())
    }
}

/// memtrace's reading lies between the test's. If they agree nothing moved meanwhile, and then it
/// is the same to the byte; if not, it may be off by what another cgroup's charge can drain.
fn between(
    name: &str,
    bytes: u64,
    earlier: Reading,
    later: Reading,
    stock: u64,
) -> anyhow::Result<()> {
    let (a, b) = (earlier.working_set_bytes(), later.working_set_bytes());
    let slack = if earlier == later { 0 } else { stock };
    ensure!(
        (a.min(b).saturating_sub(slack)..=a.max(b) + slack).contains(&bytes),
        "working_set.{name}_bytes {bytes}, but the cgroup files gave {a} and then {b}"
    );
    Ok(())
}

/// Where the answer starts in standard output: the last line that opens a JSON object.
fn answer_start(stdout: &[u8]) -> usize {
    if stdout.starts_with(b"{\n") || stdout.starts_with(b"{\"schema_version") {
        return 0;
    }
    stdout
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| *pair == b"\n{")
        .map(|(at, _)| at + 1)
        .next_back()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(usage_bytes: u64) -> Reading {
        Reading {
            usage_bytes,
            inactive_file_bytes: 0,
            active_file_bytes: 0,
            swapcached_bytes: 0,
        }
    }

    #[test]
    fn quiet_cgroups_are_compared_to_the_byte() {
        assert!(between("before", 10, reading(10), reading(10), 8).is_ok());
        assert!(between("before", 11, reading(10), reading(10), 8).is_err());
        assert!(between("before", 11, reading(10), reading(12), 8).is_ok());
        assert!(between("before", 21, reading(10), reading(12), 8).is_err());
    }

    #[test]
    fn the_answer_follows_what_the_command_printed() {
        assert_eq!(answer_start(b"{\"schema_version\":1}\n"), 0);
        assert_eq!(answer_start(b"x\n{\"schema_version\":1}\n"), 2);
    }
}
