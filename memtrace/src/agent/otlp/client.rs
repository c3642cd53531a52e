//! One request at a time, each over a connection of its own: there are few.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use super::{Endpoint, Headers, OtlpSettings};
use crate::agent::http::{Failed, driven};

/// A request is over within this time, connecting included.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer is a few bytes.
const MAX_ANSWER_BYTES: usize = 64 << 10;
const PROTOBUF: &str = "application/x-protobuf";

/// Nobody can vouch for the receiver.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of authorities.
    #[error("reading certificates of authorities from {}: {reason}; --otlp-certificate takes PEM", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The machine has none.
    #[error(
        "no certificates of authorities on this machine: give those that vouch for the OTLP receiver \
         with --otlp-certificate FILE"
    )]
    NoAuthorities,
    /// A name that no certificate can be of.
    #[error("{0:?} is no name that a certificate could be of")]
    Name(String),
    /// The settings of TLS.
    #[error("setting up TLS for OTLP: {0}")]
    Config(#[from] tokio_rustls::rustls::Error),
}

/// What became of a request that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It would not be taken another time either.
    ForGood(String),
    /// It may be taken later: no answer, or one that says so.
    Later {
        /// Why not.
        reason: String,
        /// The receiver asked to wait for so long.
        after: Option<Duration>,
    },
}

/// See the module.
pub(super) struct Client {
    endpoint: Endpoint,
    headers: Headers,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Client {
    pub(super) fn new(settings: &OtlpSettings) -> Result<Self, TlsError> {
        let endpoint = settings.endpoint.clone();
        let tls = match endpoint.is_tls {
            true => {
                let config = ClientConfig::builder()
                    .with_root_certificates(authorities(settings.authorities.as_ref())?)
                    .with_no_client_auth();
                let name = ServerName::try_from(endpoint.host.clone())
                    .map_err(|_| TlsError::Name(endpoint.host.clone()))?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
            false => None,
        };
        Ok(Self {
            endpoint,
            headers: settings.headers.clone(),
            tls,
        })
    }

    /// Sends a body to `/v1/metrics` or `/v1/logs`, and gives the answer's body.
    pub(super) async fn send(&self, path: &str, body: Vec<u8>) -> Result<Bytes, Refused> {
        match timeout(PATIENCE, self.exchange(path, body)).await {
            Ok(Ok(answer)) => judged(answer),
            Ok(Err(error)) => Err(later(error.to_string())),
            Err(_) => Err(later(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let tcp = TcpStream::connect((self.endpoint.host.as_str(), self.endpoint.port)).await?;
        Ok(match &self.tls {
            None => Box::new(tcp),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), tcp).await?),
        })
    }

    async fn exchange(&self, path: &str, body: Vec<u8>) -> Result<Answer, Failed> {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::post(format!("{}{path}", self.endpoint.path))
            .header(HOST, &self.endpoint.authority)
            .header(CONTENT_TYPE, PROTOBUF)
            .header(USER_AGENT, concat!("memtrace/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.headers.0 {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let answer = async {
            let answer = sender.send_request(request).await?;
            let (head, body) = answer.into_parts();
            let after = head.headers.get(RETRY_AFTER);
            let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?;
            Ok(Answer {
                status: head.status,
                after: after.map(Duration::from_secs),
                body: body.to_bytes(),
            })
        };
        driven(connection, answer).await
    }
}

struct Answer {
    status: StatusCode,
    after: Option<Duration>,
    body: Bytes,
}

/// Which answers to come again after: OTLP's specification, "Retryable Response Codes".
fn judged(answer: Answer) -> Result<Bytes, Refused> {
    match answer.status {
        status if status.is_success() => Ok(answer.body),
        status @ (StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT) => Err(Refused::Later {
            reason: status.to_string(),
            after: answer.after,
        }),
        status => {
            let words: String = String::from_utf8_lossy(&answer.body)
                .chars()
                .filter(|one| !one.is_control())
                .take(200)
                .collect();
            Err(Refused::ForGood(format!("{status} {words}")))
        }
    }
}

fn later(reason: String) -> Refused {
    Refused::Later {
        reason,
        after: None,
    }
}

/// Who may vouch for the receiver.
fn authorities(path: Option<&PathBuf>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    match path {
        Some(path) => {
            let failed = |reason: String| TlsError::File {
                path: path.clone(),
                reason,
            };
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| failed(error.to_string()))?;
            for certificate in certificates {
                let added = store.add(certificate);
                added.map_err(|error| failed(error.to_string()))?;
            }
            match store.is_empty() {
                true => Err(failed("there is no certificate in it".to_owned())),
                false => Ok(store),
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
            match store.is_empty() {
                true => Err(TlsError::NoAuthorities),
                false => Ok(store),
            }
        }
    }
}
