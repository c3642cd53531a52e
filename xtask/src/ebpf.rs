//! `cargo xtask ebpf`: builds the BPF object, or checks that the committed one is what a build
//! would give.
//!
//! The object is committed because building it takes tools that most people who build memtrace
//! do not have. It is byte-identical wherever the same tools build it, so anyone can check it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, bail};

use crate::manifest::{self, Inputs, Manifest, Tools};
use crate::toolchain::{NIGHTLY, Toolchain};
use crate::{bpf_calls, machine_paths, process, remap, workspace};

/// Arguments of `cargo xtask ebpf`.
#[derive(clap::Args)]
pub struct Args {
    /// Change nothing; fail unless the committed object is up to date.
    ///
    /// Without the tools of the manifest only the hashes are compared.
    #[arg(long)]
    check: bool,
}

const TARGET: &str = "bpfel-unknown-none";

/// What cargo is told, beyond places that differ between machines.
///
/// The release profile is userspace's, so everything in it that matters here is said again:
/// bpf-linker does the link-time optimisation, and makes BTF out of the debug information.
const CARGO_FLAGS: [&str; 16] = [
    "--package=memtrace-ebpf",
    "--bin=memtrace-bpf",
    "--features=bpf",
    "--release",
    "--target=bpfel-unknown-none",
    "-Zbuild-std=core",
    "--config=profile.release.opt-level=3",
    "--config=profile.release.codegen-units=1",
    "--config=profile.release.debug=2",
    "--config=profile.release.debug-assertions=false",
    "--config=profile.release.overflow-checks=false",
    "--config=profile.release.incremental=false",
    "--config=profile.release.lto=false",
    "--config=profile.release.panic=\"abort\"",
    "--config=profile.release.strip=false",
    "--locked",
];

/// What rustc is told, beyond the same.
///
/// `bpf_target_arch` chooses the register layout of aya-ebpf's kprobe arguments. One value for all
/// keeps one object for all architectures; on others memtrace leaves its kprobes off (`kernel/plan.rs`).
///
/// bpf-linker leaves filling and copying memory to calls of functions unless told otherwise, and
/// calls are what [`bpf_calls`] refuses.
const RUST_FLAGS: [&str; 4] = [
    "--cfg=bpf_target_arch=\"x86_64\"",
    "-Cdebuginfo=2",
    "-Clink-arg=--btf",
    "-Clink-arg=--disable-expand-memcpy-in-order",
];

/// How much a check could see.
#[derive(Debug, PartialEq, Eq)]
pub enum Checked {
    /// A rebuild gave the same bytes.
    Rebuilt,
    /// Only hashes were compared; why there was no rebuild.
    HashesOnly(String),
}

/// Runs the subcommand.
pub fn run(args: &Args) -> Result<()> {
    if args.check {
        check_hashes()?;
        match check_bytes()? {
            Checked::Rebuilt => println!("the BPF object is up to date; a rebuild gave its bytes"),
            Checked::HashesOnly(why) => {
                println!("the BPF object is up to date by its hashes; not rebuilt: {why}");
            }
        }
        return Ok(());
    }
    let toolchain = Toolchain::find()?;
    let object = build(&toolchain)?;
    let path = object_path();
    let folder = path.parent().expect("the object is in a folder");
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::write(&path, &object).with_context(|| format!("cannot write {}", path.display()))?;
    Manifest {
        inputs: inputs()?,
        tools: Tools::from(&toolchain),
        object_sha256: manifest::sha256(&object),
    }
    .write(&manifest_path())?;
    println!("{}: {} bytes", path.display(), object.len());
    Ok(())
}

/// Fails unless the committed object belongs to its manifest, the manifest to the sources, and no
/// trace of a machine is in the object. Builds nothing and needs none of the BPF tools.
pub fn check_hashes() -> Result<()> {
    let manifest = committed()?;
    let object = committed_object()?;
    let changes = manifest.inputs.changes(&inputs()?);
    if !changes.is_empty() {
        bail!(
            "the BPF object is out of date: {}; run `cargo xtask ebpf` and commit memtrace/bpf",
            changes.join("; ")
        );
    }
    if manifest::sha256(&object) != manifest.object_sha256 {
        bail!(
            "{} is not the object that its manifest describes; run `cargo xtask ebpf`",
            object_path().display()
        );
    }
    refuse_machine_paths(&object)?;
    refuse_calls(&object)
}

/// Rebuilds the object where the tools of the manifest are, and fails if the bytes differ.
pub fn check_bytes() -> Result<Checked> {
    let manifest = committed()?;
    let toolchain = match Toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(missing) => return Ok(Checked::HashesOnly(format!("{missing:#}"))),
    };
    let differences = manifest.tools.differences(&Tools::from(&toolchain));
    if !differences.is_empty() {
        return Ok(Checked::HashesOnly(format!(
            "it was built with other tools than are here: {}",
            differences.join("; ")
        )));
    }
    if build(&toolchain)? != committed_object()? {
        bail!("a rebuild gives other bytes than the committed object; run `cargo xtask ebpf`");
    }
    Ok(Checked::Rebuilt)
}

/// Builds the object, and returns its bytes.
fn build(toolchain: &Toolchain) -> Result<Vec<u8>> {
    if !toolchain.nightly.is_pinned() {
        eprintln!(
            "note: {NIGHTLY} is not installed; building with {} ({})",
            toolchain.nightly.name, toolchain.nightly.rustc
        );
    }
    // Cargo does not see it when a linker changes, so each linker has its own target folder.
    let target_dir = workspace::target_dir().join(format!(
        "bpf/{}-{}-{}",
        toolchain.nightly.name, toolchain.bpf_linker_version, toolchain.llvm
    ));
    let cargo = |subcommand| {
        let mut command = Command::new("rustup");
        command
            .args(["run", toolchain.nightly.name, "cargo", subcommand])
            .current_dir(workspace::root());
        for name in inherited_build_settings() {
            command.env_remove(name);
        }
        command
    };
    // The crates' folders must be there before they can be remapped.
    process::run(cargo("fetch").args(["--quiet", "--locked", "--target", TARGET]))?;
    process::run(
        cargo("build")
            .args(CARGO_FLAGS)
            .arg("--target-dir")
            .arg(&target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(toolchain)?),
    )?;

    let linked = target_dir.join(TARGET).join("release/memtrace-bpf");
    let stripped = linked.with_extension("stripped.o");
    process::run(
        Command::new(&toolchain.llvm_strip)
            .args(["--strip-debug", "-o"])
            .args([&stripped, &linked]),
    )?;
    let object =
        fs::read(&stripped).with_context(|| format!("cannot read {}", stripped.display()))?;
    refuse_machine_paths(&object)?;
    refuse_calls(&object)?;
    Ok(object)
}

/// rustc's flags, in cargo's encoding (separated by 0x1f).
fn rust_flags(toolchain: &Toolchain) -> Result<OsString> {
    let mut flags = OsString::from(RUST_FLAGS.join("\x1f"));
    flags.push("\x1f-Clinker=");
    flags.push(&toolchain.bpf_linker);
    remap::add_flags(&mut flags, &toolchain.nightly.sysroot)?;
    Ok(flags)
}

/// Names of environment variables that would change how cargo builds: those a developer set for
/// userspace, and those the cargo that runs this xtask set for itself.
fn inherited_build_settings() -> impl Iterator<Item = OsString> {
    const PREFIXES: [&str; 6] = [
        "RUSTC",
        "RUSTFLAGS",
        "CARGO_BUILD_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "CARGO_INCREMENTAL",
    ];
    env::vars_os().map(|(name, _)| name).filter(|name| {
        name.to_str()
            .is_some_and(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
    })
}

fn refuse_machine_paths(object: &[u8]) -> Result<()> {
    let found = machine_paths::in_object(object);
    if !found.is_empty() {
        bail!(
            "the BPF object names this machine: {}; remap that path in xtask/src/remap.rs",
            found.join(", ")
        );
    }
    Ok(())
}

fn refuse_calls(object: &[u8]) -> Result<()> {
    let found = bpf_calls::in_object(object)?;
    if !found.is_empty() {
        bail!(
            "the BPF object has functions that are not inlined, which can panic old kernels (see \
             xtask/src/bpf_calls.rs): {}",
            found.join(", ")
        );
    }
    Ok(())
}

fn inputs() -> Result<Inputs> {
    Inputs::current(&[&CARGO_FLAGS[..], &RUST_FLAGS[..]].concat())
}

/// What the committed object was made from.
pub fn committed() -> Result<Manifest> {
    Manifest::read(&manifest_path()).context("run `cargo xtask ebpf`")
}

fn committed_object() -> Result<Vec<u8>> {
    let path = object_path();
    fs::read(&path)
        .with_context(|| format!("cannot read {}; run `cargo xtask ebpf`", path.display()))
}

fn object_path() -> PathBuf {
    folder().join("memtrace.bpf.o")
}

fn manifest_path() -> PathBuf {
    folder().join("memtrace.bpf.json")
}

fn folder() -> PathBuf {
    Path::new(workspace::root()).join("memtrace/bpf")
}
