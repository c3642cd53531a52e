//! One child after the other that outgrows its cgroup's limit and is killed.

use std::{
    fs,
    io::{Error, Write as _},
};

use anyhow::{Context as _, ensure};
use rustix::{
    mm::{MapFlags, ProtFlags, mmap_anonymous},
    process::{Pid, Signal, WaitOptions, waitpid},
};

/// KILLS children, each of which takes BYTES; their pids, at the end, in one line. A child is a copy
/// of this process, not a new program: exec(2) would be most of the work where the CPU is emulated.
pub(crate) fn storm(kills: u32, bytes: usize) -> anyhow::Result<()> {
    let mut pids = Vec::new();
    for _ in 0..kills {
        // SAFETY: this process has one thread, so that the child may do whatever it could.
        let child = unsafe { libc::fork() };
        match child {
            0 => grow(bytes)?,
            // Negative: no process was made.
            ..0 => return Err(Error::last_os_error()).context("fork"),
            _ => pids.push(killed(child)?),
        }
    }
    println!("{}", serde_json::json!({ "killed": pids }));
    std::io::stdout().flush().context("telling")
}

/// In the child: is preferred to its parent, and grows until it is killed.
fn grow(bytes: usize) -> anyhow::Result<()> {
    fs::write("/proc/self/oom_score_adj", "1000").context("offering itself to the OOM killer")?;
    loop {
        let flags = MapFlags::PRIVATE | MapFlags::POPULATE;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a mapping of its own at an address the kernel chooses; nothing else refers to it.
        unsafe { mmap_anonymous(std::ptr::null_mut(), bytes, access, flags) }
            .context("mapping memory")?;
    }
}

fn killed(child: i32) -> anyhow::Result<i32> {
    let pid = Pid::from_raw(child).context("pid 0")?;
    let (_, status) = waitpid(Some(pid), WaitOptions::empty())
        .context("waiting for the child")?
        .context("no child")?;
    ensure!(
        status.terminating_signal() == Some(Signal::KILL.as_raw()),
        "the child was not killed: {status:?}"
    );
    Ok(child)
}
