//! Reading what decides whom the OOM killer would choose.

mod arrivals;
mod domain;
mod lookout;
mod node;
mod scanner;
mod snapshot;
mod watch;

pub(crate) use self::node::read_node;
pub use self::{
    lookout::Lookout,
    scanner::TaskScanner,
    snapshot::{SnapshotError, Snapshots},
    watch::OomWatch,
};
