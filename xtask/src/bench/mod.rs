//! `cargo xtask bench`: figures that the documents quote, measured.

mod accuracy;
mod cost;
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
    /// What memtrace costs, beside its peers: docs/COST.md. Installs the peers; as root.
    Cost(cost::Args),
}

/// Runs `cargo xtask bench`.
pub fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Oom(args) => oom::run(args),
        What::Cost(args) => cost::run(args),
    }
}
