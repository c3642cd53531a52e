//! `cargo xtask`: everything about memtrace that is not memtrace.

mod btf;

use std::path::PathBuf;

use clap::Parser;

#[derive(Parser)]
enum Task {
    /// Write the part of a kernel's BTF that memtrace looks at, as data for unit tests.
    BtfExtract {
        /// The whole BTF: `/sys/kernel/btf/vmlinux`, or the `.BTF` section of a vmlinux.
        from: PathBuf,
        /// Where to write the extract.
        to: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::BtfExtract { from, to } => btf::run(&from, &to),
    }
}
