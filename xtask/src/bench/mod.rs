//! `cargo xtask bench`: figures that the documents quote, measured.

mod accuracy;
mod oom;

use anyhow::Result;

/// Measures, and writes a document.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// How often memtrace names the OOM killer's victim: random herds, docs/OOM-ACCURACY.md.
    Oom(oom::Args),
}

/// Runs `cargo xtask bench`.
pub fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Oom(args) => oom::run(args),
    }
}
