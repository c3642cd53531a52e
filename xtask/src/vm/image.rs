//! What a guest boots with: an initramfs, a disk to work on and a disk for what
//! it brings back.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::ladder::Config;
use super::tools::Tools;
use crate::process;

/// The work disk, sparse: page-cache experiments with files of some 100 MiB, and room.
const DATA_BYTES: u64 = 2 << 30;
/// The disk for a tar of `/out`, sparse.
const OUT_BYTES: u64 = 256 << 20;

/// What a guest runs, and with which files.
#[derive(Debug, Clone, Default)]
pub struct Payload {
    /// A shell script.
    pub command: String,
    /// Environment of the script.
    pub env: Vec<(String, String)>,
    /// Host path and guest path of files and folders to bring in.
    pub files: Vec<(PathBuf, String)>,
}

/// The files of one boot.
pub struct Image {
    /// Uncompressed initramfs.
    pub initrd: PathBuf,
    /// ext4, mounted at `/data`.
    pub data: PathBuf,
    /// Raw; a tar of `/out` after the run.
    pub out: PathBuf,
}

impl Image {
    /// Writes the files into `folder`.
    pub fn write(
        folder: &Path,
        tools: &Tools,
        exit: &Path,
        config: Config,
        payload: &Payload,
    ) -> Result<Self> {
        let image = Self {
            initrd: folder.join("initrd.cpio"),
            data: folder.join("data.img"),
            out: folder.join("out.img"),
        };
        initramfs(&image.initrd, &tools.busybox(), exit, config, payload)?;
        sparse(&image.out, OUT_BYTES)?;
        sparse(&image.data, DATA_BYTES)?;
        let mut mke2fs = tools.mke2fs();
        // The tables of a new sparse file are zero already.
        mke2fs.args([
            "-q",
            "-F",
            "-t",
            "ext4",
            "-E",
            "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
        ]);
        process::stdout(mke2fs.arg(&image.data))?;
        Ok(image)
    }

    /// Unpacks what the guest left in `/out` into `folder`.
    pub fn bring_out(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let mut tar = Command::new("tar");
        tar.arg("-C")
            .arg(folder)
            .args(["--no-same-owner", "-xf"])
            .arg(&self.out);
        process::stdout(&mut tar).map(drop)
    }

    /// Removes the files.
    pub fn remove(&self) {
        for path in [&self.initrd, &self.data, &self.out] {
            let _ = fs::remove_file(path);
        }
    }
}

fn initramfs(
    path: &Path,
    busybox: &Path,
    exit: &Path,
    config: Config,
    payload: &Payload,
) -> Result<()> {
    let mut archive = Archive::create(path)?;
    for folder in [
        "proc", "sys", "dev", "tmp", "run", "root", "data", "out", "sbin", "usr/sbin", "var/tmp",
    ] {
        archive.folder(folder)?;
    }
    // The kernel opens it for init before devtmpfs is mounted.
    archive.device("dev/console", 0o600, (5, 1))?;
    archive.copy("bin/busybox", busybox)?;
    archive.link("usr/bin", "/bin")?;
    archive.copy("bin/guest-exit", exit)?;
    archive.file("init", 0o755, include_bytes!("guest/init.sh"))?;
    archive.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    )?;
    archive.file("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
    archive.file(
        "etc/guest.sh",
        0o644,
        environment(config, &payload.env).as_bytes(),
    )?;
    archive.file("etc/command", 0o644, payload.command.as_bytes())?;
    for (host, guest) in &payload.files {
        archive.copy(guest.trim_start_matches('/'), host)?;
    }
    archive.finish().map(drop)
}

fn environment(config: Config, env: &[(String, String)]) -> String {
    let quoted = |value: &str| value.replace('\'', r"'\''");
    let mut text = format!(
        "export GUEST_CGROUP={} GUEST_LRU={}\n",
        config.cgroup, config.lru
    );
    for (key, value) in env {
        text.push_str(&format!("export {key}='{}'\n", quoted(value)));
    }
    text
}

fn sparse(path: &Path, bytes: u64) -> Result<()> {
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    file.set_len(bytes)
        .with_context(|| format!("resize {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::ladder::{Cgroup, Lru};

    #[test]
    fn environment_is_quoted_for_the_shell() {
        let config = Config {
            series: "6.12",
            cgroup: Cgroup::V2,
            lru: Lru::Mglru,
            locked_down: false,
        };
        let text = environment(config, &[("A".into(), "it's $x".into())]);
        assert_eq!(
            text,
            "export GUEST_CGROUP=v2 GUEST_LRU=mglru\nexport A='it'\\''s $x'\n"
        );
    }
}
