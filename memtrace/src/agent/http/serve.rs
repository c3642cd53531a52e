//! Connections, within bounds.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    io,
    sync::Arc,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{Door, Sources, answer::answer};

/// Connections at a time, each listener for itself.
const MAX_CONNECTIONS: usize = 32;
/// A TLS handshake has to be over within this time,
const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// a request's line and headers have to be there within this,
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
/// and the connection to be over within this, however often it is used.
const OVER_WITHIN: Duration = Duration::from_secs(120);
/// Line and headers together, bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Headers.
const MAX_HEADERS: usize = 64;
/// Rest after the kernel refused a connection (as a rule for want of descriptors).
const REST: Duration = Duration::from_millis(100);

/// What connections come from.
pub(super) trait Listener {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;
    /// A connection that is not open yet.
    type Opening: Future<Output = io::Result<Self::Stream>> + 'static;

    /// The next one.
    fn next(&self) -> impl Future<Output = io::Result<Self::Opening>>;
}

impl Listener for TcpListener {
    type Stream = tokio::net::TcpStream;
    type Opening = Ready<io::Result<Self::Stream>>;

    async fn next(&self) -> io::Result<Self::Opening> {
        self.accept().await.map(|(stream, _)| ready(Ok(stream)))
    }
}

impl Listener for UnixListener {
    type Stream = tokio::net::UnixStream;
    type Opening = Ready<io::Result<Self::Stream>>;

    async fn next(&self) -> io::Result<Self::Opening> {
        self.accept().await.map(|(stream, _)| ready(Ok(stream)))
    }
}

/// Serves until it is dropped; without a listener it only waits for that.
pub(super) async fn serve(listener: Option<impl Listener>, door: Door, sources: Sources) {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = tokio::task::LocalSet::new();
    let accept = async {
        loop {
            let opening = match listener.next().await {
                Ok(opening) => opening,
                Err(error) => {
                    log::debug!("accepting a connection: {error}");
                    sleep(REST).await;
                    continue;
                }
            };
            // No room: what opens is dropped, and the connection closed with it.
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
                continue;
            };
            let sources = sources.clone();
            tokio::task::spawn_local(async move {
                // Held until the connection is over.
                let _permit = permit;
                let Ok(Ok(stream)) = timeout(OPEN_WITHIN, opening).await else {
                    return;
                };
                let service = service_fn(move |request| {
                    let sources = sources.clone();
                    async move { Ok::<_, Infallible>(answer(request, door, &sources).await) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADERS_WITHIN)
                    .max_buf_size(MAX_HEAD_BYTES)
                    .max_headers(MAX_HEADERS)
                    .serve_connection(TokioIo::new(stream), service);
                // What goes wrong is the other side's: it was told, or has gone.
                if let Ok(Err(error)) = timeout(OVER_WITHIN, connection).await {
                    log::debug!("a connection: {error}");
                }
            });
        }
    };
    connections.run_until(accept).await
}
