//! The tools that turn memtrace-ebpf into a BPF object: a nightly rustc with the sources of
//! `core`, bpf-linker, and LLVM's strip, all of one LLVM major version.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{process, workspace};

/// The nightly that the committed object is built with.
pub const NIGHTLY: &str = "nightly-2026-07-01";
/// What is taken when [`NIGHTLY`] is not installed and cannot be fetched.
pub const FALLBACK_NIGHTLY: &str = "nightly";
/// The major version that rustc's bitcode and bpf-linker's LLVM must share.
pub const LLVM_MAJOR: u32 = 22;
/// The bpf-linker that the committed object is linked with.
pub const BPF_LINKER_VERSION: &str = "0.13.0";
/// Where Debian's packages put the LLVM of [`LLVM_MAJOR`].
pub const LLVM_BIN: &str = "/usr/lib/llvm-22/bin";

/// A nightly rustc that can build `core` for BPF.
pub struct Nightly {
    /// rustup's name for it.
    pub name: &'static str,
    /// The first line of `rustc -vV`.
    pub rustc: String,
    /// The version of rustc's own LLVM.
    pub llvm: String,
    /// The toolchain's folder.
    pub sysroot: PathBuf,
}

/// Everything that building the BPF object needs.
pub struct Toolchain {
    /// The compiler.
    pub nightly: Nightly,
    /// The linker's absolute path.
    pub bpf_linker: PathBuf,
    /// The linker's version.
    pub bpf_linker_version: String,
    /// `llvm-strip`'s absolute path.
    pub llvm_strip: PathBuf,
    /// The version of `llvm-strip`, hence of the LLVM library that Debian's bpf-linker build uses.
    pub llvm: String,
}

impl Toolchain {
    /// Finds the tools without installing anything; the error names the first that is missing.
    pub fn find() -> Result<Self> {
        let nightly = Nightly::find()?;
        let (bpf_linker, bpf_linker_version) = find_bpf_linker()?;
        let (llvm_strip, llvm) = find_llvm_strip()?;
        Ok(Self {
            nightly,
            bpf_linker,
            bpf_linker_version,
            llvm_strip,
            llvm,
        })
    }
}

impl Nightly {
    /// The pinned nightly, else the fallback if it has the right LLVM.
    pub fn find() -> Result<Self> {
        Self::pinned().or_else(|pinned| {
            Self::named(FALLBACK_NIGHTLY)
                .with_context(|| format!("{pinned:#}; nor is there a fallback"))
        })
    }

    /// The pinned nightly.
    pub fn pinned() -> Result<Self> {
        Self::named(NIGHTLY)
    }

    /// Whether this is the pinned nightly rather than the fallback.
    pub fn is_pinned(&self) -> bool {
        self.name == NIGHTLY
    }

    fn named(name: &'static str) -> Result<Self> {
        let rustc = |args: &[&str]| {
            process::stdout(
                Command::new("rustup")
                    .args(["run", name, "rustc"])
                    .args(args),
            )
        };
        let version = rustc(&["-vV"])
            .with_context(|| format!("no toolchain {name} (`cargo xtask setup` installs it)"))?;
        let llvm = version_after(&version, "LLVM version: ")
            .with_context(|| format!("{name}'s `rustc -vV` names no LLVM version"))?;
        if major(&llvm) != Some(LLVM_MAJOR) {
            bail!("{name} is built on LLVM {llvm}, but bpf-linker needs {LLVM_MAJOR}");
        }
        let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?.trim_end());
        let core = sysroot.join("lib/rustlib/src/rust/library/core");
        if !core.is_dir() {
            bail!("{name} lacks rust-src (`cargo xtask setup` installs it)");
        }
        Ok(Self {
            name,
            rustc: version.lines().next().unwrap_or_default().to_owned(),
            llvm,
            sysroot,
        })
    }
}

/// bpf-linker's path and version; any other version than the pinned one is an error.
pub fn find_bpf_linker() -> Result<(PathBuf, String)> {
    let cargo_bin: Vec<_> = workspace::cargo_home()
        .map(|home| home.join("bin"))
        .into_iter()
        .collect();
    let path = process::find("bpf-linker", &cargo_bin)
        .context("no bpf-linker (`cargo xtask setup` installs it)")?;
    let output = process::stdout(Command::new(&path).arg("--version"))?;
    let version = version_after(&output, "bpf-linker ")
        .with_context(|| format!("{} --version said {output:?}", path.display()))?;
    if version != BPF_LINKER_VERSION {
        bail!(
            "{} is bpf-linker {version}, not {BPF_LINKER_VERSION} (`cargo xtask setup` installs it)",
            path.display()
        );
    }
    Ok((path, version))
}

/// The path and version of an `llvm-strip` of [`LLVM_MAJOR`].
pub fn find_llvm_strip() -> Result<(PathBuf, String)> {
    let path =
        process::find("llvm-strip", &[Path::new(LLVM_BIN).to_owned()]).with_context(|| {
            format!("no llvm-strip of LLVM {LLVM_MAJOR} (`cargo xtask setup` installs it)")
        })?;
    let output = process::stdout(Command::new(&path).arg("--version"))?;
    let version = version_after(&output, "LLVM version ")
        .with_context(|| format!("{} --version said {output:?}", path.display()))?;
    if major(&version) != Some(LLVM_MAJOR) {
        bail!(
            "{} is of LLVM {version}, not {LLVM_MAJOR} (`cargo xtask setup` installs it)",
            path.display()
        );
    }
    Ok((path, version))
}

/// The word that follows `label` in what a tool said about itself.
fn version_after(output: &str, label: &str) -> Option<String> {
    let (_, rest) = output.split_once(label)?;
    rest.split_whitespace().next().map(str::to_owned)
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_tools_say() {
        let rustc =
            "rustc 1.98.0-nightly (f46ec5218 2026-06-30)\nbinary: rustc\nLLVM version: 22.1.8\n";
        assert_eq!(
            version_after(rustc, "LLVM version: ").as_deref(),
            Some("22.1.8")
        );
        let strip = "llvm-strip, compatible with GNU strip\nDebian LLVM version 22.1.8\n  Optimized build.\n";
        assert_eq!(
            version_after(strip, "LLVM version ").as_deref(),
            Some("22.1.8")
        );
        assert_eq!(version_after("bpf-linker", "bpf-linker "), None);
        assert_eq!(major("22.1.8"), Some(22));
        assert_eq!(major("git"), None);
    }
}
