//! Whose rows they are, and who is meant by a TARGET.

use serde::{Deserialize, Serialize};

use super::Instant;

/// Digits of a container id that name it; as `cgroup::resolve_target` has it.
const MIN_ID_DIGITS: usize = 8;

/// Who a kept series is of. It outlives its cgroup. What is unknown is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// Path from the root of the hierarchy; `/` is the machine.
    pub cgroup: String,
    /// Inode number of its directory; 0 of the machine.
    pub cgroup_id: u64,
    /// Namespace of its pod.
    pub namespace: Option<String>,
    /// Its pod.
    pub pod: Option<String>,
    /// Its container's name.
    pub container: Option<String>,
    /// Id of its container.
    pub container_id: Option<String>,
    /// How often the container was started again.
    pub restarts: Option<u32>,
    /// The systemd unit whose cgroup it is.
    pub unit: Option<String>,
    /// It was removed.
    pub gone: bool,
    /// When it was seen for the last time: it is gone, or the agent ended. `None` while it is watched.
    pub ended: Option<Instant>,
}

impl Subject {
    /// The machine as a whole.
    pub fn machine() -> Self {
        Self {
            cgroup: "/".to_owned(),
            ..Self::default()
        }
    }

    /// `shop/web-0/app`, else the unit, else the path.
    pub fn short(&self) -> String {
        match (&self.namespace, &self.pod, &self.container) {
            (Some(namespace), Some(pod), Some(container)) => {
                format!("{namespace}/{pod}/{container}")
            }
            (Some(namespace), Some(pod), None) => format!("{namespace}/{pod}"),
            _ => self.unit.clone().unwrap_or_else(|| self.cgroup.clone()),
        }
    }

    fn has_pod(&self, namespace: &str, pod: &str) -> bool {
        self.namespace.as_deref() == Some(namespace) && self.pod.as_deref() == Some(pod)
    }
}

/// Whom a TARGET means. The kinds are tried in the order of `cgroup::resolve_target`: a path, the start
/// of a container id, a unit, `namespace/pod[/container]`. A pod without a series of its own means its
/// containers.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    typed: &'a str,
    path: String,
    /// Hex digits, lower case; `None` if they are none, or too few.
    digits: Option<String>,
    parts: Vec<&'a str>,
}

impl<'a> Target<'a> {
    /// As typed.
    pub fn new(typed: &'a str) -> Self {
        let path = match typed.trim_matches('/') {
            "" if typed.starts_with('/') => "/".to_owned(),
            path => format!("/{path}"),
        };
        let digits = typed.split_once("://").map_or(typed, |(_, id)| id);
        let is_id = digits.len() >= MIN_ID_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit());
        Self {
            typed,
            path,
            digits: is_id.then(|| digits.to_ascii_lowercase()),
            parts: typed.split('/').collect(),
        }
    }

    /// Which kind of name of this subject it is: the lowest that anybody has is meant. `None` if it is
    /// none of its names.
    pub fn kind(&self, subject: &Subject) -> Option<usize> {
        let has_id = |digits: &String| {
            let id = subject.container_id.as_ref();
            id.is_some_and(|id| id.starts_with(digits))
        };
        let is_in_pod = match self.parts[..] {
            [namespace, pod] => subject.has_pod(namespace, pod),
            _ => false,
        };
        let is_container = match self.parts[..] {
            [namespace, pod, container] => {
                subject.has_pod(namespace, pod) && subject.container.as_deref() == Some(container)
            }
            _ => false,
        };
        let kinds = [
            subject.cgroup == self.path,
            self.digits.as_ref().is_some_and(has_id),
            subject.unit.as_deref() == Some(self.typed),
            is_container || (is_in_pod && subject.container_id.is_none()),
            is_in_pod,
        ];
        kinds.iter().position(|is_meant| *is_meant)
    }
}
