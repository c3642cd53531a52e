//! `memtrace oom list` and `memtrace oom show`: asked of the running agent, else read from its file.

use std::process::ExitCode;

use clap::Args;
use memtrace::{store::Report, view::oom::kept};
use serde_json::json;

use crate::cli::{
    Output,
    failure::Failure,
    print,
    source::{Source, refused},
};

/// Kills that the agent has kept, newest first
#[derive(Args)]
pub struct List {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    source: Source,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// One of the kills that the agent has kept
#[derive(Args)]
pub struct Show {
    /// Its number, as `oom list` has it
    id: u64,
    #[command(flatten)]
    source: Source,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

impl List {
    /// Runs it.
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let what = format!("/api/v1/oom?limit={}", self.limit);
        let reports = match self.source.ask(&what).await? {
            Some(answer) => match answer["reports"].as_array() {
                Some(reports) => reports.clone(),
                None => return Err(refused(&answer)),
            },
            None => {
                let history = self.source.open()?;
                let reports = history.newest(self.limit.into()).map_err(Failure::failed)?;
                reports.into_iter().map(|report| report.json).collect()
            }
        };
        print(&match self.output {
            Output::Text => kept::list(&reports),
            Output::Json => format!("{}\n", json!({"schema_version": 1, "reports": reports})),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    /// Runs it.
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let (report, text) = match self.source.ask(&format!("/api/v1/oom/{}", self.id)).await? {
            Some(mut answer) => match answer["text"].as_str().map(str::to_owned) {
                Some(text) => (answer["report"].take(), text),
                None => return Err(refused(&answer)),
            },
            None => {
                let history = self.source.open()?;
                let found = history.report(self.id).map_err(Failure::failed)?;
                let Report { json, text, .. } = found.ok_or_else(|| {
                    let words = format!("there is no report {}: see `memtrace oom list`", self.id);
                    Failure::failed(anyhow::anyhow!(words))
                })?;
                (json, text)
            }
        };
        print(&match self.output {
            Output::Text => format!("REPORT {}  {text}", self.id),
            Output::Json => format!("{report}\n"),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
