//! How a command ended.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It called exit(2).
    Exited {
        /// 0 to 255.
        code: i32,
    },
    /// A signal killed it.
    Killed {
        /// The signal's number.
        signal: i32,
    },
}

impl Ended {
    /// The code memtrace exits with in its place: its own, or 128+N for signal N, as shells do
    /// (POSIX, Shell Command Language, 2.8.2).
    pub fn exit_code(self) -> u8 {
        let code = match self {
            Self::Exited { code } => code,
            Self::Killed { signal } => 128 + signal,
        };
        // wait(2) keeps eight bits of a code, and signals end at 64.
        (code & 0xff) as u8
    }

    /// Its exit code, if it exited.
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Exited { code } => Some(code),
            Self::Killed { .. } => None,
        }
    }

    /// The signal that killed it, if one did.
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Exited { .. } => None,
            Self::Killed { signal } => Some(signal),
        }
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited { code },
            (None, Some(signal)) => Self::Killed { signal },
            // wait(2) without WUNTRACED and WCONTINUED reports nothing else.
            (None, None) => Self::Exited { code: 1 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_a_shells() {
        let ended = |raw| Ended::from(ExitStatus::from_raw(raw));
        assert_eq!(ended(0).exit_code(), 0);
        assert_eq!(ended(255 << 8).exit_code(), 255);
        assert_eq!(ended(9), Ended::Killed { signal: 9 });
        assert_eq!(ended(9).exit_code(), 137);
        // With a core dump.
        assert_eq!(ended(11 | 0x80).exit_code(), 139);
    }
}
