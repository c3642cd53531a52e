//! HTTP, on a thread of its own so that a scrape never waits for a tick, nor a tick for a scrape.
//!
//! Listeners: TCP for `/metrics` and health, a unix socket, readable by root alone, for the API, and for
//! who asked for it TCP with TLS and a token for the API as well.
//! Only GET and HEAD are answered. A request is bounded in size and time, and so is the number of
//! connections; whoever comes beyond that finds the door shut.

mod answer;
mod ask;
mod remote;
mod serve;

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
};

#[cfg(feature = "otlp")]
pub(super) use self::ask::{Failed, driven};
pub use self::{
    ask::{AskError, ask},
    remote::{RemoteError, RemoteSettings},
};
use self::{
    remote::{TlsListener, Token, prepare},
    serve::serve,
};
use super::{Snapshot, keeper::Archive};

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The TCP one.
    #[error(
        "listening on {address}: {source}; choose another address with --listen or --api-listen"
    )]
    Tcp {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The socket.
    #[error(
        "listening on {}: {source}; choose another path with --socket, or `--socket none`",
        path.display()
    )]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The API over TCP.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The thread.
    #[error("starting the thread that serves HTTP: {0}")]
    Thread(#[source] io::Error),
}

/// What answers are made of.
#[derive(Clone)]
pub(super) struct Sources {
    /// The last tick's; `None` before the first.
    pub(super) snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
    pub(super) archive: Archive,
    /// A snapshot that is older than this means that the agent hangs.
    pub(super) stale_after: Duration,
    /// Of the API over TCP.
    token: Option<Arc<Token>>,
}

impl Sources {
    pub(super) fn new(
        snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
        archive: Archive,
        stale_after: Duration,
    ) -> Self {
        Self {
            snapshot,
            archive,
            stale_after,
            token: None,
        }
    }
}

/// The thread; when it is dropped, nobody is served any more.
pub(super) struct Server {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    socket: Option<PathBuf>,
}

/// What a listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Metrics and health.
    Metrics,
    /// The API and health.
    Api,
    /// Health, and the API for who has the token.
    Remote,
}

impl Server {
    /// Opens the listeners and serves.
    ///
    /// # Errors
    /// [`ListenError`], with what to do.
    pub(super) fn start(
        listen: Option<SocketAddr>,
        socket: Option<&Path>,
        remote: Option<&RemoteSettings>,
        mut sources: Sources,
    ) -> Result<Self, ListenError> {
        let tcp = listen.map(bind).transpose()?;
        let mut tls = None;
        if let Some(remote) = remote {
            let (acceptor, token) = prepare(remote)?;
            sources.token = Some(Arc::new(token));
            tls = Some((bind(remote.listen)?, acceptor));
        }
        let unix = socket
            .map(|path| {
                bind_socket(path).map_err(|source| ListenError::Socket {
                    path: path.to_owned(),
                    source,
                })
            })
            .transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ListenError::Thread)?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let work = move || {
            runtime.block_on(async {
                let tcp = tcp.and_then(|listener| TcpListener::from_std(listener).ok());
                let unix = unix.and_then(|listener| UnixListener::from_std(listener).ok());
                let tls = tls.and_then(|(listener, acceptor)| {
                    let tcp = TcpListener::from_std(listener).ok()?;
                    Some(TlsListener { tcp, acceptor })
                });
                tokio::select! {
                    () = serve(tcp, Door::Metrics, sources.clone()) => {}
                    () = serve(unix, Door::Api, sources.clone()) => {}
                    () = serve(tls, Door::Remote, sources.clone()) => {}
                    // An error means that the agent is gone, which ends it as well.
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new()
            .spawn(work)
            .map_err(ListenError::Thread)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
            socket: socket.map(Path::to_owned),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the thread has ended by itself.
        _ = self.stop.take().map(|stop| stop.send(()));
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread that serves HTTP panicked");
        }
        if let Some(path) = &self.socket
            && let Err(error) = fs::remove_file(path)
        {
            log::warn!("removing {}: {error}", path.display());
        }
    }
}

fn bind(address: SocketAddr) -> Result<std::net::TcpListener, ListenError> {
    let listener = std::net::TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    listener.map_err(|source| ListenError::Tcp { address, source })
}

/// A socket that a killed agent left is taken over; one that somebody answers on is not, nor is a
/// file that is no socket.
fn bind_socket(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    use std::os::unix::net::{UnixListener, UnixStream};
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder)?;
    }
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if !fs::symlink_metadata(path)?.file_type().is_socket()
                || UnixStream::connect(path).is_ok()
            {
                return Err(error);
            }
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
