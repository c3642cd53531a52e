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

/// Stack of the child that shares its parent's memory.
const STACK_BYTES: usize = 64 << 10;

/// A process and a child on one memory, then growth without end.
pub(crate) fn shared_memory(bytes: usize) -> anyhow::Result<()> {
    extern "C" fn wait(_: *mut libc::c_void) -> libc::c_int {
        loop {
            // SAFETY: pause(2) takes nothing and touches nothing.
            unsafe { libc::pause() };
        }
    }
    let mut held = vec![std::hint::black_box(vec![1_u8; bytes])];
    let stack = Box::leak(vec![0_u8; STACK_BYTES].into_boxed_slice());
    // SAFETY: the stack is never freed, and the child runs `wait` on it, which does nothing but
    // sleep: it touches none of the parent's data.
    let child = unsafe {
        let top = stack.as_mut_ptr().add(STACK_BYTES).cast();
        libc::clone(
            wait,
            top,
            libc::CLONE_VM | libc::SIGCHLD,
            std::ptr::null_mut(),
        )
    };
    if child < 0 {
        return Err(std::io::Error::last_os_error()).context("clone(CLONE_VM)");
    }
    println!(
        "{}",
        serde_json::json!({"event": "holding", "pid": std::process::id(), "child": child})
    );
    std::io::stdin()
        .read_line(&mut String::new())
        .context("waiting for the word to grow")?;
    loop {
        held.push(std::hint::black_box(vec![1_u8; 64 << 10]));
        sleep(0.001);
    }
}
