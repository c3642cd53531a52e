//! QEMU, busybox and mke2fs from Debian, run from the cache without being installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::fetch::{self, Store};

/// Where the tools come from. QEMU before 11.1 crashes guests with two CPUs when a
/// 7.x kernel patches its own text; of 41 stress runs 11.1.3 passed all, bookworm's
/// 7.2 none of 10.
pub const SUITES: [&str; 2] = ["trixie", "trixie-backports"];
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// The packages asked for; what they depend on comes along.
const PACKAGES: [(&str, &str); 3] = [
    ("qemu", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("mke2fs", "e2fsprogs"),
];

/// The unpacked tools.
pub struct Tools {
    root: PathBuf,
}

impl Tools {
    /// The tools at their locked versions: from the cache, else from the archive.
    pub fn fetch(store: &mut Store) -> Result<Self> {
        if let Some(root) = cached(store) {
            return Ok(Self { root });
        }
        let mut packages = Vec::new();
        for (what, name) in PACKAGES {
            packages.push(store.resolve(what, &SUITES, name, |n| n == name)?.package);
        }
        // The lock now says what `cached` looks for.
        let root = folder(store).unwrap_or_else(|| store.cache.join("tools"));
        if !root.exists() {
            let debs = store
                .archive()?
                .download_with_dependencies(&SUITES, &packages)?;
            fetch::unpack(&debs, &root)?;
        }
        let tools = Self { root };
        ensure!(
            tools.root.join("usr/bin/qemu-system-x86_64").exists(),
            "no qemu-system-x86_64 below {}",
            tools.root.display()
        );
        Ok(tools)
    }

    /// A static busybox, for the guest.
    pub fn busybox(&self) -> PathBuf {
        self.root.join("usr/bin/busybox")
    }

    /// QEMU, with its firmware and modules found in the unpacked folder.
    pub fn qemu(&self) -> Command {
        let mut command = self.program("usr/bin/qemu-system-x86_64");
        command.env("QEMU_MODULE_DIR", self.root.join(LIBRARIES).join("qemu"));
        for share in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(self.root.join(share));
        }
        command
    }

    /// mke2fs.
    pub fn mke2fs(&self) -> Command {
        self.program("usr/sbin/mke2fs")
    }

    /// A program started by its own dynamic loader with its own libraries, which
    /// may be newer than this machine's.
    fn program(&self, path: &str) -> Command {
        let libraries = self.root.join(LIBRARIES);
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(&libraries);
        command.arg(self.root.join(path));
        command
    }
}

fn cached(store: &Store) -> Option<PathBuf> {
    folder(store).filter(|f| f.exists())
}

/// The folder for the locked versions; `None` unless all are locked.
fn folder(store: &Store) -> Option<PathBuf> {
    let mut name = String::from("tools");
    for (what, _) in PACKAGES {
        name.push('_');
        // A colon would split the library path.
        name.push_str(
            &store
                .lock
                .get(what)?
                .package
                .version
                .replace([':', '/', '~'], "-"),
        );
    }
    Some(Path::new(&store.cache).join(name))
}
