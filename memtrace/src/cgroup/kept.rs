//! The two files of a cgroup that are read every time.

use std::{os::fd::AsFd, path::Path, sync::Arc};

use super::{CgroupError, kernel_file::KernelFile};
use crate::input::CgroupVersion;

/// What is read so often that it stays open.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) stat: KernelFile,
    pub(super) usage: Option<KernelFile>,
}

impl Kept {
    /// Opens them in an open cgroup directory.
    ///
    /// # Errors
    /// [`CgroupError::Gone`] if there is no such directory, [`CgroupError::NoMemoryController`]
    /// if it has no `memory.stat`, [`CgroupError::Io`] if a file may not be opened.
    pub(super) fn open(
        version: CgroupVersion,
        directory: &Arc<Path>,
        fd: impl AsFd,
    ) -> Result<Self, CgroupError> {
        let Some(stat) = KernelFile::open(directory, &fd, "memory.stat")? else {
            let directory = directory.to_path_buf();
            // An open directory of a removed cgroup has no files either.
            return Err(match directory.exists() {
                true => CgroupError::NoMemoryController { directory },
                false => CgroupError::Gone { directory },
            });
        };
        let usage = match version {
            CgroupVersion::V1 => "memory.usage_in_bytes",
            CgroupVersion::V2 => "memory.current",
        };
        let usage = KernelFile::open(directory, &fd, usage)?;
        Ok(Self { stat, usage })
    }
}
