//! Processes that outlive the command they came from.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep, sleep_until};

use super::Signals;
use crate::cgroup::{CgroupError, OwnCgroup};

/// The first pause between two looks: most children end with their parent.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// The longest: a look costs some 10 µs, and nobody notices a fifth of a second.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Why waiting for the last process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The last process has gone.
    Empty,
    /// The deadline came first.
    TimeUp,
    /// A signal came first: somebody wants memtrace to end.
    Interrupted(Signal),
}

/// Waits until no process is in the cgroup, until a deadline (`None`: without end), or until a
/// signal. It looks into `cgroup.procs` at growing intervals, which works alike on v1 and v2. Can
/// be cancelled and called again. Who is left can be named and released with
/// [`OwnCgroup::release`].
///
/// # Errors
/// [`CgroupError`] if the list of processes cannot be read.
pub async fn wait_empty(
    cgroup: &OwnCgroup,
    deadline: Option<Instant>,
    signals: &mut Signals,
) -> Result<Waited, CgroupError> {
    let mut pause = FIRST_PAUSE;
    loop {
        if cgroup.processes()?.is_empty() {
            return Ok(Waited::Empty);
        }
        let time_up = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            signal = signals.next() => return Ok(Waited::Interrupted(signal)),
            () = time_up => return Ok(Waited::TimeUp),
            () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
}
