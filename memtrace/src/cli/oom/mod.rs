//! `memtrace oom`: whom the OOM killer would choose, and whom it chose.

mod kept;
mod predict;
mod watch;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use memtrace::kernel::attach::LoadOptions;

use super::failure::Failure;

/// Whom the OOM killer would choose, and whom it chose
#[derive(Args)]
pub struct Oom {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Who would be killed, now and at the limit, and why
    Predict(predict::Predict),
    /// Kills as they happen, with every candidate's points
    Watch(watch::Watch),
    /// Kills that the agent has kept, newest first
    List(kept::List),
    /// One of them
    Show(kept::Show),
}

impl Oom {
    /// Runs it.
    pub async fn run(self, load: LoadOptions) -> Result<ExitCode, Failure> {
        match self.what {
            What::Predict(predict) => predict.run(),
            What::Watch(watch) => watch.run(&load).await,
            What::List(list) => list.run().await,
            What::Show(show) => show.run().await,
        }
    }
}
