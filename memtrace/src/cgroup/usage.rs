//! A cgroup's usage alone: cheap enough to be read many times a second.

use std::path::Path;

use rustix::{
    fs::{Mode, OFlags, open},
    io::retry_on_intr,
};

use super::{CgroupError, kernel_file::KernelFile};
use crate::input::CgroupVersion;

/// `memory.current` or `memory.usage_in_bytes`, kept open.
#[derive(Debug)]
pub struct UsageFile {
    file: KernelFile,
    buffer: Vec<u8>,
}

impl UsageFile {
    /// Opens it; `None` if the cgroup has no such file.
    ///
    /// # Errors
    /// [`CgroupError::Gone`] if there is no such directory, [`CgroupError::Io`] if the file may not
    /// be opened.
    pub fn open(version: CgroupVersion, directory: &Path) -> Result<Option<Self>, CgroupError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| open(directory, flags, Mode::empty()))
            .map_err(|errno| CgroupError::on("open", directory, directory, errno.into()))?;
        let name = match version {
            CgroupVersion::V1 => "memory.usage_in_bytes",
            CgroupVersion::V2 => "memory.current",
        };
        let file = KernelFile::open(&directory.into(), &fd, name)?;
        Ok(file.map(|file| Self {
            file,
            // One number.
            buffer: vec![0; 32],
        }))
    }

    /// Bytes charged now.
    ///
    /// # Errors
    /// [`CgroupError::Gone`] if the cgroup was removed.
    pub fn read(&mut self) -> Result<Option<u64>, CgroupError> {
        self.file.read_number(&mut self.buffer)
    }
}
