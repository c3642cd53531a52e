//! What everybody reads: the state as of the last tick.

use super::{DomainRisk, KillCounts, NodeKills};
use crate::input::MemoryStat;

/// What Prometheus tells a container by, as cAdvisor has it. Empty is what there is none of. Never a
/// path, a command line or an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels {
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container's name, or the start of its id where it is in no pod.
    pub container: String,
}

/// A container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerView {
    /// Who.
    pub labels: Labels,
    /// Its cgroup: of two containers of one name the newer one is shown.
    pub cgroup_id: u64,
    /// `U` of docs/RISK.md, bytes.
    pub unreclaimable_bytes: Option<u64>,
    /// Its own limit's.
    pub domain: DomainRisk,
    /// Time in which some task of it waited for memory; `None` on v1.
    pub stall_seconds: Option<f64>,
    /// Pages read in again after they were evicted, bytes.
    pub refault_bytes: Option<u64>,
    /// `memory.stat`, if each part of the memory has a series.
    pub stat: Option<Box<MemoryStat>>,
}

/// A pod with a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct PodView {
    /// Who; the container is empty.
    pub labels: Labels,
    /// See [`ContainerView::cgroup_id`].
    pub cgroup_id: u64,
    /// Its limit's.
    pub domain: DomainRisk,
}

/// A systemd unit with a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitView {
    /// Its name.
    pub unit: String,
    /// See [`ContainerView::cgroup_id`].
    pub cgroup_id: u64,
    /// Its limit's.
    pub domain: DomainRisk,
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeView {
    /// By kind of domain, the worst of them.
    pub risks: Vec<(&'static str, DomainRisk)>,
    /// Bytes until pods are evicted; `None` without a kubelet.
    pub eviction_headroom_bytes: Option<u64>,
    /// Whom the OOM killer would choose if the machine ran out now.
    pub predicted_victim: Option<Labels>,
}

/// One signal's hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookView {
    /// What it tells.
    pub signal: String,
    /// Whether it is attached.
    pub up: bool,
}

/// Minutes of the series that were lost, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeriesLost {
    /// They went before a day was over, since there was no room.
    pub no_room: u64,
    /// They could not be written.
    pub failed: u64,
}

/// How exporting goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportHealth {
    /// Requests that were taken.
    pub taken: u64,
    /// Requests that were refused for good.
    pub refused: u64,
    /// Requests without an answer, or with one that says to come again.
    pub unanswered: u64,
    /// Snapshots that were never taken: a newer one stood in for them.
    pub metrics_dropped: u64,
    /// Reports that were never taken: refused, or no room for them while nobody answered.
    pub reports_dropped: u64,
}

/// How the agent itself does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Hooks.
    pub hooks: Vec<HookView>,
    /// Events lost, by kind.
    pub lost: Vec<(&'static str, u64)>,
    /// Cgroups that are watched.
    pub watched: usize,
    /// Cgroups that would be watched, were there room.
    pub unwatched: usize,
    /// Cgroups that nobody can name.
    pub unknown: usize,
    /// Containers whose series were left out: a name that two have, or none.
    pub containers_dropped: usize,
    /// Reports that could not be kept.
    pub history_failures: u64,
    /// Minutes of the series that are not in the history.
    pub series_lost: SeriesLost,
    /// The OTLP exporter; `None` if there is none.
    pub export: Option<ExportHealth>,
    /// How long the tick took, seconds.
    pub tick_seconds: f64,
    /// Of it, reading the watched cgroups' files.
    pub read_seconds: f64,
}

/// The state as of one tick.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Newest of each name.
    pub containers: Vec<ContainerView>,
    /// Pods with a limit.
    pub pods: Vec<PodView>,
    /// Units with a limit.
    pub units: Vec<UnitView>,
    /// Kills by label set, with a row of zeros for each container that lives.
    pub kills: Vec<(Labels, KillCounts)>,
    /// Kills of the machine.
    pub node_kills: NodeKills,
    /// The machine.
    pub node: NodeView,
    /// The agent.
    pub health: Health,
    /// Whether each part of the memory has a series.
    pub full: bool,
}
