//! `cargo xtask`: everything about memtrace that is not memtrace.
//!
//! One file per subcommand; what several of them share has a module of its own.

mod ebpf;
mod machine_paths;
mod manifest;
mod process;
mod toolchain;
mod vm;
mod workspace;

use anyhow::Result;
use clap::Parser;

/// Builds, tests and measures memtrace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Xtask {
    /// Build the BPF object that is committed under memtrace/bpf.
    Ebpf(ebpf::Args),
    /// Run the live suite, or a command, on Debian's kernels in QEMU.
    Vm(vm::Args),
}

fn main() -> Result<()> {
    match Xtask::parse() {
        Xtask::Ebpf(args) => ebpf::run(args),
        Xtask::Vm(args) => vm::run(args),
    }
}
