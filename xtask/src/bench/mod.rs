//! `cargo xtask bench`: figures that the documents quote, measured.

mod accuracy;
mod case;
mod cost;
mod long;
mod oom;
mod risk;
mod windows;

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
    /// What a long session costs in memory, and what its answer is worth: docs/LONG-WINDOWS.md.
    Long(long::Args),
    /// What memtrace costs, beside its peers: docs/COST.md. Installs the peers; as root.
    Cost(cost::Args),
    /// How well risks and alerts foretell kills: recorded workloads, replayed into Prometheus,
    /// docs/BACKTEST.md.
    Risk(risk::Args),
}

/// Runs `cargo xtask bench`.
pub fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Oom(args) => oom::run(args),
        What::Long(args) => long::run(args),
        What::Cost(args) => cost::run(args),
        What::Risk(args) => risk::run(args),
    }
}
