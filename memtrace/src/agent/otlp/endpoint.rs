//! Where to send, as it is typed.

use std::{fmt, str::FromStr};

use hyper::{
    Uri,
    header::{HeaderName, HeaderValue},
    http::uri::Scheme,
};

/// No place to send to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL.
    #[error("not a URL ({0}): give http://HOST:4318 or https://HOST:4318")]
    Url(String),
    /// Neither http nor https.
    #[error(
        "give http:// or https:// in front, as in http://HOST:4318: OTLP is sent over HTTP, not gRPC"
    )]
    Scheme,
    /// With a question mark.
    #[error("an endpoint has no query: give secrets as headers")]
    Query,
}

/// The receiver, without `/v1/metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub(super) is_tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// For the `Host` header.
    pub(super) authority: String,
    /// Before `/v1/metrics`; empty, or begins with a slash and ends without.
    pub(super) path: String,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(typed: &str) -> Result<Self, EndpointError> {
        let uri: Uri = typed
            .parse()
            .map_err(|error: hyper::http::uri::InvalidUri| EndpointError::Url(error.to_string()))?;
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(EndpointError::Scheme),
        };
        if uri.query().is_some() {
            return Err(EndpointError::Query);
        }
        let authority = uri.authority().filter(|authority| {
            // Who is in the URL is in every list of processes, and not sent by anybody.
            !authority.host().is_empty() && !authority.as_str().contains('@')
        });
        let authority = authority.ok_or_else(|| EndpointError::Url("no host".to_owned()))?;
        let host = authority.host().trim_matches(['[', ']']);
        Ok(Self {
            is_tls,
            host: host.to_owned(),
            port: authority
                .port_u16()
                .unwrap_or(if is_tls { 443 } else { 80 }),
            authority: authority.to_string(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(formatter, "{scheme}://{}{}", self.authority, self.path)
    }
}

/// No headers. The value is not repeated: it may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "header {0}: give KEY=VALUE,KEY=VALUE, as OTEL_EXPORTER_OTLP_HEADERS has them (values percent-encoded)"
)]
pub struct HeadersError(String);

/// `key=value,key=value`, values percent-encoded (OpenTelemetry's OTEL_EXPORTER_OTLP_HEADERS).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub(super) Vec<(HeaderName, HeaderValue)>);

impl FromStr for Headers {
    type Err = HeadersError;

    fn from_str(typed: &str) -> Result<Self, HeadersError> {
        let mut headers = Vec::new();
        let pairs = typed.split(',').map(str::trim).enumerate();
        for (place, pair) in pairs.filter(|(_, pair)| !pair.is_empty()) {
            let wrong = || HeadersError((place + 1).to_string());
            let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
            let name = key.trim().parse::<HeaderName>().map_err(|_| wrong())?;
            let decoded: Vec<u8> = percent_encoding::percent_decode_str(value.trim()).collect();
            let mut value = HeaderValue::from_bytes(&decoded).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.push((name, value));
        }
        Ok(Self(headers))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(name, _)| name.as_str());
        formatter.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_as_people_type_them() {
        for (typed, host, port, path) in [
            ("http://collector:4318", "collector", 4318, ""),
            ("http://collector", "collector", 80, ""),
            ("https://collector/otlp/", "collector", 443, "/otlp"),
            (
                "http://127.0.0.1:9090/api/v1/otlp",
                "127.0.0.1",
                9090,
                "/api/v1/otlp",
            ),
            ("http://[::1]:4318/", "::1", 4318, ""),
        ] {
            let endpoint: Endpoint = typed.parse().unwrap();
            assert_eq!(
                (
                    endpoint.host.as_str(),
                    endpoint.port,
                    endpoint.path.as_str()
                ),
                (host, port, path),
                "{typed}"
            );
        }
        for (typed, why) in [
            ("collector:4318", "http://"),
            ("collector", "http://"),
            ("grpc://collector:4317", "not gRPC"),
            ("http://", "URL"),
            ("http:// x", "URL"),
            ("http://me:secret@collector", "no host"),
            ("http://collector/?token=x", "no query"),
            ("", "URL"),
        ] {
            let error = typed.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(why), "{typed}: {error}");
        }
    }

    #[test]
    fn headers_are_decoded_and_never_shown() {
        let headers: Headers = "Authorization=Basic%20c2VjcmV0, x-tenant = shop,"
            .parse()
            .unwrap();
        assert_eq!(headers.0[0].0, "authorization");
        assert_eq!(headers.0[0].1, "Basic c2VjcmV0");
        assert_eq!(headers.0[1].1, "shop");
        assert_eq!(format!("{headers:?}"), r#"["authorization", "x-tenant"]"#);
        for wrong in ["secret", "a b=secret", "x=secret%0a", "=secret"] {
            let error = wrong.parse::<Headers>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert_eq!("".parse::<Headers>(), Ok(Headers::default()));
    }
}
