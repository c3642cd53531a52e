//! Why a command could not be run.

use std::{io, path::PathBuf};

use rustix::io::Errno;

use crate::cgroup::ScopeError;

/// A command could not be run.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such program, or its interpreter is missing.
    #[error("cannot run {}: {}", program.display(), missing(program))]
    NotFound {
        /// As the user typed it.
        program: PathBuf,
    },
    /// There is, but the kernel does not execute it.
    #[error(
        "cannot run {}: {source}; it must be an executable file (`chmod +x`) for this machine",
        program.display()
    )]
    NotExecutable {
        /// As the user typed it.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The new process could not move itself into the cgroup.
    #[error(
        "cannot move {} into the cgroup {}: {source}; run memtrace as root or in a delegated \
         cgroup (`systemd-run --scope -p Delegate=yes memtrace ...`)",
        program.display(),
        directory.display()
    )]
    Join {
        /// As the user typed it.
        program: PathBuf,
        /// The cgroup's directory.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No process could be made for it.
    #[error(
        "cannot start a process for {}: {source}; too many processes (`ulimit -u`, pids.max) or \
         too little memory",
        program.display()
    )]
    Start {
        /// As the user typed it.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Its end could not be waited for.
    #[error("cannot wait for process {pid}: {source}; it may still be running")]
    Wait {
        /// The command's process.
        pid: u32,
        /// Why not.
        source: io::Error,
    },
    /// Signals could not be caught.
    #[error("cannot catch signals: {0}; they would kill memtrace before it has cleaned up")]
    Signals(#[source] io::Error),
    /// There is no cgroup for it.
    #[error(transparent)]
    Scope(#[from] ScopeError),
}

impl CommandError {
    /// The code memtrace exits with: 127 not found, 126 not executable, 125 memtrace's own
    /// failure, as env(1) and timeout(1) have it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 127,
            Self::NotExecutable { .. } => 126,
            _ => 125,
        }
    }

    /// What an error of spawning means for a program that was to be executed.
    pub(super) fn of_exec(program: PathBuf, source: io::Error) -> Self {
        match Errno::from_io_error(&source) {
            Some(Errno::NOENT | Errno::NOTDIR) => Self::NotFound { program },
            // fork(2) fails with these, and nothing but memory or limits is to blame.
            Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => {
                Self::Start { program, source }
            }
            _ => Self::NotExecutable { program, source },
        }
    }
}

/// execve(2) gives the same error for a missing file and a missing interpreter.
fn missing(program: &std::path::Path) -> &'static str {
    if program.exists() {
        "its interpreter (first line, after #!) or dynamic loader does not exist"
    } else if program.components().count() > 1 {
        "no such file; check the path"
    } else {
        "not found in PATH; give its full path"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_of_what_the_kernel_said() {
        let code = |errno: Errno| CommandError::of_exec("x".into(), errno.into()).exit_code();
        assert_eq!(code(Errno::NOENT), 127);
        assert_eq!(code(Errno::ACCESS), 126);
        assert_eq!(code(Errno::NOEXEC), 126);
        assert_eq!(code(Errno::TOOBIG), 126);
        assert_eq!(code(Errno::AGAIN), 125);
    }
}
