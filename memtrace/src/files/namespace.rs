//! The mount namespace of a live process, read and looked into through `/proc/PID`.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::mountinfo::MountTable;

/// Why a process's mounts are not known.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The process has ended, is a zombie, or may not be looked at.
    #[error(
        "cannot read {}; file paths need a live process of the target and the right to look at it \
         (CAP_SYS_PTRACE)",
        path.display()
    )]
    Read {
        /// The file below `/proc`.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// A file with this inode number.
    Inode(u64),
    /// Nothing.
    Missing,
    /// It cannot be told.
    Unknown,
}

/// `/proc/PID/ns/mnt` and `/proc/PID/root`: processes with the same see the same paths.
pub(super) type Identity = (PathBuf, PathBuf);

/// The mounts of one process.
#[derive(Clone, Debug)]
pub struct MountNamespace {
    /// `/proc/PID`.
    process: PathBuf,
    pub(super) identity: Identity,
    pub(super) table: MountTable,
}

impl MountNamespace {
    /// Reads the mounts that a process sees; `process` is its directory, `/proc/PID`.
    ///
    /// # Errors
    /// If the process has ended or may not be looked at.
    pub fn read(process: &Path) -> Result<Self, FilesError> {
        let identity = identity(process)?;
        let path = process.join("mountinfo");
        let text = fs::read(&path).map_err(|source| FilesError::Read { path, source })?;
        Ok(Self {
            process: process.to_owned(),
            identity,
            table: MountTable::parse(&String::from_utf8_lossy(&text)),
        })
    }

    /// Reads the mounts again; they stay as they were if the process has ended.
    pub(super) fn refresh(&mut self) {
        if self.is_live()
            && let Ok(now) = Self::read(&self.process)
        {
            *self = now;
        }
    }

    /// The process still lives and has not moved to another namespace or root.
    fn is_live(&self) -> bool {
        identity(&self.process).is_ok_and(|identity| identity == self.identity)
    }

    /// What the process would find at `path`.
    ///
    /// File systems that answer from somewhere else are not asked: memtrace must not hang with a
    /// dead server, nor wait for a FUSE daemon that may be the very target.
    pub(super) fn look_up(&self, path: &str) -> Lookup {
        let local = self
            .table
            .mount_of(path)
            .is_some_and(|mount| !is_remote(&mount.fstype));
        if !local || path.contains(char::REPLACEMENT_CHARACTER) {
            return Lookup::Unknown;
        }
        match fs::symlink_metadata(self.through_root(path)) {
            Ok(found) => Lookup::Inode(found.ino()),
            // `/proc/PID/root` vanishes with its process, which is no news of the file.
            Err(error) if is_missing(&error) && self.is_live() => Lookup::Missing,
            Err(_) => Lookup::Unknown,
        }
    }

    /// Where a symbolic link that the process sees at `path` points.
    pub(super) fn read_link(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.through_root(path)).ok()?;
        target.into_os_string().into_string().ok()
    }

    fn through_root(&self, path: &str) -> PathBuf {
        self.process.join("root").join(path.trim_start_matches('/'))
    }
}

pub(super) fn identity(process: &Path) -> Result<Identity, FilesError> {
    let read = |name| {
        let path = process.join(name);
        fs::read_link(&path).map_err(|source| FilesError::Read { path, source })
    };
    Ok((read("ns/mnt")?, read("root")?))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn is_remote(fstype: &str) -> bool {
    fstype.starts_with("fuse")
        || matches!(
            fstype,
            "nfs" | "nfs4" | "cifs" | "smb3" | "ceph" | "9p" | "afs" | "lustre" | "autofs"
        )
}
