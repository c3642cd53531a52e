//! A command in a cgroup of its own, as `explain -- CMD` runs it.
//!
//! The command is in the cgroup before its first instruction, has memtrace's standard streams
//! and process group, and gets the signals that memtrace gets. Its end becomes memtrace's exit
//! code as a shell would have it. If memtrace fails meanwhile, the command lives on.

mod ended;
mod error;
mod leftovers;
mod running;
mod signals;

#[cfg(test)]
mod live;

pub use self::{
    ended::Ended,
    error::CommandError,
    leftovers::{Waited, wait_empty},
    running::Running,
    signals::Signals,
};
