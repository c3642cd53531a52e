//! What can go wrong with a recording as a whole, and what to do about it.

use std::{io, path::PathBuf};

use super::frame::{FORMAT_VERSION, HEADER_BYTES};

/// Why something was not recorded. After any of these the recorder is closed; what had reached
/// the file before can be replayed, and the caller may well go on without recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file could not be opened for writing.
    #[error("cannot create the recording {}; {}", path.display(), advice(source))]
    Create {
        /// The recording.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// There is such a file, and it is no recording.
    #[error(
        "{} exists and is not a memtrace recording, so it was left alone; remove it or choose \
         another name",
        path.display()
    )]
    NotARecording {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full, the quota used up, or the device failed.
    #[error(
        "cannot write to the recording {}; {}; what was written before can be replayed",
        path.display(),
        advice(source)
    )]
    Write {
        /// The recording.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// An input that cannot be put into a frame.
    #[error(
        "cannot encode input {number} for the recording {}: {reason}; what was written before can \
         be replayed",
        path.display()
    )]
    Encode {
        /// The recording.
        path: PathBuf,
        /// The input's number, from 0.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// An earlier error has closed it.
    #[error("the recording {} was given up after an earlier error", path.display())]
    Closed {
        /// The recording.
        path: PathBuf,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => {
            "free space on its file system, or record to another one with -f"
        }
        io::ErrorKind::QuotaExceeded => "raise the quota, or record elsewhere with -f",
        io::ErrorKind::FileTooLarge => "raise `ulimit -f`, or record for a shorter time",
        io::ErrorKind::NotFound => "create its folder first, or choose another one with -f",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "choose a folder with -f in which you may write"
        }
        _ => "choose another file with -f",
    }
}

/// Why a recording cannot be replayed at all.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file could not be opened.
    #[error("cannot open the recording {}; check its name and that you may read it", path.display())]
    Open {
        /// The recording.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The header could not be read.
    #[error("cannot read the recording {}; copy it to a local file and try again", path.display())]
    Read {
        /// The recording.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Nothing in it.
    #[error("the recording {} is empty: nothing was recorded; record again", path.display())]
    Empty {
        /// The recording.
        path: PathBuf,
    },
    /// Something else.
    #[error(
        "{} is not a memtrace recording; give a file made by `memtrace record -f` or by --record",
        path.display()
    )]
    NotARecording {
        /// The file.
        path: PathBuf,
    },
    /// A format that this version does not know.
    #[error(
        "the recording {} has format {found}, this memtrace reads format {FORMAT_VERSION}; replay \
         it with the version that made it, or a newer one",
        path.display()
    )]
    Version {
        /// The recording.
        path: PathBuf,
        /// Its format version.
        found: u32,
    },
    /// Cut or changed within its first bytes.
    #[error(
        "the recording {} is damaged in its first {HEADER_BYTES} bytes: nothing of it can be \
         trusted; copy it again from where it was made, or record again",
        path.display()
    )]
    Header {
        /// The recording.
        path: PathBuf,
    },
}
