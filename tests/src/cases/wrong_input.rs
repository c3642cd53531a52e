//! F6: what cannot be explained. Each has its exit code, and one message that says what to do.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    process::Signal,
    thread::UnshareFlags,
};

use super::room::Room;
use crate::{
    host::Host,
    process::{self, Finished, PATIENCE},
    session::Watch,
    suite::Outcome,
};

/// Exit codes of memtrace.
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const NOT_SUPPORTED: i32 = 3;
/// Of `explain -- CMD`, for memtrace's own failure.
const OWN_FAILURE: i32 = 125;

fn explain(host: &Host, arguments: &[&str]) -> Command {
    let mut command = process::command(&host.memtrace, ["explain", "-o", "json"]);
    command.args(arguments);
    command
}

/// Ended with this code, with one message that has `word` in it, and with no answer.
pub(super) fn ensure_failed(finished: &Finished, code: i32, word: &str) -> anyhow::Result<Outcome> {
    let said = finished.stderr.trim();
    ensure!(
        finished.status.code() == Some(code),
        "{}, not {code}: {said:?}",
        finished.status
    );
    ensure!(!said.contains("panicked"), "{said}");
    ensure!(
        said.to_lowercase().contains(&word.to_lowercase()),
        "no {word:?} in {said:?}"
    );
    let messages = said
        .lines()
        .filter(|line| line.starts_with("memtrace:") || line.starts_with("error:"))
        .count();
    ensure!(messages == 1, "{messages} messages: {said:?}");
    ensure!(finished.stdout.is_empty(), "an answer in spite of {said:?}");
    Ok(Outcome::Passed(format!("{code}: {said}")))
}

pub(super) fn unknown_target(host: &Host) -> anyhow::Result<Outcome> {
    let name = "no-such-thing-anywhere";
    let finished = process::run(explain(host, &[name, "--for", "1s"]))?;
    ensure_failed(&finished, FAILED, name)
}

pub(super) fn no_target(host: &Host) -> anyhow::Result<Outcome> {
    let finished = process::run(explain(host, &[]))?;
    ensure!(
        finished.status.code() == Some(USAGE) && finished.stderr.contains("Usage"),
        "{finished:?}"
    );
    Ok(Outcome::Passed("2, with the usage".to_owned()))
}

pub(super) fn dead_pid(host: &Host) -> anyhow::Result<Outcome> {
    let pid = process::run(process::command(&host.hog, ["sleep", "0"]))?.pid;
    let finished = process::run(explain(host, &[&pid.to_string(), "--for", "1s"]))?;
    ensure_failed(&finished, FAILED, &pid.to_string())
}

/// A cgroup of another hierarchy, or a v2 cgroup below one that does not pass the controller on.
pub(super) fn no_memory_controller(host: &Host) -> anyhow::Result<Outcome> {
    let Some(parent) = without_controller(host)? else {
        return Ok(Outcome::Skipped(
            "every hierarchy here has the memory controller".to_owned(),
        ));
    };
    let path = parent.join(format!("memtrace-live-{}-none", std::process::id()));
    fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
    let finished = process::run(explain(host, &[&path.to_string_lossy(), "--for", "1s"]));
    fs::remove_dir(&path).with_context(|| format!("removing {}", path.display()))?;
    ensure_failed(&finished?, NOT_SUPPORTED, "memory controller")
}

fn without_controller(host: &Host) -> anyhow::Result<Option<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mount = PathBuf::from(left.split(' ').nth(4)?);
        (right.starts_with("cgroup2 ") && mount != host.hierarchy.mount).then_some(mount)
    }))
}

/// As `nobody`, without any capability.
pub(super) fn not_permitted(host: &Host) -> anyhow::Result<Outcome> {
    const NOBODY: u32 = 65534;
    let room = Room::new(host)?;
    let target = room.cgroup.path.to_string_lossy().into_owned();
    let program = copy_for_all(&host.memtrace, room.folder())?;
    let mut command = process::command(&program, ["explain", "-o", "json", &target]);
    command.args(["--for", "1s"]).uid(NOBODY).gid(NOBODY);
    ensure_failed(&process::run(command)?, NOT_SUPPORTED, "root")
}

/// A copy that anybody may run: the original may lie in root's own folder.
fn copy_for_all(program: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let copy = folder.join("memtrace");
    fs::copy(program, &copy).with_context(|| format!("copying {}", program.display()))?;
    for path in [&copy, folder] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("opening up {}", path.display()))?;
    }
    Ok(copy)
}

pub(super) fn no_btf(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let target = room.cgroup.path.to_string_lossy().into_owned();
    let mut command = explain(host, &[&target, "--for", "1s"]);
    hide(&mut command, c"/sys/kernel/btf");
    ensure_failed(&process::run(command)?, NOT_SUPPORTED, "BTF")
}

/// Nothing that explains needs tracefs: the answer comes all the same.
pub(super) fn no_tracefs(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let target = room.cgroup.path.to_string_lossy().into_owned();
    let mut command = explain(host, &[&target, "--for", "1s"]);
    hide(&mut command, c"/sys/kernel/tracing");
    hide(&mut command, c"/sys/kernel/debug");
    let finished = process::run(command)?;
    ensure!(finished.status.success(), "{finished:?}");
    crate::answer::Answer::parse(&finished.stdout)?;
    Ok(Outcome::Passed("0, with an answer".to_owned()))
}

/// Gives a command a mount namespace of its own where an empty tmpfs covers `folder`.
fn hide(command: &mut Command, folder: &'static std::ffi::CStr) {
    // SAFETY: the closure makes system calls only, with constant arguments; all of them are
    // async-signal-safe. The child has one thread, so unsharing its mounts affects nobody else.
    unsafe {
        command.pre_exec(move || {
            rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)?;
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change(c"/", private)?;
            mount(c"none", folder, c"tmpfs", MountFlags::empty(), None)?;
            Ok(())
        });
    }
}

pub(super) fn full_disk(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let small = super::shmem::Tmpfs::mount(room.folder().join("small"), "16k")?;
    let recording = small.0.join("recording").to_string_lossy().into_owned();
    let target = room.cgroup.path.to_string_lossy().into_owned();
    let watch_arguments = ["--record", &recording, &target, "--for", "2s"];
    let mut command = explain(host, &watch_arguments);
    command.arg("-v");
    let mut running = process::Running::start(&mut command)?;
    running.wait_for_stderr("attached")?;
    let folder = room.folder().to_string_lossy().into_owned();
    room.hog(&["litter", &folder, "500"])?;
    let finished = running.wait()?;
    let said = &finished.stderr;
    ensure!(
        finished.status.code() == Some(FAILED),
        "{}, not {FAILED}: {said}",
        finished.status
    );
    ensure!(
        said.contains("No space left") && said.contains(&recording),
        "{said}"
    );
    ensure!(!said.contains("panicked"), "{said}");
    let last = said.lines().last().unwrap_or_default();
    Ok(Outcome::Passed(format!("{FAILED}: {last}")))
}

/// The device that is always full: not even the header fits.
pub(super) fn full_device(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let target = room.cgroup.path.to_string_lossy().into_owned();
    let command = explain(host, &["--record", "/dev/full", &target, "--for", "1s"]);
    let finished = process::run(command)?;
    let said = &finished.stderr;
    ensure!(
        finished.status.code() == Some(FAILED) && said.contains("/dev/full"),
        "{}: {said}",
        finished.status
    );
    Ok(Outcome::Passed(format!("{FAILED}: {}", said.trim())))
}

/// With a command, memtrace's own failure has a code of its own.
pub(super) fn full_device_with_command(host: &Host) -> anyhow::Result<Outcome> {
    let command = explain(host, &["--record", "/dev/full", "--", "true"]);
    let finished = process::run(command)?;
    ensure!(
        finished.status.code() == Some(OWN_FAILURE) && finished.stderr.contains("/dev/full"),
        "{finished:?}"
    );
    Ok(Outcome::Passed(finished.stderr.trim().to_owned()))
}

/// Ctrl-C ends the window early; what was seen by then is explained.
pub(super) fn interrupted(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let watch = room.watch()?;
    room.write("data", 1 << 20, host.page_bytes)?;
    let start = std::time::Instant::now();
    let explained = Watch::finish(watch)?;
    ensure!(start.elapsed() < PATIENCE / 2, "took {:?}", start.elapsed());
    Ok(Outcome::Passed(explained.figures()))
}

/// A cgroup that is removed while it is watched.
pub(super) fn vanished(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let target = room.cgroup.path.to_string_lossy().into_owned();
    let mut command = explain(host, &["-v", &target, "--for", "600s"]);
    let mut running = process::Running::start(&mut command)?;
    running.wait_for_stderr("attached")?;
    std::thread::sleep(std::time::Duration::from_millis(300));
    drop(room);
    std::thread::sleep(std::time::Duration::from_millis(300));
    // It may have ended by itself, as there is nothing left to watch.
    let _ = running.signal(Signal::INT);
    let finished = running.wait()?;
    let said = &finished.stderr;
    ensure!(
        finished.status.code() == Some(FAILED) && !said.contains("panicked"),
        "{}: {said}",
        finished.status
    );
    let last = said.lines().last().unwrap_or_default();
    ensure!(last.contains("memtrace-live"), "does not name it: {said}");
    Ok(Outcome::Passed(last.to_owned()))
}
