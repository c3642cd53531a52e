//! The node agent: one task owns all state, and everybody else reads the snapshot of its last tick.
//!
//! ```text
//! cgroup tree ---census--> Names, Watched --tick--> State --> Snapshot --> /metrics, API
//! OomWatch ------inputs--> Kills ---------stories--> State --> store (fsync) --> stdout, API
//! memory.events, vmstat ----counts--> Accounts --what nobody told--> incomplete reports
//! readings --samples--> Recorder --a row a minute--> store --> API
//! ```
//!
//! What is kept is bounded: cgroups watched, names of the dead, label sets with kills, reports that
//! wait. What does not fit is counted, and never silent.

mod accounts;
mod allocator;
mod attach;
mod census;
mod domain;
mod http;
mod keeper;
mod kills;
mod node;
#[cfg(feature = "otlp")]
mod otlp;
mod replay;
mod run;
mod series;
mod settings;
mod shapes;
mod snapshot;
mod state;
mod tell;

#[cfg(feature = "otlp")]
pub use self::otlp::{
    Endpoint, EndpointError, Headers, HeadersError, OtlpError, OtlpSettings, TlsError,
};
pub use self::{
    census::Reading,
    domain::DomainRisk,
    http::{AskError, ListenError, RemoteError, RemoteSettings, ask},
    kills::{KillCounts, LimitOwner, NodeKills},
    node::{NodeSample, read as read_node},
    replay::Replay,
    run::{AgentError, run},
    settings::Settings,
    snapshot::{
        ContainerView, ExportHealth, Health, HookView, Labels, NodeView, PodView, SeriesLost,
        Snapshot, UnitView,
    },
};
