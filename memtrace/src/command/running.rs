//! A command that runs in a cgroup.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process,
};

use rustix::io::write;
use tokio::process::{Child, Command};

use super::{CommandError, Ended, Signals};
use crate::cgroup::OwnCgroup;

/// Added to the error number when it was the move into the cgroup that failed: what the closure
/// before exec(2) returns and what exec(2) itself returns come through one pipe, as one number
/// (std, `process/unix`), and `EACCES` of the one is 125, of the other 126. Error numbers end at
/// 4095 (include/linux/err.h, `MAX_ERRNO`).
const WHILE_JOINING: i32 = 1 << 16;

/// A command that runs in a cgroup. Dropping it neither kills it nor leaves a zombie.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pid: u32,
}

impl Running {
    /// Starts a program, which is in the cgroup before it executes its first instruction, so that
    /// nothing it allocates is charged elsewhere. Standard streams, environment, working
    /// directory, process group and ignored signals are memtrace's. Needs a tokio runtime with
    /// I/O. Install [`Signals`] first: a signal in between would kill memtrace.
    ///
    /// # Errors
    /// [`CommandError`], which knows memtrace's exit code.
    pub fn start(
        program: &OsStr,
        arguments: &[OsString],
        cgroup: &OwnCgroup,
    ) -> Result<Self, CommandError> {
        let path = || PathBuf::from(program);
        // A copy that the closure owns; it is closed on exec like the first.
        let procs = cgroup
            .procs()
            .try_clone_to_owned()
            .map_err(|source| CommandError::Start {
                program: path(),
                source,
            })?;
        let mut command = process::Command::new(program);
        command.args(arguments);
        let join = move || match write(&procs, b"0") {
            Ok(_) => Ok(()),
            Err(errno) => Err(io::Error::from_raw_os_error(
                errno.raw_os_error() | WHILE_JOINING,
            )),
        };
        // SAFETY: between fork and exec only async-signal-safe functions may be called. The
        // closure calls write(2) on a descriptor opened before, and makes an `io::Error` of a
        // number, which does not allocate.
        unsafe { command.pre_exec(join) };

        let child = Command::from(command).spawn().map_err(|error| {
            match error.raw_os_error().filter(|raw| raw & WHILE_JOINING != 0) {
                Some(raw) => CommandError::Join {
                    program: path(),
                    directory: cgroup.cgroup().directory.clone(),
                    source: io::Error::from_raw_os_error(raw ^ WHILE_JOINING),
                },
                None => CommandError::of_exec(path(), error),
            }
        })?;
        let pid = child
            .id()
            .expect("a child that nobody has waited for has a pid");
        Ok(Self { child, pid })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end, and passes signals on meanwhile. Can be cancelled and called again.
    ///
    /// # Errors
    /// [`CommandError::Wait`] if the kernel does not tell.
    pub async fn wait(&mut self, signals: &mut Signals) -> Result<Ended, CommandError> {
        loop {
            tokio::select! {
                status = self.child.wait() => {
                    let pid = self.pid;
                    return status
                        .map(Ended::from)
                        .map_err(|source| CommandError::Wait { pid, source });
                }
                signal = signals.next() => {
                    // `None` once it has been waited for: its pid may be another's by now.
                    if let Some(pid) = self.child.id() {
                        signals.pass_on(signal, pid);
                    }
                }
            }
        }
    }
}
