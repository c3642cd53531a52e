//! `memtrace demo`: stub until the session works.

use std::process::ExitCode;

use clap::Args;

use super::failure::Failure;

/// The experiment.
#[derive(Args)]
pub struct Demo {}

impl Demo {
    /// Runs it.
    pub async fn run(self, _verbose: bool) -> Result<ExitCode, Failure> {
        Err(Failure::failed(anyhow::anyhow!("later")))
    }
}
