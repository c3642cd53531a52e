//! F6: `explain -- COMMAND` is as transparent as a shell: exit codes, signals, children.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::{
    room::{Room, text, truth},
    wrong_input::ensure_failed,
};
use crate::{
    answer::Answer,
    host::Host,
    process::{self, Running},
    session::explain_command,
    suite::Outcome,
};

fn explain(host: &Host, command: &[&str]) -> Command {
    let mut explain = process::command(&host.memtrace, ["explain", "-o", "json", "--"]);
    explain.args(command);
    explain
}

pub(super) fn not_found(host: &Host) -> anyhow::Result<Outcome> {
    let name = "no-such-command-anywhere";
    ensure_failed(&process::run(explain(host, &[name]))?, 127, name)
}

pub(super) fn not_executable(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let path = room.folder().join("plain");
    fs::write(&path, "#!/bin/sh\n").context("writing the plain file")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    let path = text(&path)?;
    ensure_failed(&process::run(explain(host, &[path]))?, 126, path)
}

pub(super) fn exit_code(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let mut command = Command::new("sh");
    command.args(["-c", "exit 42"]);
    let explained = explain_command(host, room.folder(), &command, 42)?;
    Ok(Outcome::Passed(format!("42, {}", explained.figures())))
}

pub(super) fn killed_by_signal(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let mut figures = Vec::new();
    for signal in [Signal::TERM, Signal::KILL, Signal::SEGV] {
        let number = signal.as_raw();
        let command = room.hog_command(&["die", &number.to_string()]);
        explain_command(host, room.folder(), &command, 128 + number)?;
        figures.push((128 + number).to_string());
    }
    Ok(Outcome::Passed(figures.join(", ")))
}

/// Ctrl-C and a polite end reach the command; what it did by then is explained.
pub(super) fn signals_passed_on(host: &Host) -> anyhow::Result<Outcome> {
    let mut figures = Vec::new();
    for signal in [Signal::INT, Signal::TERM] {
        let hog = host.hog.to_string_lossy();
        let mut command = explain(host, &[&hog, "anon", "16777216", "--hold", "60"]);
        let mut running = Running::start(&mut command)?;
        running.wait_for_stdout("holding")?;
        running.signal(signal)?;
        let finished = running.wait()?;
        let code = 128 + signal.as_raw();
        ensure!(
            finished.status.code() == Some(code),
            "{}, not {code}: {}",
            finished.status,
            finished.stderr
        );
        let (_, answer) = split(&finished.stdout)?;
        Answer::parse(answer)?;
        figures.push(code.to_string());
    }
    Ok(Outcome::Passed(figures.join(", ")))
}

/// A daemon is waited for, until Ctrl-C; then it is named and lives on in the parent cgroup.
pub(super) fn daemon_left_behind(host: &Host) -> anyhow::Result<Outcome> {
    #[derive(serde::Deserialize)]
    struct Started {
        pid: i32,
    }
    let hog = host.hog.to_string_lossy();
    let mut command = explain(host, &[&hog, "daemon", "60"]);
    let mut running = Running::start(&mut command)?;
    running.wait_for_stdout("}\n")?;
    // The command has ended, and its child is waited for.
    thread::sleep(Duration::from_secs(1));
    running.signal(Signal::INT)?;
    let finished = running.wait()?;
    let (said, answer) = split(&finished.stdout)?;
    let started: Started = truth(said)?;
    let pid = Pid::from_raw(started.pid).context("the daemon's pid")?;
    let alive = test_kill_process(pid);
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup"));
    // Ours to end, whatever the verdict; the suite is its parent now.
    let _ = kill_process(pid, Signal::KILL);
    ensure!(
        alive.is_ok(),
        "the daemon {pid} did not survive: {}",
        finished.stderr
    );
    let cgroups = cgroups.context("reading the daemon's cgroup")?;
    ensure!(
        !cgroups.contains("memtrace-"),
        "still in memtrace's own cgroup: {cgroups}"
    );
    ensure!(
        finished.status.code() == Some(0),
        "the command's own code is 0, not {}: {}",
        finished.status,
        finished.stderr
    );
    let told = String::from_utf8_lossy(answer);
    ensure!(
        told.contains("left_behind") && told.contains(&pid.to_string()),
        "the daemon {pid} is not named in {told}"
    );
    Ok(Outcome::Passed(format!("{pid} named, alive and moved")))
}

/// `--for` ends the wait for a daemon.
pub(super) fn daemon_waited_for(host: &Host) -> anyhow::Result<Outcome> {
    let hog = host.hog.to_string_lossy();
    let start = Instant::now();
    let finished = process::run(explain(host, &[&hog, "daemon", "1.5"]))?;
    ensure!(finished.status.success(), "{finished:?}");
    ensure!(
        start.elapsed() > Duration::from_millis(1400),
        "did not wait for the daemon: {:?}",
        start.elapsed()
    );
    Ok(Outcome::Passed(format!(
        "ended after {:?}",
        start.elapsed()
    )))
}

/// What the command printed, and the answer after it.
fn split(stdout: &[u8]) -> anyhow::Result<(&[u8], &[u8])> {
    let end = stdout
        .iter()
        .position(|byte| *byte == b'\n')
        .context("nothing printed")?;
    Ok(stdout.split_at(end + 1))
}
