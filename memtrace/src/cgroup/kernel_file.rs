//! A cgroup file kept open and read again and again.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{Mode, OFlags, openat},
    io::{Errno, pread, retry_on_intr},
};

use super::CgroupError;

/// An open file of a cgroup directory; a clone is the same open file.
#[derive(Clone, Debug)]
pub(super) struct KernelFile {
    directory: Arc<Path>,
    name: &'static str,
    fd: Arc<OwnedFd>,
}

impl KernelFile {
    /// Opens `name` in an open cgroup directory; `None` if this kernel or this cgroup has no such
    /// file (`EOPNOTSUPP` is how PSI says that it is off).
    pub(super) fn open(
        directory: &Arc<Path>,
        directory_fd: impl AsFd,
        name: &'static str,
    ) -> Result<Option<Self>, CgroupError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        match retry_on_intr(|| openat(&directory_fd, name, flags, Mode::empty())) {
            Ok(fd) => Ok(Some(Self {
                directory: Arc::clone(directory),
                name,
                fd: Arc::new(fd),
            })),
            Err(Errno::NOENT | Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => {
                let path = directory.join(name);
                Err(CgroupError::on("open", directory, &path, errno.into()))
            }
        }
    }

    /// The whole text, in `buffer`, which grows as needed and is meant to be used again. `None`
    /// if the kernel has meanwhile switched this interface off (`EOPNOTSUPP`).
    ///
    /// One call of pread(2) reads it all: a sequence file fills the buffer unless it ends first
    /// (fs/seq_file.c, `seq_read_iter`), so a short read is the end, and a full buffer is read
    /// again from the start, larger, so that the text is of one moment.
    pub(super) fn read<'b>(&self, buffer: &'b mut Vec<u8>) -> Result<Option<&'b str>, CgroupError> {
        if buffer.is_empty() {
            buffer.resize(8192, 0);
        }
        let length = loop {
            match retry_on_intr(|| pread(&self.fd, buffer.as_mut_slice(), 0)) {
                Ok(length) if length < buffer.len() => break length,
                Ok(length) => buffer.resize(2 * length, 0),
                Err(Errno::OPNOTSUPP) => return Ok(None),
                Err(errno) => {
                    return Err(CgroupError::on(
                        "read",
                        &self.directory,
                        &self.path(),
                        errno.into(),
                    ));
                }
            }
        };
        match str::from_utf8(&buffer[..length]) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self.malformed("not UTF-8")),
        }
    }

    /// The one number in the file; `max` is `None`.
    pub(super) fn read_number(&self, buffer: &mut Vec<u8>) -> Result<Option<u64>, CgroupError> {
        match self.read(buffer)?.map(str::trim) {
            None | Some("max") => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(self.malformed(text)),
            },
        }
    }

    /// The error for a line that is not understood.
    pub(super) fn malformed(&self, line: &str) -> CgroupError {
        CgroupError::Malformed {
            path: self.path(),
            line: line.to_owned(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(self.name)
    }
}
