//! `memtrace oom list` and `memtrace oom show`: asked of the running agent, else read from its file.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use memtrace::{
    agent::{AskError, ask},
    store::{History, Report},
    view::oom::kept,
};
use serde_json::{Value, json};

use crate::cli::{
    Output,
    agent::{HISTORY, SOCKET},
    failure::Failure,
    print,
};

/// Where kept reports are.
#[derive(Args)]
struct Source {
    /// The running agent's socket
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
    /// The agent's history, read where no agent answers
    #[arg(long, value_name = "FILE", default_value = HISTORY)]
    history: PathBuf,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// Kills that the agent has kept, newest first
#[derive(Args)]
pub struct List {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    source: Source,
}

/// One of the kills that the agent has kept
#[derive(Args)]
pub struct Show {
    /// Its number, as `oom list` has it
    id: u64,
    #[command(flatten)]
    source: Source,
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
        print(&match self.source.output {
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
        print(&match self.source.output {
            Output::Text => format!("REPORT {}  {text}", self.id),
            Output::Json => format!("{report}\n"),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Source {
    /// `None` if no agent answers.
    async fn ask(&self, what: &str) -> Result<Option<Value>, Failure> {
        match ask(&self.socket, what).await {
            Ok((_, answer)) => Ok(Some(answer)),
            Err(AskError::NoAgent { .. }) => Ok(None),
            Err(error) => Err(Failure::failed(error)),
        }
    }

    fn open(&self) -> Result<History, Failure> {
        History::open_existing(&self.history).map_err(|error| {
            let words = format!("no agent answers on {}", self.socket.display());
            Failure::failed(anyhow::Error::new(error).context(words))
        })
    }
}

fn refused(answer: &Value) -> Failure {
    let words = answer["error"]
        .as_str()
        .unwrap_or("an answer that is not understood");
    Failure::failed(anyhow::anyhow!("the agent says: {words}"))
}
