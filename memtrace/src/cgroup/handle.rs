//! A cgroup held on to by one descriptor: for those who watch thousands.

use std::{os::fd::OwnedFd, path::Path, sync::Arc};

use rustix::{
    fs::{Mode, OFlags, open},
    io::retry_on_intr,
};

use super::{CgroupError, CgroupReader, kept::Kept, kernel_file::KernelFile, reader::Files};
use crate::input::{CgroupSample, CgroupVersion};

/// An open cgroup directory. Its files are opened for each sample: an open kernel file keeps a page
/// of kernel memory, which is charged to who opened it, and a cgroup has a dozen. A cgroup that is
/// removed and made again under the same name is another cgroup, and never mistaken for the first.
#[derive(Debug)]
pub struct CgroupHandle {
    version: CgroupVersion,
    directory: Arc<Path>,
    fd: OwnedFd,
}

impl CgroupHandle {
    /// Opens a directory.
    ///
    /// # Errors
    /// [`CgroupError::Gone`] if there is none, [`CgroupError::Io`] if it may not be opened.
    pub fn open(version: CgroupVersion, directory: &Path) -> Result<Self, CgroupError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| open(directory, flags, Mode::empty()))
            .map_err(|errno| CgroupError::on("open", directory, directory, errno.into()))?;
        Ok(Self {
            version,
            directory: directory.into(),
            fd,
        })
    }

    /// Its memory files, as they are now.
    ///
    /// # Errors
    /// As [`CgroupReader::sample`].
    pub fn sample(&self) -> Result<CgroupSample, CgroupError> {
        self.reader(Files::All, Vec::new())?.sample()
    }

    /// Opens what is read so often that it stays open.
    pub(super) fn keep(&self) -> Result<Kept, CgroupError> {
        Kept::open(self.version, &self.directory, &self.fd)
    }

    /// Usage, statistics, limit, swap, kills and stalls, as they are now; the rest of the sample is
    /// unknown. `buffer` grows as needed, and is meant to be used again.
    pub(super) fn sample_of_risk(
        &self,
        kept: &Kept,
        buffer: &mut Vec<u8>,
    ) -> Result<CgroupSample, CgroupError> {
        let mut reader = self.reader(Files::OfRisk(kept), std::mem::take(buffer))?;
        let sample = reader.sample();
        *buffer = reader.into_buffer();
        sample
    }

    fn reader(&self, files: Files<'_>, buffer: Vec<u8>) -> Result<CgroupReader, CgroupError> {
        CgroupReader::open_at(self.version, &self.directory, &self.fd, files, buffer)
    }

    /// What `memory.min` protects, bytes; 0 where there is no such file (v1).
    ///
    /// # Errors
    /// As [`CgroupReader::sample`].
    pub fn min_bytes(&self, buffer: &mut Vec<u8>) -> Result<u64, CgroupError> {
        if self.version == CgroupVersion::V1 {
            return Ok(0);
        }
        let Some(file) = self.file("memory.min")? else {
            return Ok(0);
        };
        // `max` protects all there is.
        Ok(file.read_number(buffer)?.unwrap_or(u64::MAX))
    }

    /// Whether it has a limit of its own.
    ///
    /// # Errors
    /// As [`CgroupReader::sample`].
    pub fn has_limit(&self) -> Result<bool, CgroupError> {
        let name = match self.version {
            CgroupVersion::V1 => "memory.limit_in_bytes",
            CgroupVersion::V2 => "memory.max",
        };
        let Some(file) = self.file(name)? else {
            return Ok(false);
        };
        let limit = file.read_number(&mut Vec::new())?;
        Ok(limit.is_some_and(|bytes| bytes < super::reader::UNLIMITED_BYTES))
    }

    fn file(&self, name: &'static str) -> Result<Option<KernelFile>, CgroupError> {
        KernelFile::open(&self.directory, &self.fd, name)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cgroup::fixture::Tree;

    #[test]
    fn a_cgroup_made_again_is_another_one() {
        let tree = Tree::v2(&["a"]);
        let make = || {
            tree.write("a/memory.stat", "anon 1\nfile 2\n");
            tree.write("a/memory.current", "4096\n");
            tree.write("a/memory.max", "8192\n");
            tree.write("a/memory.min", "max\n");
        };
        make();
        let directory = tree.root().join("a");
        let handle = CgroupHandle::open(CgroupVersion::V2, &directory).unwrap();
        assert_eq!(handle.sample().unwrap().usage_bytes, Some(4096));
        assert!(handle.has_limit().unwrap());
        let mut buffer = Vec::new();
        assert_eq!(handle.min_bytes(&mut buffer).unwrap(), u64::MAX);
        tree.write("a/memory.peak", "5000\n");
        let (all, of_risk) = (
            handle.sample().unwrap(),
            handle.sample_of_risk(&handle.keep().unwrap(), &mut buffer),
        );
        assert_eq!(all.usage_peak_bytes, Some(5000));
        assert_eq!(
            of_risk.unwrap(),
            CgroupSample {
                usage_peak_bytes: None,
                ..all
            }
        );
        fs::remove_dir_all(&directory).unwrap();
        assert!(matches!(handle.sample(), Err(CgroupError::Gone { .. })));
        fs::create_dir(&directory).unwrap();
        make();
        assert!(handle.sample().is_err());
        assert!(!handle.has_limit().unwrap());
    }
}
