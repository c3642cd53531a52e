//! `cargo xtask image`: the agent as an OCI image, from scratch, without a registry and without root.

mod layer;
mod layout;
mod sbom;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use self::layer::File;
use crate::{machine_paths, musl, workspace};

/// Where the program is in the image. deploy/ names it, too.
const PROGRAM: &str = "memtrace";
const SBOM: &str = "usr/share/memtrace/sbom.cdx.json";
/// A node pulls it at the worst of times.
pub const MAX_BYTES: u64 = 15_000_000;

/// Runs the subcommand: builds the image and says where it is.
pub fn run() -> Result<()> {
    let folder = build()?;
    println!(
        "{}: {:.1} MB, tag {}",
        folder.display(),
        size_bytes(&folder)? as f64 / 1e6,
        env!("CARGO_PKG_VERSION")
    );
    Ok(())
}

/// Builds the image anew; the folder of its OCI layout.
pub fn build() -> Result<PathBuf> {
    let programs = musl::executables(&["memtrace"], &["memtrace"])?;
    let program = programs.first().context("no program was built")?;
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let named = machine_paths::in_object(&bytes);
    ensure!(
        named.is_empty(),
        "the program names this machine: {}; remap that path in xtask/src/remap.rs",
        named.join(", ")
    );
    let folder = folder();
    write(&bytes, &sbom::of(&bytes)?, &folder)?;
    Ok(folder)
}

/// Where the image is put.
pub fn folder() -> PathBuf {
    workspace::target_dir().join("image")
}

/// The bytes that a node pulls.
pub fn size_bytes(folder: &Path) -> Result<u64> {
    let blobs = folder.join("blobs/sha256");
    let mut sum = 0;
    for blob in fs::read_dir(&blobs).with_context(|| format!("cannot list {}", blobs.display()))? {
        sum += blob?.metadata()?.len();
    }
    Ok(sum)
}

fn write(program: &[u8], sbom: &[u8], folder: &Path) -> Result<()> {
    let files = [
        File {
            path: PROGRAM,
            mode: 0o755,
            bytes: program,
        },
        File {
            path: SBOM,
            mode: 0o644,
            bytes: sbom,
        },
    ];
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    layout::write(&layer::tar(&files)?, folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file below a folder, with its bytes.
    fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => all.extend(files(&path)),
                false => all.push((path.clone(), fs::read(&path).unwrap())),
            }
        }
        all.sort();
        all
    }

    #[test]
    fn the_same_program_makes_the_same_image() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("image");
        write(b"program", b"{}", &place).unwrap();
        let first = files(&place);
        write(b"program", b"{}", &place).unwrap();
        assert_eq!(first, files(&place));
        // Layout, index, manifest, configuration, layer.
        assert_eq!(first.len(), 5);
        write(b"another", b"{}", &place).unwrap();
        assert_ne!(first, files(&place));
    }
}
