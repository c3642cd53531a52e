//! The history: reports of kills, in a file that survives `kill -9` at any instant.
//!
//! A report is there once [`History::append`] has returned, which is after fsync. With it, in the same
//! transaction, go the balances: which kills of each counter were told of. So after a crash no kill
//! is told of twice, and none is forgotten. Beside the reports are the series (`series`): how the memory
//! of each cgroup went in the last day.

mod error;
mod history;
mod past;
mod series;

#[cfg(test)]
mod tests;

pub use self::{
    error::HistoryError,
    history::{Balances, History, NODE, Report},
    past::{NotKept, past},
    series::{Dropped, MACHINE, Minute, RowsByNumber},
};
