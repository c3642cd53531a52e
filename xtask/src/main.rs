//! `cargo xtask`: everything about memtrace that is not memtrace.
//!
//! One file per subcommand; what several of them share has a module of its own.

mod bench;
mod bpf_calls;
mod btf;
mod deploy;
mod ebpf;
mod image;
mod machine_paths;
mod manifest;
mod musl;
mod process;
mod remap;
mod setup;
mod test;
mod toolchain;
mod vm;
mod workspace;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;

/// Builds, tests and measures memtrace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Xtask {
    /// Install what building and testing memtrace needs.
    Setup(setup::Args),
    /// Build the BPF object that is committed under memtrace/bpf.
    Ebpf(ebpf::Args),
    /// Write the part of a kernel's BTF that memtrace looks at, as data for unit tests.
    BtfExtract {
        /// The whole BTF: `/sys/kernel/btf/vmlinux`, or the `.BTF` section of a vmlinux.
        from: PathBuf,
        /// Where to write the extract.
        to: PathBuf,
    },
    /// Write the plain Kubernetes manifests from the Helm chart.
    Manifests(deploy::Args),
    /// Build the agent's OCI image below target/, without a registry.
    Image,
    /// Run all tests; the last line counts them.
    Test(test::Args),
    /// Run the live suite, or a command, on Debian's kernels in QEMU.
    Vm(vm::Args),
    /// Measure, and write the figures into docs/.
    Bench(bench::Args),
}

fn main() -> Result<ExitCode> {
    match Xtask::parse() {
        Xtask::Setup(args) => setup::run(&args)?,
        Xtask::Ebpf(args) => ebpf::run(&args)?,
        Xtask::BtfExtract { from, to } => btf::run(&from, &to)?,
        Xtask::Manifests(args) => deploy::run(&args)?,
        Xtask::Image => image::run()?,
        Xtask::Test(args) => return Ok(test::run(&args)),
        Xtask::Vm(args) => vm::run(args)?,
        Xtask::Bench(args) => bench::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}
