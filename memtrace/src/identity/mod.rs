//! Who a cgroup is: pod, container, systemd unit.
//!
//! The first of these that answers: the cgroup's own path (`path`), the kubelet's links to
//! containers' logs (`logs`), and, where it is asked for, the annotations of the OCI runtime
//! (`oci`). The key is the cgroup's id, and a name outlives its cgroup ([`Names`]). What cannot be
//! named is counted, and never guessed.

mod log_name;
mod logs;
mod names;
mod oci;
mod path;

pub use self::{
    log_name::{ContainerLog, PodLogFolder},
    logs::{LogLinks, LogsError},
    names::{Name, Names},
    oci::{Annotations, OciFolders},
    path::{Container, Level, PathIdentity, Pod, Qos, Runtime, identify},
};
