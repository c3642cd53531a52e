//! memtrace explains why a container's working set grew, whether that memory would come back
//! under pressure, and which process the OOM killer would pick.
//!
//! Data flows one way: a source (a live kernel or a recording) yields [`input`]s, one aggregator
//! owns all state and feeds the pure model, and views render what the model answers.

pub mod agent;
pub mod aggregate;
pub mod cgroup;
pub mod command;
pub mod files;
pub mod identity;
pub mod input;
pub mod kernel;
pub mod model;
pub mod oom;
pub mod session;
pub mod source;
pub mod store;
pub mod tasks;
pub mod view;
