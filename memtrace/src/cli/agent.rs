//! `memtrace agent`.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use memtrace::{
    agent::{self, AgentError, RemoteSettings, Settings},
    cgroup::Hierarchy,
    command::Signals,
    kernel::attach::LoadOptions,
};

use super::{failure::Failure, print};

/// Where the agent's socket is by default; `oom list` asks there.
pub(super) const SOCKET: &str = "/run/memtrace/agent.sock";
/// Where its history is by default.
pub(super) const HISTORY: &str = "/var/lib/memtrace/history.redb";

/// The kubelet's own default of `memory.available` (pkg/kubelet/apis/config/v1beta1, 100Mi).
const EVICTION_THRESHOLD_BYTES: u64 = 100 << 20;
/// Faster than this is not worth its cost.
const SHORTEST_TICK: Duration = Duration::from_millis(100);

/// The node's service: metrics, a history of kills, an API. Prints one line of JSON a kill, once it is
/// kept
#[derive(Args)]
pub struct Agent {
    /// Where /metrics, /healthz and /readyz are served; `none` for nowhere
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9435")]
    listen: String,
    /// Unix socket of the API, for root; `none` for no API
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    socket: String,
    /// Serve the API over TCP as well, with TLS, to those who have the token
    #[arg(
        long,
        value_name = "ADDRESS",
        requires_all = ["api_certificate", "api_key", "api_token"]
    )]
    api_listen: Option<SocketAddr>,
    /// The certificate for that, and those above it, PEM
    #[arg(long, value_name = "FILE", requires = "api_listen")]
    api_certificate: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "api_listen")]
    api_key: Option<PathBuf>,
    /// A file with the token, which requests have to bring: `Authorization: Bearer TOKEN`
    #[arg(long, value_name = "FILE", requires = "api_listen")]
    api_token: Option<PathBuf>,
    /// File that keeps reports of kills; `none` to forget them with the process
    #[arg(long, value_name = "FILE", default_value = HISTORY)]
    history: String,
    /// Keep at most this much of reports, MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=65536))]
    history_mib: u64,
    /// Keep at most this much of how the memory of each cgroup went, MiB: a day of a thousand idle cgroups
    /// takes some 50, of busy ones up to five times as much, and then less than a day is kept
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=65536))]
    series_mib: u64,
    /// How often containers are read
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = tick)]
    tick: Duration,
    /// The folder that has the kubelet's `containers` and `pods`
    #[arg(long, value_name = "FOLDER", default_value = "/var/log")]
    logs: PathBuf,
    /// Read names from the runtimes' OCI configurations as well. These hold the containers'
    /// environments; only the annotations with names are kept
    #[arg(long)]
    oci: bool,
    /// Where these are, instead of containerd's and CRI-O's places; may be repeated
    #[arg(long, value_name = "FOLDER", requires = "oci")]
    oci_folder: Vec<PathBuf>,
    /// How many series a container has
    #[arg(long, value_enum, default_value = "default")]
    metrics: Metrics,
    /// Watch at most this many cgroups; the rest is counted
    #[arg(long, value_name = "N", default_value_t = 4096)]
    max_cgroups: usize,
    /// The kubelet's eviction threshold of memory.available, MiB; 0 if there is no kubelet. By default
    /// 100 where there are pods
    #[arg(long, value_name = "MIB")]
    eviction_threshold_mib: Option<u64>,
    #[cfg(feature = "otlp")]
    #[command(flatten)]
    otlp: super::otlp::Otlp,
    /// Name of this node, for reports; the host's name by default
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node_name: Option<String>,
}

/// How many series a container has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Metrics {
    /// At most 12
    Default,
    /// With the parts of its memory, at most 40
    Full,
}

impl Agent {
    /// Runs it until it is asked to end.
    pub async fn run(self, load: &LoadOptions) -> Result<ExitCode, Failure> {
        let settings = self.settings()?;
        let mut signals = Signals::install()?;
        let announce = |report: &memtrace::store::Report| {
            if let Err(failure) = print(&format!("{}\n", report.json)) {
                log::error!("{}", failure.message());
            }
        };
        let stop = async {
            signals.next().await;
        };
        agent::run(settings, load, announce, stop).await?;
        Ok(ExitCode::SUCCESS)
    }

    fn settings(self) -> Result<Settings, Failure> {
        let listen = match self.listen.as_str() {
            "none" => None,
            text => Some(text.parse::<SocketAddr>().map_err(|error| {
                Failure::usage(anyhow::anyhow!(
                    "--listen {text}: {error}; give an address and a port, as 127.0.0.1:9435 or [::]:9435"
                ))
            })?),
        };
        let remote = self
            .api_listen
            .zip(self.api_certificate)
            .zip(self.api_key.zip(self.api_token))
            .map(|((listen, certificate), (key, token))| RemoteSettings {
                listen,
                certificate,
                key,
                token,
            });
        let path = |text: String| (text != "none").then(|| PathBuf::from(text));
        let oci = match (self.oci, self.oci_folder.is_empty()) {
            (false, _) => None,
            (true, true) => Some(memtrace::identity::OciFolders::default().into_folders()),
            (true, false) => Some(self.oci_folder),
        };
        Ok(Settings {
            tick: self.tick,
            listen,
            socket: path(self.socket),
            remote,
            history: path(self.history),
            history_bytes: self.history_mib << 20,
            series_bytes: self.series_mib << 20,
            logs: self.logs,
            oci,
            max_cgroups: self.max_cgroups,
            eviction_threshold_bytes: match self.eviction_threshold_mib {
                Some(0) => None,
                Some(mib) => Some(mib << 20),
                None => has_pods()?.then_some(EVICTION_THRESHOLD_BYTES),
            },
            #[cfg(feature = "otlp")]
            otlp: self.otlp.settings(),
            full_metrics: self.metrics == Metrics::Full,
            node_name: self.node_name.unwrap_or_else(host_name),
        })
    }
}

/// Whether the kubelet has made its cgroup here (both drivers).
fn has_pods() -> Result<bool, Failure> {
    let hierarchy = Hierarchy::find()?;
    let root = hierarchy.mount_point();
    Ok(["kubepods", "kubepods.slice"]
        .iter()
        .any(|name| root.join(name).is_dir()))
}

fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

fn tick(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match time >= SHORTEST_TICK {
        true => Ok(time),
        false => Err(format!(
            "at least {}",
            humantime::format_duration(SHORTEST_TICK)
        )),
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::Mount(error) => error.into(),
            AgentError::Facts(error) => error.into(),
            error => Self::failed(error),
        }
    }
}
