//! What a failure means to the caller: one message and an exit code.

use std::{error::Error, io, process::ExitCode};

use memtrace::{
    cgroup::{CgroupError, TargetError},
    command::CommandError,
    kernel::{attach::AttachError, facts::FactsError},
    session::SessionError,
    source::live::LiveError,
};

/// A failure with its exit code.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    /// Exit code 1: it was tried and failed.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: 1,
            error: error.into(),
        }
    }

    /// Exit code 2: what was typed makes no sense.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: 2,
            error: error.into(),
        }
    }

    /// Exit code 3: not permitted, or not supported here.
    pub fn unsupported(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: 3,
            error: error.into(),
        }
    }

    /// The same failure while a command was to be run: exit code 125, unless the command's own fate
    /// decided it.
    pub fn with_command(self) -> Self {
        match self.code {
            125..=127 => self,
            _ => Self { code: 125, ..self },
        }
    }

    /// Nothing could be traced for want of permission or kernel support.
    pub fn is_unsupported(&self) -> bool {
        self.code == 3
    }

    /// What went wrong, in one line.
    pub fn message(&self) -> String {
        // A cause that the message above it quotes already is not said twice.
        let mut message = String::new();
        for cause in self.error.chain().map(ToString::to_string) {
            if message.is_empty() {
                message = cause;
            } else if !message.contains(&cause) {
                message = format!("{message}: {cause}");
            }
        }
        message
    }

    /// Prints it and gives the exit code.
    pub fn report(self) -> ExitCode {
        eprintln!("memtrace: {}", self.message());
        ExitCode::from(self.code)
    }
}

fn permission(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind() == io::ErrorKind::PermissionDenied;
        }
        cause = error.source();
    }
    false
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        match &error {
            SessionError::Live(LiveError::Attach(AttachError::NotPermitted))
            | SessionError::Cgroup(CgroupError::NoMemoryController { .. }) => {
                Self::unsupported(error)
            }
            error_ref if permission(error_ref) => Self::unsupported(error),
            _ => Self::failed(error),
        }
    }
}

impl From<FactsError> for Failure {
    fn from(error: FactsError) -> Self {
        Self::unsupported(error)
    }
}

impl From<memtrace::cgroup::MountError> for Failure {
    fn from(error: memtrace::cgroup::MountError) -> Self {
        Self::unsupported(error)
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        match &error {
            TargetError::NotInHierarchy { .. }
            | TargetError::Cgroup(CgroupError::NoMemoryController { .. }) => {
                Self::unsupported(error)
            }
            error_ref if permission(error_ref) => Self::unsupported(error),
            _ => Self::failed(error),
        }
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        Self {
            code: error.exit_code(),
            error: error.into(),
        }
    }
}
