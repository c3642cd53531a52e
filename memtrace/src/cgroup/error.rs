//! What can go wrong with a cgroup's files.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

/// A cgroup could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// It was removed: an ordinary event, containers come and go.
    #[error("cgroup {} is gone: it was removed, so choose a target that is running", directory.display())]
    Gone {
        /// Its directory.
        directory: PathBuf,
    },
    /// The directory is there, but without `memory.stat`.
    #[error(
        "cgroup {} has no memory controller (no memory.stat in it): enable it with \
         `echo +memory > {}/cgroup.subtree_control`, or choose a parent that has it",
        directory.display(),
        directory.parent().unwrap_or(directory).display()
    )]
    NoMemoryController {
        /// Its directory.
        directory: PathBuf,
    },
    /// The kernel refused.
    #[error("cannot {operation} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// What was tried: `read`, `create`, ...
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file does not say what this kernel interface says.
    #[error("cannot understand {}: {line:?}; please report this kernel (`uname -r`)", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// The line, or the whole text of a file with one value.
        line: String,
    },
}

impl CgroupError {
    /// An error on a file or directory of `directory`, where `ENOENT` and `ENODEV` mean that the
    /// cgroup has been removed (fs/kernfs/file.c: an inactive node answers `ENODEV`).
    pub(super) fn on(
        operation: &'static str,
        directory: &Path,
        path: &Path,
        source: io::Error,
    ) -> Self {
        match Errno::from_io_error(&source) {
            Some(Errno::NOENT | Errno::NODEV) => Self::Gone {
                directory: directory.to_owned(),
            },
            _ => Self::Io {
                operation,
                path: path.to_owned(),
                source,
            },
        }
    }
}

/// What to do about the refusals that people really meet.
fn advice(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::ACCESS | Errno::PERM) => "; run memtrace as root",
        Some(Errno::ROFS) => "; remount the cgroup file system read-write",
        _ => "",
    }
}
