//! `memtrace record`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use memtrace::kernel::attach::LoadOptions;

use super::{Output, explain::Explain, failure::Failure, past::Window, target::Watch};

/// The same as explain, and keep what it was answered from in a file.
#[derive(Args)]
pub struct Record {
    /// Where to; an older recording there is replaced
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    watch: Watch,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

impl Record {
    /// Runs it.
    pub async fn run(self, load: LoadOptions) -> Result<ExitCode, Failure> {
        let Self {
            file,
            watch,
            output,
        } = self;
        if watch.replay.is_some() {
            return Err(Failure::usage(anyhow::anyhow!(
                "a recording cannot be made from a recording: leave out --replay, or copy the file"
            )));
        }
        let explain = Explain {
            watch,
            output,
            record: Some(file),
            window: Window::default(),
        };
        explain.run(load).await
    }
}
