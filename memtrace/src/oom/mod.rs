//! Reading what decides whom the OOM killer would choose.

mod node;
mod scanner;
mod snapshot;

pub use self::{
    scanner::TaskScanner,
    snapshot::{SnapshotError, Snapshots},
};
