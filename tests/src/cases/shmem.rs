//! F2 (e): tmpfs, which counts as working set from the first write.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::room::{CaseFile, Room, ensure_share, text};
use crate::{host::Host, suite::Outcome};

const BYTES: i64 = 48 << 20;

/// A file on a tmpfs is named.
pub(super) fn tmpfs_file(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let tmpfs = Tmpfs::mount(room.folder().join("shm"), "64m")?;
    let path = tmpfs.0.join("table");
    let watch = room.watch()?;
    let mut hog = room.hog_holding(&["shmem", text(&path)?, &BYTES.to_string()])?;
    let file = CaseFile::of(path)?;
    let explained = watch.finish()?;
    let pid = hog.pid();
    hog.release();
    hog.wait()?;

    let answer = &explained.answer;
    let grown = answer.component("shmem").context("no component shmem")?;
    ensure_share("shmem", grown, BYTES, 0.99, || {
        format!("{:?}", answer.components)
    })?;
    let of_file = answer.caused("shmem", |cause| cause.is_of(&file.path, file.inode));
    let figure = ensure_share("credited to the file", of_file, BYTES, 0.99, || {
        answer.causes_in_words()
    })?;
    let other_fs = answer.causes.iter().find(|cause| {
        cause.is_of(&file.path, file.inode)
            && cause.file.as_ref().and_then(|file| file.fstype.as_deref()) != Some("tmpfs")
    });
    ensure!(other_fs.is_none(), "not called a tmpfs: {other_fs:?}");
    let by_task = answer.caused("shmem", |cause| cause.is_by(pid));
    Ok(Outcome::Passed(format!(
        "{figure}, {by_task} to the task, {}",
        explained.figures()
    )))
}

/// A tmpfs, unmounted when dropped.
pub(super) struct Tmpfs(pub(super) PathBuf);

impl Tmpfs {
    pub(super) fn mount(at: PathBuf, size: &str) -> anyhow::Result<Self> {
        fs::create_dir(&at).with_context(|| format!("making {}", at.display()))?;
        let options = std::ffi::CString::new(format!("size={size}"))?;
        mount(
            Path::new("tmpfs"),
            &at,
            Path::new("tmpfs"),
            MountFlags::empty(),
            options.as_c_str(),
        )
        .with_context(|| format!("mounting a tmpfs on {}", at.display()))?;
        Ok(Self(at))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.0, UnmountFlags::DETACH) {
            eprintln!("unmounting {}: {error}", self.0.display());
        }
    }
}
