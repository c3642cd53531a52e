//! Shared memory that is a file in the kernel's eyes and has no path.

use super::FileRef;

/// A file that was never in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pathless<'a> {
    /// memfd_create(2), by the name it was given.
    Memfd(&'a str),
    /// A System V segment, by its id, as ipcs(1) and ipcrm(1) know it.
    SysV {
        /// `shmid`, which is the inode number (ipc/shm.c, `newseg`).
        id: u64,
    },
    /// Memory that processes share since fork, without a file: `mmap` with `MAP_SHARED` and
    /// `MAP_ANONYMOUS`, or of `/dev/zero`.
    Anonymous,
}

impl FileRef {
    /// Which kind of shared memory without a path it is; `None` for files with one.
    ///
    /// By the names that the kernel gives: `memfd:NAME` (mm/memfd.c), `SYSV` and the key in eight
    /// hexadecimal digits (ipc/shm.c, `newseg`), `dev/zero` (mm/shmem.c, `shmem_zero_setup`).
    pub fn pathless(&self) -> Option<Pathless<'_>> {
        let name = self.fs_path.as_deref()?;
        let in_memory = matches!(
            self.fstype.as_deref(),
            Some("tmpfs" | "hugetlbfs" | "devtmpfs")
        );
        if self.path.is_some() || self.container_path.is_some() || !in_memory {
            return None;
        }
        if let Some(given) = name.strip_prefix("memfd:") {
            return Some(Pathless::Memfd(given));
        }
        let is_key =
            |key: &str| key.len() == 8 && key.bytes().all(|digit| digit.is_ascii_hexdigit());
        if name.strip_prefix("SYSV").is_some_and(is_key) {
            return Some(Pathless::SysV { id: self.id.inode });
        }
        (name == "dev/zero").then_some(Pathless::Anonymous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{file_id, unnamed};

    fn file(fs_path: &str, fstype: &str) -> FileRef {
        FileRef {
            fs_path: Some(fs_path.to_owned()),
            fstype: Some(fstype.to_owned()),
            deleted: Some(true),
            ..unnamed(file_id(7))
        }
    }

    #[test]
    fn shared_memory_is_told_by_the_kernels_own_names() {
        let memfd = file("memfd:a b", "tmpfs");
        assert_eq!(memfd.pathless(), Some(Pathless::Memfd("a b")));
        let sysv = file("SYSV0000002a", "tmpfs");
        assert_eq!(sysv.pathless(), Some(Pathless::SysV { id: 7 }));
        let zero = file("dev/zero", "tmpfs");
        assert_eq!(zero.pathless(), Some(Pathless::Anonymous));
    }

    #[test]
    fn a_file_that_is_called_so_is_a_file() {
        assert_eq!(file("memfd:x", "ext4").pathless(), None);
        assert_eq!(file("SYSVolume", "tmpfs").pathless(), None);
        assert_eq!(file("/dev/zero", "tmpfs").pathless(), None);
        let mut with_path = file("memfd:x", "tmpfs");
        with_path.path = Some("/mnt/memfd:x".to_owned());
        assert_eq!(with_path.pathless(), None);
    }
}
