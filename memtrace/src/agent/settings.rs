//! What the agent was asked for.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::RemoteSettings;

/// See each.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often the watched cgroups are read.
    pub tick: Duration,
    /// Where `/metrics`, `/healthz` and `/readyz` are served; `None` to serve them nowhere.
    pub listen: Option<SocketAddr>,
    /// Unix socket of the API; `None` for none.
    pub socket: Option<PathBuf>,
    /// The API over TCP; `None` for none.
    pub remote: Option<RemoteSettings>,
    /// File of the history; `None` to keep none.
    pub history: Option<PathBuf>,
    /// Size of the reports that the history keeps, bytes.
    pub history_bytes: u64,
    /// Size of the series that it keeps, bytes.
    pub series_bytes: u64,
    /// The folder that stands for `/var/log`.
    pub logs: PathBuf,
    /// Whether the runtimes' OCI configurations may be read for names, and where they are; `None`
    /// not to.
    pub oci: Option<Vec<PathBuf>>,
    /// Cgroups that are watched at most.
    pub max_cgroups: usize,
    /// The kubelet's threshold of `memory.available`, bytes; `None` if there is no kubelet.
    pub eviction_threshold_bytes: Option<u64>,
    /// Whether each part of a container's memory has a series of its own.
    pub full_metrics: bool,
    /// Where metrics and reports are sent to; `None` to send them nowhere.
    #[cfg(feature = "otlp")]
    pub otlp: Option<super::OtlpSettings>,
    /// Name of the node, for reports.
    pub node_name: String,
}
