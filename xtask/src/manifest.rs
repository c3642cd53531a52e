//! What the committed BPF object was made from and with: the file beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::toolchain::Toolchain;
use crate::{process, workspace};

/// The origin of a BPF object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What it was made from.
    pub inputs: Inputs,
    /// What it was made with.
    pub tools: Tools,
    /// SHA-256 of the object's bytes.
    pub object_sha256: String,
}

/// What decides an object's bytes apart from the tools. Anyone can compare these, without any of
/// the tools, to see whether an object is up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// SHA-256 over memtrace-ebpf's manifest and sources.
    pub source_sha256: String,
    /// `name version` of each crate that the programs link or whose macros they use, sorted.
    pub dependencies: Vec<String>,
    /// The arguments to cargo and rustc that do not depend on the machine.
    pub flags: Vec<String>,
}

/// The versions of the tools: the same tools make the same bytes from the same inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// rustup's name of the compiler.
    pub toolchain: String,
    /// The first line of `rustc -vV`.
    pub rustc: String,
    /// The version of rustc's LLVM.
    pub rustc_llvm: String,
    /// The version of bpf-linker.
    pub bpf_linker: String,
    /// The version of `llvm-strip`, and so of the LLVM that bpf-linker was built with.
    pub llvm: String,
}

impl Manifest {
    /// Reads a manifest from `path`.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a manifest", path.display()))
    }

    /// Writes this manifest to `path`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).context("cannot encode the manifest")?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Inputs {
    /// What an object built now would be made from.
    pub fn current(flags: &[&str]) -> Result<Self> {
        Ok(Self {
            source_sha256: source_sha256(&workspace::root().join("memtrace-ebpf"))?,
            dependencies: resolved_dependencies()?,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        })
    }

    /// What differs between these inputs and `now`, in words; empty if nothing does.
    pub fn changes(&self, now: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        if self.source_sha256 != now.source_sha256 {
            changes.push("memtrace-ebpf's sources changed".to_owned());
        }
        if self.dependencies != now.dependencies {
            let without = |these: &[String], those: &[String]| {
                let only: Vec<_> = these.iter().filter(|one| !those.contains(one)).collect();
                only.into_iter().cloned().collect::<Vec<_>>().join(", ")
            };
            changes.push(format!(
                "dependencies changed: [{}] became [{}]",
                without(&self.dependencies, &now.dependencies),
                without(&now.dependencies, &self.dependencies),
            ));
        }
        if self.flags != now.flags {
            changes.push("the build's flags changed".to_owned());
        }
        changes
    }
}

impl Tools {
    /// What differs between these tools and `others`, in words; empty if nothing does.
    pub fn differences(&self, others: &Self) -> Vec<String> {
        let named = |tools: &Self| {
            [
                ("toolchain", tools.toolchain.clone()),
                ("rustc", tools.rustc.clone()),
                ("rustc's LLVM", tools.rustc_llvm.clone()),
                ("bpf-linker", tools.bpf_linker.clone()),
                ("LLVM", tools.llvm.clone()),
            ]
        };
        named(self)
            .into_iter()
            .zip(named(others))
            .filter(|(own, other)| own != other)
            .map(|((name, own), (_, other))| format!("{name} {own}, not {other}"))
            .collect()
    }
}

impl From<&Toolchain> for Tools {
    fn from(toolchain: &Toolchain) -> Self {
        Self {
            toolchain: toolchain.nightly.name.to_owned(),
            rustc: toolchain.nightly.rustc.clone(),
            rustc_llvm: toolchain.nightly.llvm.clone(),
            bpf_linker: toolchain.bpf_linker_version.clone(),
            llvm: toolchain.llvm.clone(),
        }
    }
}

/// SHA-256 of `bytes`, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 over `Cargo.toml` and everything below `src/` of the package in `folder`.
///
/// Each file counts with its path relative to `folder` and its contents, each preceded by its
/// length, in the order of the paths; so a rename is a change and the checkout's place is not.
pub fn source_sha256(folder: &Path) -> Result<String> {
    let mut files = vec![PathBuf::from("Cargo.toml")];
    list_files(folder, Path::new("src"), &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let path = folder.join(&file);
        let contents =
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for part in [file.as_os_str().as_encoded_bytes(), &contents] {
            hash.update(u64::try_from(part.len())?.to_le_bytes());
            hash.update(part);
        }
    }
    Ok(hex(&hash.finalize()))
}

fn list_files(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let path = root.join(folder);
    let context = || format!("cannot list {}", path.display());
    for entry in fs::read_dir(&path).with_context(context)? {
        let entry = entry.with_context(context)?;
        let relative = folder.join(entry.file_name());
        if entry.file_type().with_context(context)?.is_dir() {
            list_files(root, &relative, files)?;
        } else {
            files.push(relative);
        }
    }
    Ok(())
}

/// `name version` of each crate below memtrace-ebpf's `bpf` feature, from `Cargo.lock`.
///
/// Build scripts' dependencies are left out: they only choose `cfg`s, and a change in what they
/// choose shows in the bytes.
fn resolved_dependencies() -> Result<Vec<String>> {
    let tree = process::stdout(
        Command::new("cargo")
            .args([
                "tree",
                "--locked",
                "-p",
                "memtrace-ebpf",
                "--features",
                "bpf",
            ])
            .args(["--target", "bpfel-unknown-none", "-e", "normal"])
            .args(["--prefix", "none", "--no-dedupe"])
            .current_dir(workspace::root()),
    )?;
    Ok(packages_in_tree(&tree))
}

/// The packages in the output of `cargo tree --prefix none`, without memtrace-ebpf itself.
fn packages_in_tree(tree: &str) -> Vec<String> {
    let mut packages: Vec<_> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
            (name != "memtrace-ebpf").then(|| format!("{name} {version}"))
        })
        .collect();
    packages.sort();
    packages.dedup();
    packages
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_gives_each_package_once() {
        let tree = "memtrace-ebpf v0.1.0 (/somewhere/memtrace-ebpf)\naya-ebpf v0.2.1\n\
                    aya-ebpf-macros v0.2.0 (proc-macro)\nsyn v3.0.9\nsyn v2.0.119\naya-ebpf v0.2.1\n\n";
        assert_eq!(
            packages_in_tree(tree),
            [
                "aya-ebpf 0.2.1",
                "aya-ebpf-macros 0.2.0",
                "syn 2.0.119",
                "syn 3.0.9"
            ]
        );
    }

    #[test]
    fn the_hash_sees_contents_and_names_but_not_the_place() -> Result<()> {
        let package = |main: &str, text: &str| -> Result<_> {
            let folder = tempfile::tempdir()?;
            fs::write(folder.path().join("Cargo.toml"), "[package]")?;
            fs::create_dir_all(folder.path().join("src/bpf"))?;
            fs::write(folder.path().join("src/lib.rs"), "")?;
            fs::write(folder.path().join("src/bpf").join(main), text)?;
            source_sha256(folder.path())
        };
        let hash = package("main.rs", "fn main() {}")?;
        assert_eq!(hash.len(), 64);
        assert_eq!(hash, package("main.rs", "fn main() {}")?);
        assert_ne!(hash, package("main.rs", "fn main() { }")?);
        assert_ne!(hash, package("mein.rs", "fn main() {}")?);
        Ok(())
    }

    #[test]
    fn changes_name_what_changed() {
        let then = Inputs {
            source_sha256: "a".to_owned(),
            dependencies: vec!["aya-ebpf 0.2.1".to_owned(), "syn 2.0.1".to_owned()],
            flags: vec!["--release".to_owned()],
        };
        assert!(then.changes(&then).is_empty());
        let mut now = then.clone();
        now.dependencies[0] = "aya-ebpf 0.2.2".to_owned();
        assert_eq!(
            then.changes(&now),
            ["dependencies changed: [aya-ebpf 0.2.1] became [aya-ebpf 0.2.2]"]
        );
        now.source_sha256 = "b".to_owned();
        now.flags.clear();
        assert_eq!(then.changes(&now).len(), 3);
    }

    #[test]
    fn differences_name_the_tool() {
        let committed = Tools {
            toolchain: "nightly-2026-07-01".to_owned(),
            rustc: "rustc 1.98.0-nightly".to_owned(),
            rustc_llvm: "22.1.8".to_owned(),
            bpf_linker: "0.13.0".to_owned(),
            llvm: "22.1.8".to_owned(),
        };
        let mut here = committed.clone();
        assert!(committed.differences(&here).is_empty());
        here.llvm = "22.1.9".to_owned();
        assert_eq!(committed.differences(&here), ["LLVM 22.1.8, not 22.1.9"]);
    }

    #[test]
    fn sha256_is_the_standard_one() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
