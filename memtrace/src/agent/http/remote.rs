//! The API over TCP, for who asked for it: TLS, and a token with each request.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use hyper::{HeaderMap, header::AUTHORIZATION};
use subtle::ConstantTimeEq as _;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        version::TLS13,
    },
};

/// A token that can be guessed is none.
const MIN_TOKEN_BYTES: usize = 16;
/// RFC 6750, 2.1.
const SCHEME: &str = "Bearer ";

/// What the API over TCP takes.
#[derive(Clone, Debug)]
pub struct RemoteSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The certificate and those above it, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// A file with the token.
    pub token: PathBuf,
}

/// Why there is no API over TCP.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// A file.
    #[error("reading the API's {what} {}: {reason}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Certificate and key are no pair, or not understood.
    #[error(
        "the API's certificate {} and key {} cannot be used: {source}",
        certificate.display(),
        key.display()
    )]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        source: tokio_rustls::rustls::Error,
    },
}

/// Who has it may ask.
pub(super) struct Token(Vec<u8>);

impl Token {
    fn read(path: &Path) -> Result<Self, RemoteError> {
        let failed = |reason: String| RemoteError::File {
            what: "token",
            path: path.to_owned(),
            reason,
        };
        let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
        let token = bytes.trim_ascii().to_vec();
        match token.len() >= MIN_TOKEN_BYTES {
            true => Ok(Self(token)),
            false => Err(failed(format!(
                "{} bytes are too few, make it {MIN_TOKEN_BYTES} or more: head -c 32 /dev/urandom | base64",
                token.len()
            ))),
        }
    }

    /// Whether a request has it. The time this takes does not tell how much of it was right.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(one), None) = (given.next(), given.next()) else {
            return false;
        };
        let Some(token) = one.as_bytes().strip_prefix(SCHEME.as_bytes()) else {
            return false;
        };
        self.0.ct_eq(token).into()
    }
}

/// Certificate, key and token, read once: privileges to read them are given up later.
pub(super) fn prepare(settings: &RemoteSettings) -> Result<(TlsAcceptor, Token), RemoteError> {
    let file = |what, path: &Path, error: &dyn std::fmt::Display| RemoteError::File {
        what,
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let certificate = &settings.certificate;
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file("certificate", certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(&settings.key)
        .map_err(|error| file("key", &settings.key, &error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|source| RemoteError::Pair {
            certificate: certificate.clone(),
            key: settings.key.clone(),
            source,
        })?;
    let token = Token::read(&settings.token)?;
    Ok((TlsAcceptor::from(Arc::new(config)), token))
}

/// A TCP listener whose connections speak TLS.
pub(super) struct TlsListener {
    pub(super) tcp: tokio::net::TcpListener,
    pub(super) acceptor: TlsAcceptor,
}

impl super::serve::Listener for TlsListener {
    type Stream = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;
    type Opening = tokio_rustls::Accept<tokio::net::TcpStream>;

    async fn next(&self) -> io::Result<Self::Opening> {
        let (stream, _) = self.tcp.accept().await?;
        Ok(self.acceptor.accept(stream))
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn only_the_whole_token_admits() {
        let token = Token(b"0123456789abcdef".to_vec());
        assert!(token.admits(&headers(&["Bearer 0123456789abcdef"])));
        for refused in [
            &[][..],
            &["Bearer "],
            &["Bearer 0123456789abcde"],
            &["Bearer 0123456789abcdefg"],
            &["Basic 0123456789abcdef"],
            &["0123456789abcdef"],
            &["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"],
        ] {
            assert!(!token.admits(&headers(refused)), "{refused:?}");
        }
    }

    #[test]
    fn a_short_token_and_files_that_are_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        fs::write(&token, " short \n").unwrap();
        let error = Token::read(&token).err().unwrap().to_string();
        assert!(error.contains("5 bytes are too few"), "{error}");
        fs::write(&token, "  0123456789abcdef\n").unwrap();
        assert_eq!(Token::read(&token).unwrap().0, b"0123456789abcdef");
        let settings = RemoteSettings {
            listen: ([127, 0, 0, 1], 0).into(),
            certificate: folder.path().join("none.pem"),
            key: token.clone(),
            token: token.clone(),
        };
        let error = prepare(&settings).err().unwrap().to_string();
        assert!(error.contains("certificate") && error.contains("none.pem"));
        // A file that is no certificate.
        let settings = RemoteSettings {
            certificate: token,
            ..settings
        };
        assert!(prepare(&settings).is_err());
    }
}
