//! A disk that takes as long to write as a case wants.
//!
//! The kernel slows it down (block/blk-throttle.c), not the machine below: what is left to write does
//! not depend on how busy that is, and the case ends it.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use rustix::{
    fs::{major, minor},
    mount::{UnmountFlags, unmount},
};
use tempfile::TempDir;

use crate::cgroup::{TestCgroup, Version};

/// Of cgroup v1: the root's limit, since there the kernel's own threads write for everybody.
const V1_LIMITS: &str = "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device";
/// Room for a file of a case, and a journal.
const DISK_BYTES: u64 = 96 << 20;

/// A folder on a slow disk, gone with what is in it when this is dropped.
pub struct SlowDisk {
    // Dropped in this order: the disk is fast again, the files go, then the disk they are on.
    limit: Limit,
    folder: TempDir,
    _own: Option<OwnDisk>,
}

impl SlowDisk {
    /// On v2 the disk of the scratch folder is slow for this cgroup alone; on v1 there is a disk of
    /// our own. An error says why there is none.
    pub fn new(scratch: &Path, cgroup: &TestCgroup, bytes_per_second: u64) -> anyhow::Result<Self> {
        let (limits, own) = match cgroup.version() {
            Version::V1 => (PathBuf::from(V1_LIMITS), Some(OwnDisk::mount(scratch)?)),
            Version::V2 => (cgroup.path.join("io.max"), None),
        };
        ensure!(limits.exists(), "there is no {}", limits.display());
        let folder = folder_in(own.as_ref().map_or(scratch, |own| own.0.path()))?;
        let device = fs::metadata(folder.path())?.dev();
        let device = format!("{}:{}", major(device), minor(device));
        let (slow, free) = match cgroup.version() {
            Version::V1 => (format!("{bytes_per_second}"), "0"),
            Version::V2 => (format!("wbps={bytes_per_second}"), "wbps=max"),
        };
        let limit = Limit {
            limits,
            free: format!("{device} {free}"),
        };
        limit.write(&format!("{device} {slow}"))?;
        Ok(Self {
            limit,
            folder,
            _own: own,
        })
    }

    /// Where to write.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// From now on it is as fast as it can.
    pub fn release(&self) -> anyhow::Result<()> {
        self.limit.write(&self.limit.free)
    }
}

/// A line of a file of limits.
struct Limit {
    limits: PathBuf,
    /// Written to it, ends the limit.
    free: String,
}

impl Limit {
    fn write(&self, line: &str) -> anyhow::Result<()> {
        fs::write(&self.limits, line)
            .with_context(|| format!("writing {line} to {}", self.limits.display()))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        if let Err(error) = self.write(&self.free) {
            eprintln!("{error:#}");
        }
    }
}

/// An ext4 in a file on a loop device, mounted on a folder.
struct OwnDisk(TempDir);

impl OwnDisk {
    fn mount(scratch: &Path) -> anyhow::Result<Self> {
        let mounted = folder_in(scratch)?;
        let image = tempfile::NamedTempFile::new_in(scratch)
            .with_context(|| format!("making a file in {}", scratch.display()))?;
        image.as_file().set_len(DISK_BYTES).context("resizing it")?;
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F"])
            .arg(image.path()))?;
        // The device goes with the mount, and so does what is left of the file.
        let mut mount = Command::new("mount");
        mount.args(["-t", "ext4", "-o", "loop"]);
        run(mount.arg(image.path()).arg(mounted.path()))?;
        Ok(Self(mounted))
    }
}

impl Drop for OwnDisk {
    fn drop(&mut self) {
        // A case that failed may still write.
        if let Err(error) = unmount(self.0.path(), UnmountFlags::DETACH) {
            eprintln!("unmounting {}: {error}", self.0.path().display());
        }
    }
}

fn folder_in(parent: &Path) -> anyhow::Result<TempDir> {
    let mut folder = tempfile::Builder::new();
    folder.prefix("memtrace-live-");
    (folder.tempdir_in(parent)).with_context(|| format!("making a folder in {}", parent.display()))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?}: {}: {}",
        output.status,
        said.trim()
    );
    Ok(())
}
