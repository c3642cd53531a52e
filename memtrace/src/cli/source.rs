//! What the agent has kept: asked of the running agent, else read from its file.

use std::path::PathBuf;

use clap::Args;
use memtrace::{
    agent::{AskError, ask},
    store::History,
};
use serde_json::Value;

use super::{
    agent::{HISTORY, SOCKET},
    failure::Failure,
};

/// Where it is.
#[derive(Args, Clone, Debug, Default)]
pub struct Source {
    /// The running agent's socket
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
    /// The agent's history, read where no agent answers
    #[arg(long, value_name = "FILE", default_value = HISTORY)]
    history: PathBuf,
}

impl Source {
    /// The answer to `GET what`; `None` if no agent answers.
    pub async fn ask(&self, what: &str) -> Result<Option<Value>, Failure> {
        match ask(&self.socket, what).await {
            Ok((_, answer)) => Ok(Some(answer)),
            Err(AskError::NoAgent { .. }) => Ok(None),
            Err(error) => Err(Failure::failed(error)),
        }
    }

    /// The file, where no agent answers.
    pub fn open(&self) -> Result<History, Failure> {
        History::open_existing(&self.history).map_err(|error| {
            let words = format!("no agent answers on {}", self.socket.display());
            Failure::failed(anyhow::Error::new(error).context(words))
        })
    }
}

/// What an agent says that has no answer.
pub fn refused(answer: &Value) -> Failure {
    let words = answer["error"]
        .as_str()
        .unwrap_or("an answer that is not understood");
    Failure::failed(anyhow::anyhow!("the agent says: {words}"))
}
