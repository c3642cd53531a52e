//! Whether cgroups came or went, from one small file, without a walk of the tree.

use rustix::{
    fs::{Mode, OFlags, open},
    io::retry_on_intr,
};

use super::{CgroupError, Hierarchy, kernel_file::KernelFile};
use crate::input::CgroupVersion;

/// How many cgroups there are: `cgroup.stat` at the top on v2, `/proc/cgroups` on v1.
#[derive(Debug)]
pub struct Census {
    file: KernelFile,
    buffer: Vec<u8>,
    last: String,
}

impl Census {
    /// Opens it; `None` if this kernel has no such file.
    ///
    /// # Errors
    /// [`CgroupError::Io`] if it may not be opened.
    pub fn open(hierarchy: &Hierarchy) -> Result<Option<Self>, CgroupError> {
        let (directory, name) = match hierarchy.version() {
            CgroupVersion::V1 => ("/proc".as_ref(), "cgroups"),
            CgroupVersion::V2 => (hierarchy.mount_point(), "cgroup.stat"),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| open(directory, flags, Mode::empty()))
            .map_err(|errno| CgroupError::on("open", directory, directory, errno.into()))?;
        let file = KernelFile::open(&directory.into(), &fd, name)?;
        Ok(file.map(|file| Self {
            file,
            buffer: Vec::new(),
            last: String::new(),
        }))
    }

    /// Whether a cgroup was made or removed since the last call; always `true` the first time. One
    /// that came for one that went is missed, where the kernel has freed that one already.
    ///
    /// # Errors
    /// [`CgroupError::Io`] if it cannot be read.
    pub fn changed(&mut self) -> Result<bool, CgroupError> {
        let text = self.file.read(&mut self.buffer)?.unwrap_or_default();
        let changed = text != self.last;
        if changed {
            text.clone_into(&mut self.last);
        }
        Ok(changed)
    }
}
