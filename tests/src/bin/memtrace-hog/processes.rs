//! Living, waiting, dying.

use std::{
    io::Read as _,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::{Signal, getpid, kill_process};

/// Waits `seconds`, or with 0 until standard input ends.
pub(crate) fn hold(seconds: f64) -> anyhow::Result<()> {
    if seconds > 0.0 {
        sleep(seconds);
    } else {
        std::io::stdin()
            .read_to_end(&mut Vec::new())
            .context("waiting for the end of standard input")?;
    }
    Ok(())
}

pub(crate) fn sleep(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

/// Leaves a child behind that nobody waits for.
pub(crate) fn daemon(seconds: f64) -> anyhow::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["sleep", &seconds.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // SAFETY: setsid(2) is async-signal-safe, and nothing else runs between fork and exec.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
    let child = command.spawn().context("starting the child")?;
    println!("{}", serde_json::json!({"pid": child.id()}));
    Ok(())
}

/// Ends by a signal of its own sending.
pub(crate) fn die(signal: i32) -> anyhow::Result<()> {
    let signal = Signal::from_named_raw(signal).context("no such signal")?;
    kill_process(getpid(), signal)?;
    sleep(1.0);
    bail!("the signal did not end this process")
}
