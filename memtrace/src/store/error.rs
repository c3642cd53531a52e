//! What can go wrong with the history.

use std::path::PathBuf;

/// What was done, with which file, and what happened.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Another process has it.
    #[error(
        "the history {} is in use by another process: ask the running agent instead (`memtrace oom \
         list` does, over its socket), or give each agent a file of its own with --history",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is not there.
    #[error(
        "there is no history at {}: `memtrace agent --history FILE` keeps one",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Its folder could not be made.
    #[error("making {} for the history: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Of another format.
    #[error(
        "the history {} was written by another version of memtrace (format {found}, this one has \
         {wanted}): move it away to start a new one",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: u64,
        /// What is understood.
        wanted: u64,
    },
    /// A report in it is not understood.
    #[error("report {id} in the history {}: {source}", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// Which one.
        id: u64,
        /// Why not.
        source: serde_json::Error,
    },
    /// A row in it is not understood.
    #[error("a row in the history {}: {reason}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Reading or writing it failed.
    #[error("{operation} the history {}: {source}", path.display())]
    Database {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: Box<redb::Error>,
    },
}
