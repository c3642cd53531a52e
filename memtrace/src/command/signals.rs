//! The signals that memtrace passes on to its command.

use std::{
    fs::{self, File},
    future::poll_fn,
    task::Poll,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, getpgrp, kill_process},
    termios::tcgetpgrp,
};
use tokio::signal::unix::{self, SignalKind};

use super::CommandError;

/// Those that ask a program to end.
const PASSED_ON: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];

/// Catches the signals that ask memtrace to end, so that it can pass them on, explain and clean
/// up. A signal that was ignored when memtrace started (`nohup`, a background job of a script)
/// stays ignored, in memtrace and in the command.
#[derive(Debug)]
pub struct Signals {
    caught: Vec<(Signal, unix::Signal)>,
}

impl Signals {
    /// Begins to catch them. Needs a tokio runtime with I/O; lasts until the process ends.
    ///
    /// # Errors
    /// [`CommandError::Signals`] if the kernel refuses.
    pub fn install() -> Result<Self, CommandError> {
        let status = fs::read_to_string("/proc/self/status").map_err(CommandError::Signals)?;
        let ignored = ignored_signals(&status);
        let caught = PASSED_ON
            .into_iter()
            .filter(|signal| ignored & bit(*signal) == 0)
            .map(|signal| {
                let kind = SignalKind::from_raw(signal.as_raw());
                Ok((signal, unix::signal(kind).map_err(CommandError::Signals)?))
            })
            .collect::<Result<_, CommandError>>()?;
        Ok(Self { caught })
    }

    /// The next signal. Can be cancelled.
    pub async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (signal, stream) in &mut self.caught {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Sends the command what memtrace was sent, unless it has had it already.
    ///
    /// Ctrl-C and Ctrl-\ make the terminal signal its whole foreground process group, which holds
    /// memtrace and the command: passing these on would make two of one, and a second Ctrl-C means
    /// "now" to many programs. So SIGINT and SIGQUIT are passed on only while memtrace is not in
    /// its terminal's foreground. The price: `kill -INT` of a memtrace in the foreground does not
    /// reach the command; SIGTERM and SIGHUP always do.
    pub(super) fn pass_on(&self, signal: Signal, pid: u32) {
        if matches!(signal, Signal::INT | Signal::QUIT) && in_foreground() {
            return;
        }
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return;
        };
        match kill_process(pid, signal) {
            // It has just ended: the next thing to happen is that its end is noticed.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => log::warn!("cannot pass {signal:?} on to process {pid:?}: {errno}"),
        }
    }
}

/// Whether memtrace has a controlling terminal and is in its foreground process group.
fn in_foreground() -> bool {
    File::open("/dev/tty")
        .ok()
        .and_then(|terminal| tcgetpgrp(terminal).ok())
        .is_some_and(|foreground| foreground == getpgrp())
}

/// The mask `SigIgn` of a `/proc/PID/status` (proc_pid_status(5)); none if it does not say.
fn ignored_signals(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

fn bit(signal: Signal) -> u64 {
    1 << (signal.as_raw() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_those_of_the_mask() {
        // As under nohup: SIGHUP is signal 1, SIGPIPE (ignored by Rust's runtime) 13.
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        let ignored = ignored_signals(status);
        assert_ne!(ignored & bit(Signal::HUP), 0);
        assert_eq!(ignored & bit(Signal::INT), 0);
        assert_eq!(ignored_signals("Name:\tx\n"), 0);
    }
}
