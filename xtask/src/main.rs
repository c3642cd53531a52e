//! `cargo xtask`: everything about memtrace that is not memtrace.

mod vm;

use clap::{Parser, Subcommand};

/// Everything about memtrace that is not memtrace.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs the live suite, or a command, on Debian's kernels in QEMU.
    Vm(vm::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Vm(args) => vm::run(args),
    }
}
