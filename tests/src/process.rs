//! Starting programs, waiting for them with a limit, and never leaving one behind.

use std::{
    ffi::OsStr,
    io::{Read, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup::TestCgroup;

/// Longer than anything takes, in an emulated machine that shares its CPUs with others too.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// A program that is killed if it still runs when this is dropped.
pub struct Running {
    child: Child,
    what: String,
    stdout: Collected,
    stderr: Collected,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its process id.
    pub pid: u32,
    /// How it ended.
    pub status: ExitStatus,
    /// All it printed.
    pub stdout: Vec<u8>,
    /// All it said.
    pub stderr: String,
}

/// Makes a command join the cgroup before it starts.
pub fn join(command: &mut Command, cgroup: &TestCgroup) -> anyhow::Result<()> {
    join_at(command, &cgroup.path)
}

/// The same by the cgroup's directory.
pub fn join_at(command: &mut Command, directory: &Path) -> anyhow::Result<()> {
    let procs = directory.join("cgroup.procs");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .open(&procs)
        .with_context(|| format!("opening {}", procs.display()))?;
    // SAFETY: the closure only calls write(2), which is async-signal-safe. "0" is the writer.
    unsafe {
        command.pre_exec(move || file.write_all(b"0"));
    }
    Ok(())
}

/// A command with an empty standard input.
pub fn command<S: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end; any end will do.
pub fn run(mut command: Command) -> anyhow::Result<Finished> {
    Running::start(&mut command)?.wait()
}

/// Runs a command in a cgroup; it must succeed.
pub fn run_in(cgroup: &TestCgroup, mut command: Command) -> anyhow::Result<Finished> {
    join(&mut command, cgroup)?;
    let finished = run(command)?;
    ensure!(finished.status.success(), "{finished:?}");
    Ok(finished)
}

impl Running {
    /// Starts a command and collects what it says.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let what = format!("{command:?}");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {what}"))?;
        let stdout = Collected::from(child.stdout.take());
        let stderr = Collected::from(child.stderr.take());
        Ok(Self {
            child,
            what,
            stdout,
            stderr,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until standard output has `text`.
    pub fn wait_for_stdout(&mut self, text: &str) -> anyhow::Result<()> {
        self.wait_until(&format!("prints {text:?}"), |own| {
            own.stdout.so_far().contains(text)
        })
    }

    /// Waits until standard error has `text`.
    pub fn wait_for_stderr(&mut self, text: &str) -> anyhow::Result<()> {
        self.wait_until(&format!("says {text:?}"), |own| {
            own.stderr.so_far().contains(text)
        })
    }

    fn wait_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let start = Instant::now();
        while !done(self) {
            let ended = self.child.try_wait()?;
            ensure!(
                ended.is_none() || done(self),
                "{} ended ({ended:?}) before it {what}: {}",
                self.what,
                self.stderr.so_far()
            );
            ensure!(
                start.elapsed() < PATIENCE,
                "{} never {what}: {}",
                self.what,
                self.stderr.so_far()
            );
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// What it has printed so far.
    pub fn so_far(&self) -> String {
        self.stdout.so_far()
    }

    /// Writes to its standard input, which must be a pipe.
    pub fn say(&mut self, text: &str) -> anyhow::Result<()> {
        let stdin = self.child.stdin.as_mut();
        stdin
            .with_context(|| format!("{} has no standard input", self.what))?
            .write_all(text.as_bytes())
            .with_context(|| format!("speaking to {}", self.what))
    }

    /// Ends its standard input, if that is a pipe.
    pub fn release(&mut self) {
        self.child.stdin = None;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("sending {signal:?} to {}", self.what))
    }

    /// Waits for its end.
    pub fn wait(mut self) -> anyhow::Result<Finished> {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(
                start.elapsed() < PATIENCE,
                "{} does not end after {PATIENCE:?}",
                self.what
            );
            thread::sleep(Duration::from_millis(2));
        };
        // A child of its own may hold the pipes open: what it says later is not waited for.
        Ok(Finished {
            pid: self.child.id(),
            status,
            stdout: self.stdout.finish(),
            stderr: String::from_utf8_lossy(&self.stderr.finish()).into_owned(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Both can fail only if it has ended meanwhile.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A pipe, read by a thread, so that neither side waits for the other.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Collected {
    fn from<P: Read + Send + 'static>(pipe: Option<P>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let reader = pipe.map(|mut pipe| {
            let bytes = Arc::clone(&bytes);
            thread::spawn(move || {
                let mut block = [0; 16 << 10];
                while let Ok(read @ 1..) = pipe.read(&mut block) {
                    bytes
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .extend_from_slice(&block[..read]);
                }
            })
        });
        Self { bytes, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
            .into_owned()
    }

    /// All of it, or what came within a second of the program's end.
    fn finish(&mut self) -> Vec<u8> {
        if let Some(reader) = self.reader.take() {
            let start = Instant::now();
            while !reader.is_finished() && start.elapsed() < Duration::from_secs(1) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        self.bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collects_both_streams_and_the_status() {
        let finished = run(command(
            Path::new("/bin/sh"),
            ["-c", "echo out; echo err >&2; exit 3"],
        ))
        .unwrap();
        assert_eq!(finished.stdout, b"out\n");
        assert_eq!(finished.stderr, "err\n");
        assert_eq!(finished.status.code(), Some(3));
    }

    #[test]
    fn says_so_if_the_line_never_comes() {
        let mut running =
            Running::start(&mut command(Path::new("/bin/sh"), ["-c", "echo no >&2"])).unwrap();
        let error = running.wait_for_stderr("yes").unwrap_err().to_string();
        assert!(error.contains("before it says \"yes\""), "{error}");
    }
}
