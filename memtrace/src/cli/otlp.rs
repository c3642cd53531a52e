//! Where `memtrace agent` sends its metrics and reports. The variables are OpenTelemetry's own.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use memtrace::agent::{Endpoint, Headers, OtlpSettings};

/// More often than this is for nobody.
const SHORTEST: Duration = Duration::from_secs(1);

/// The arguments.
#[derive(Args)]
pub struct Otlp {
    /// Send the metrics, and each report as a log record, by OTLP over HTTP (protobuf) to this receiver,
    /// without `/v1/metrics`, as http://HOST:4318
    #[arg(
        long = "otlp",
        value_name = "ENDPOINT",
        env = "OTEL_EXPORTER_OTLP_ENDPOINT"
    )]
    endpoint: Option<Endpoint>,
    /// How often the metrics are sent
    #[arg(
        long = "otlp-interval",
        value_name = "TIME",
        default_value = "30s",
        value_parser = interval,
        requires = "endpoint"
    )]
    interval: Duration,
    /// What is sent
    #[arg(
        long = "otlp-signals",
        value_enum,
        value_delimiter = ',',
        default_value = "metrics,logs",
        requires = "endpoint"
    )]
    signals: Vec<Signal>,
    /// Headers of each request, KEY=VALUE,KEY=VALUE with percent-encoded values. Arguments are seen by
    /// everybody on the machine: secrets belong into the variable
    #[arg(
        long = "otlp-headers",
        value_name = "HEADERS",
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        hide_env_values = true
    )]
    headers: Option<Headers>,
    /// Certificates of the authorities that vouch for an https receiver, PEM; the machine's own by default
    #[arg(
        long = "otlp-certificate",
        value_name = "FILE",
        env = "OTEL_EXPORTER_OTLP_CERTIFICATE"
    )]
    certificate: Option<PathBuf>,
}

/// What can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Signal {
    /// What /metrics has
    Metrics,
    /// Reports of kills
    Logs,
}

impl Otlp {
    /// `None` to send nothing.
    pub fn settings(self) -> Option<OtlpSettings> {
        Some(OtlpSettings {
            endpoint: self.endpoint?,
            headers: self.headers.unwrap_or_default(),
            interval: self.interval,
            authorities: self.certificate,
            metrics: self.signals.contains(&Signal::Metrics),
            reports: self.signals.contains(&Signal::Logs),
        })
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match time >= SHORTEST {
        true => Ok(time),
        false => Err(format!("at least {}", humantime::format_duration(SHORTEST))),
    }
}
