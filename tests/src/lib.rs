//! The live suite: drives the real `memtrace` binary as a user would, and compares what it says
//! with what is true, as the cgroup files, `/proc/kpageflags` and the workload itself tell it.
//!
//! Two thin programs run it: the test target `live`, and the binary `memtrace-live`, which is
//! linked statically and runs in virtual machines.

pub mod answer;
pub mod bound;
mod cases;
pub mod cgroup;
pub mod host;
pub mod kmsg;
pub mod leaks;
pub mod oracle;
pub mod process;
pub mod session;
mod skip;
pub mod slow_disk;
pub mod steal;
pub mod suite;

pub use skip::skip;
