//! Asking a running agent over its socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::UnixStream, time::timeout};

/// An agent that does not answer in this time hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// A thousand reports are some MiB.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// No answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error("no agent answers on {}: {source}", path.display())]
    NoAgent {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It listens and does not answer as it should.
    #[error("asking the agent on {} for {what}: {reason}", path.display())]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// What was asked for.
        what: String,
        /// What happened.
        reason: String,
    },
}

/// The answer to `GET what`, with its status.
///
/// # Errors
/// [`AskError::NoAgent`] if nobody listens on the socket, or it may not be opened.
pub async fn ask(socket: &Path, what: &str) -> Result<(StatusCode, Value), AskError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| AskError::NoAgent {
            path: socket.to_owned(),
            source,
        })?;
    let failed = |reason: String| AskError::NoAnswer {
        path: socket.to_owned(),
        what: what.to_owned(),
        reason,
    };
    match timeout(PATIENCE, exchange(stream, what)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// Why an exchange failed.
pub(in crate::agent) type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(stream: UnixStream, what: &str) -> Result<(StatusCode, Value), Failed> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(what)
        .header(HOST, "localhost")
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await?;
        Ok((status, serde_json::from_slice(&body.to_bytes())?))
    };
    driven(connection, answer).await
}

/// The answer that comes by a connection, which moves only while it is polled too.
pub(in crate::agent) async fn driven<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    answer: impl Future<Output = Result<T, Failed>>,
) -> Result<T, Failed> {
    tokio::pin!(connection, answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended?;
            answer.await
        }
    }
}
