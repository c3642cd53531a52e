//! What a cgroup's path tells: no file is read.
//!
//! The path need not be whole: in a private cgroup namespace it starts with `..`, and where only a
//! part of the hierarchy is mounted it starts somewhere below. What the visible part shows counts.

#[cfg(test)]
mod shapes;

use crate::cgroup::{container_id_in, is_unit, unit_of};

/// Quality of service of a pod (Kubernetes, `PodQOSClass`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qos {
    /// Limits equal requests.
    Guaranteed,
    /// Some requests or limits.
    Burstable,
    /// None.
    BestEffort,
}

/// A pod, by its cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// The uid with `-`; a static pod's is a hash of 32 hex digits.
    pub uid: String,
    /// Quality of service; `None` where the part of the path that tells it is not visible.
    pub qos: Option<Qos>,
}

/// What runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Runtime {
    /// containerd.
    Containerd,
    /// CRI-O.
    CriO,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// Kata Containers: the workload runs in a virtual machine, and what its processes and files do
    /// is not visible from here.
    Kata,
}

impl Runtime {
    /// Stable name, for JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Kata => "kata",
        }
    }
}

/// A container, by its cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// What runs it; `None` where the path does not tell (the cgroupfs driver's is just the id).
    pub runtime: Option<Runtime>,
}

/// Where in the hierarchy a cgroup stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The root of the hierarchy, or of what is visible of it.
    Root,
    /// A container.
    Container,
    /// Below a container's cgroup, and part of it: crun's `container`, a container's own tree.
    InContainer,
    /// A container's monitor (`crio-conmon-*`), which is not the container.
    Monitor,
    /// A pod: the parent of its containers.
    Pod,
    /// A systemd unit that does the work: service, scope, socket, mount or swap.
    Unit,
    /// A systemd slice, or one of the kubelet's folders.
    Slice,
    /// Something else.
    Other,
}

/// What the path tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathIdentity {
    /// What it is.
    pub level: Level,
    /// The pod it is, or is in.
    pub pod: Option<Pod>,
    /// The container it is, or is in.
    pub container: Option<Container>,
    /// The innermost systemd unit it is, or is in, but for those that stand for pods and
    /// containers.
    pub unit: Option<String>,
}

/// Reads a path from the root of the hierarchy.
///
/// The innermost pod counts, and in it the container right below: kind's nodes are containers with
/// pods in them, and what a container makes below its own cgroup belongs to it. Without a pod the
/// innermost container counts.
pub fn identify(path: &str) -> PathIdentity {
    let mut found = PathIdentity {
        level: Level::Root,
        pod: None,
        container: None,
        unit: None,
    };
    let mut parent = "";
    let mut qos = None;
    for component in path
        .split('/')
        .filter(|one| !one.is_empty() && *one != "..")
    {
        qos = folder_qos(component).or(qos);
        found.step(component, parent, qos);
        parent = component;
    }
    found
}

impl PathIdentity {
    fn step(&mut self, component: &str, parent: &str, qos: Option<Qos>) {
        // containerd that was given a systemd path for the cgroupfs driver.
        let (slice, rest) = component.split_once(':').unwrap_or((component, ""));
        if let Some(pod) = pod_in(slice, qos) {
            self.pod = Some(pod);
            self.container = None;
            self.level = Level::Pod;
            if rest.is_empty() {
                return;
            }
        }
        let in_pods_container = self.pod.is_some() && self.container.is_some();
        if is_monitor(component) {
            self.level = Level::Monitor;
        } else if let Some(container) =
            container_in(component, parent).filter(|_| !in_pods_container)
        {
            self.level = Level::Container;
            self.container = Some(container);
        } else if self.container.is_some() {
            self.level = Level::InContainer;
        } else if self.level == Level::Monitor {
            // A monitor's own tree.
        } else if is_unit(component) {
            let unit = unit_of(component).to_owned();
            self.level = match unit.ends_with(".slice") {
                true => Level::Slice,
                false => Level::Unit,
            };
            self.unit = Some(unit);
        } else if folder_qos(component).is_some() {
            self.level = Level::Slice;
        } else if self.level != Level::Unit {
            // Below a unit it is the unit's own tree (`docker.service/x`).
            self.level = Level::Other;
        }
    }
}

/// The kubelet's folders with the cgroupfs driver: `kubepods`, `kubepods/burstable`,
/// `kubepods/besteffort` (pkg/kubelet/cm/qos_container_manager_linux.go), and their slices.
fn folder_qos(component: &str) -> Option<Qos> {
    let name = component.strip_suffix(".slice").unwrap_or(component);
    let last = name.rsplit('-').next()?;
    match last {
        "kubepods" => Some(Qos::Guaranteed),
        "burstable" if name == last || is_kubelets(name) => Some(Qos::Burstable),
        "besteffort" if name == last || is_kubelets(name) => Some(Qos::BestEffort),
        _ => None,
    }
}

/// `pod<uid>` with the cgroupfs driver; `<parents>-pod<uid>.slice`, `_` for `-`, with systemd's
/// (pkg/kubelet/cm/cgroup_manager_linux.go, `ToSystemd`). The second names its parents, so the
/// quality of service is known even where they are not visible.
fn pod_in(component: &str, folder: Option<Qos>) -> Option<Pod> {
    if let Some(slice) = component.strip_suffix(".slice") {
        let (parents, uid) = slice.rsplit_once("-pod")?;
        let uid = uid_of(&uid.replace('_', "-")).filter(|_| is_kubelets(parents))?;
        return Some(Pod {
            uid,
            qos: folder_qos(parents),
        });
    }
    let uid = uid_of(component.strip_prefix("pod")?)?;
    Some(Pod { uid, qos: folder })
}

fn is_kubelets(parents: &str) -> bool {
    parents.split('-').any(|part| part == "kubepods")
}

/// A UUID, or a static pod's hash (pkg/kubelet/config/common.go, `applyDefaults`: MD5).
fn uid_of(text: &str) -> Option<String> {
    let hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lengths: Vec<_> = text.split('-').map(str::len).collect();
    let known = matches!(lengths[..], [8, 4, 4, 4, 12] | [32]);
    (known && text.split('-').all(hex)).then(|| text.to_owned())
}

/// CRI-O's and Podman's monitors: `crio-conmon-<id>.scope`, `libpod-conmon-<id>.scope`.
fn is_monitor(component: &str) -> bool {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    name.rsplit_once('-')
        .is_some_and(|(front, _)| front.ends_with("-conmon"))
}

fn container_in(component: &str, parent: &str) -> Option<Container> {
    if let Some(id) = component.strip_prefix("kata_")
        && let Some(id) = container_id_in(id)
    {
        return Some(Container {
            id: id.to_owned(),
            runtime: Some(Runtime::Kata),
        });
    }
    let id = container_id_in(component)?;
    // systemd-run names its scopes `run-r<32 digits>`; ECS's tasks are folders of containers.
    if component.starts_with("ecstasks-") || parent == "ecs" && id.len() == 32 {
        return None;
    }
    let prefix = component.split(['-', ':']).next().unwrap_or_default();
    let runtime = match component.len() == id.len() {
        true => runtime_of_folder(parent),
        false if component.contains("cri-containerd") => Some(Runtime::Containerd),
        false => match prefix {
            "docker" => Some(Runtime::Docker),
            "crio" => Some(Runtime::CriO),
            "libpod" => Some(Runtime::Podman),
            "nerdctl" => Some(Runtime::Containerd),
            _ => None,
        },
    };
    Some(Container {
        id: id.to_owned(),
        runtime,
    })
}

/// Folders named for who puts bare ids into them: Docker's own, containerd's namespaces.
fn runtime_of_folder(parent: &str) -> Option<Runtime> {
    match parent {
        "docker" | "docker.slice" => Some(Runtime::Docker),
        "k8s.io" | "default" => Some(Runtime::Containerd),
        "kata_overhead" | "kata" => Some(Runtime::Kata),
        "libpod_parent" => Some(Runtime::Podman),
        _ => None,
    }
}
