//! Where a case takes place: a cgroup and a folder, both gone at its end.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::{
    cgroup::{TestCgroup, Version},
    host::Host,
    process::{self, Finished, Running},
    session::Watch,
};

/// A cgroup and a folder.
pub(super) struct Room<'a> {
    pub(super) host: &'a Host,
    pub(super) cgroup: TestCgroup,
    folder: TempDir,
}

/// A file of a case.
#[derive(Clone, Debug)]
pub(super) struct CaseFile {
    pub(super) path: PathBuf,
    pub(super) inode: u64,
    pub(super) bytes: u64,
}

impl<'a> Room<'a> {
    pub(super) fn new(host: &'a Host) -> anyhow::Result<Self> {
        Self::of(host, TestCgroup::create(&host.hierarchy)?)
    }

    /// In a cgroup that is there already.
    pub(super) fn of(host: &'a Host, cgroup: TestCgroup) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("memtrace-live-")
            .tempdir_in(&host.scratch)
            .with_context(|| format!("making a folder in {}", host.scratch.display()))?;
        Ok(Self {
            host,
            cgroup,
            folder,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts memtrace on the room's cgroup.
    pub(super) fn watch(&'a self) -> anyhow::Result<Watch<'a>> {
        Watch::start(self.host, &self.cgroup, self.folder())
    }

    /// The same, with more options.
    pub(super) fn watch_with(&'a self, options: &[&str]) -> anyhow::Result<Watch<'a>> {
        Watch::start_with(self.host, &self.cgroup, self.folder(), options)
    }

    /// A workload, not started.
    pub(super) fn hog_command(&self, arguments: &[&str]) -> Command {
        process::command(&self.host.hog, arguments)
    }

    /// Runs a workload in the room's cgroup.
    pub(super) fn hog(&self, arguments: &[&str]) -> anyhow::Result<Finished> {
        process::run_in(&self.cgroup, self.hog_command(arguments))
    }

    /// Runs a workload in the room's cgroup up to where it holds what it made; it goes on at
    /// [`Running::release`].
    pub(super) fn hog_holding(&self, arguments: &[&str]) -> anyhow::Result<Running> {
        let mut command = self.hog_command(arguments);
        command.stdin(Stdio::piped());
        process::join(&mut command, &self.cgroup)?;
        let mut running = Running::start(&mut command)?;
        running.wait_for_stdout("holding")?;
        Ok(running)
    }

    /// Pressure without an OOM kill: v2's memory.high and v1's limit are both reclaimed down to when
    /// they are written, as far as that goes (mm/memcontrol.c, `memory_high_write`,
    /// `mem_cgroup_resize_max`).
    pub(super) fn squeeze(&self, bytes: u64) -> anyhow::Result<()> {
        let (file, unlimited) = match self.cgroup.version() {
            Version::V1 => ("memory.limit_in_bytes", "-1"),
            Version::V2 => ("memory.high", "max"),
        };
        let path = self.cgroup.path.join(file);
        let write = |value: &str| std::fs::write(&path, value);
        // v1 gives up with EBUSY when it cannot get there, having freed what it could.
        if let Err(error) = write(&bytes.to_string()) {
            ensure!(
                error.kind() == std::io::ErrorKind::ResourceBusy,
                "writing {}: {error}",
                path.display()
            );
        }
        write(unlimited).with_context(|| format!("writing {}", path.display()))
    }

    /// Writes a file in the room's cgroup, `chunk` bytes a time: that decides its folios.
    pub(super) fn write(&self, name: &str, bytes: u64, chunk: u64) -> anyhow::Result<CaseFile> {
        let path = self.folder().join(name);
        self.hog(&[
            "write",
            text(&path)?,
            &bytes.to_string(),
            "--chunk",
            &chunk.to_string(),
        ])?;
        CaseFile::of(path)
    }

    /// Writes a file of small folios and reads it once: the next read activates its pages.
    pub(super) fn write_and_read(&self, name: &str, bytes: u64) -> anyhow::Result<CaseFile> {
        let file = self.write(name, bytes, self.host.page_bytes)?;
        self.hog(&["reread", file.text()?, "1"])?;
        Ok(file)
    }

    /// Reads a file once in the room's cgroup; the reader's pid.
    pub(super) fn cat(&self, file: &CaseFile) -> anyhow::Result<u32> {
        cat_in(&self.cgroup, file)
    }
}

/// `dd if=FILE of=/dev/null` in a cgroup; its pid. Not `cat`: busybox's calls sendfile(2), which
/// marks a folio accessed once for each 64 KiB of it (mm/filemap.c, `filemap_splice_read`), so that
/// one pass activates a large one.
pub(super) fn cat_in(cgroup: &TestCgroup, file: &CaseFile) -> anyhow::Result<u32> {
    let input = format!("if={}", file.text()?);
    let mut cat = process::command(
        Path::new("dd"),
        [input.as_str(), "of=/dev/null", "bs=65536"],
    );
    cat.stderr(Stdio::null());
    process::join(&mut cat, cgroup)?;
    let mut child = cat.spawn().context("starting dd")?;
    let status = child.wait().context("waiting for dd")?;
    ensure!(status.success(), "dd {}: {status}", file.path.display());
    Ok(child.id())
}

impl CaseFile {
    pub(super) fn of(path: PathBuf) -> anyhow::Result<Self> {
        let metadata = path
            .metadata()
            .with_context(|| format!("looking at {}", path.display()))?;
        Ok(Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            path,
        })
    }

    pub(super) fn text(&self) -> anyhow::Result<&str> {
        text(&self.path)
    }
}

pub(super) fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}

/// What a workload says it did: the last line it printed.
pub(super) fn truth<T: DeserializeOwned>(stdout: &[u8]) -> anyhow::Result<T> {
    let text = String::from_utf8_lossy(stdout);
    let line = text.lines().last().context("the workload said nothing")?;
    serde_json::from_str(line).with_context(|| format!("the workload said {line:?}"))
}

/// `part` is at least `share` of `whole`, and no more than the rest above it.
pub(super) fn ensure_share(
    what: &str,
    part_bytes: i64,
    whole_bytes: i64,
    share: f64,
    context: impl FnOnce() -> String,
) -> anyhow::Result<String> {
    let found = part_bytes as f64 / whole_bytes as f64;
    let figure = format!("{what} {part_bytes} of {whole_bytes} bytes");
    ensure!(
        whole_bytes != 0 && (share..=2.0 - share).contains(&found),
        "{figure}, not {share} of it: {}",
        context()
    );
    Ok(figure)
}

#[cfg(test)]
mod tests {
    use super::ensure_share;

    #[test]
    fn too_much_credit_is_wrong_too() {
        let check = |part, whole| ensure_share("x", part, whole, 0.98, String::new).is_ok();
        assert!(check(98, 100) && check(102, 100) && check(-99, -100));
        assert!(!check(97, 100) && !check(103, 100) && !check(0, 0) && !check(99, -100));
    }
}
