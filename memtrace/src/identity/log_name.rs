//! The names that the kubelet gives to logs.

/// The longest file name (ext4): the kubelet cuts longer ones
/// (pkg/kubelet/kuberuntime/legacy.go, `logSymlink`).
const MAX_FILE_NAME: usize = 255;
const SUFFIX: &str = ".log";

/// One container's log: `/var/log/containers/<pod>_<namespace>_<container>-<id>.log`, a link to
/// `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restart>.log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerLog {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Uid of the pod (a static pod's: its hash); `None` without the link.
    pub pod_uid: Option<String>,
    /// Name of the container.
    pub container: String,
    /// Its id; only the start of it, or nothing, where the name was cut.
    pub id: String,
    /// Whether the name may have been cut.
    pub cut: bool,
    /// How often the container was started again; `None` without the link.
    pub restarts: Option<u32>,
}

impl ContainerLog {
    /// From a file name and, if it can be read, what it links to. `None` if it is no container's
    /// log. No part of a name can contain `_` (Kubernetes, DNS labels and subdomains).
    pub fn parse(name: &str, link: Option<&str>) -> Option<Self> {
        let stem = name.strip_suffix(SUFFIX)?;
        let cut = name.len() >= MAX_FILE_NAME;
        let target = link.and_then(LinkTarget::parse);
        if let Some(target) = target.filter(|_| cut) {
            let whole = format!(
                "{}_{}_{}-",
                target.pod.pod, target.pod.namespace, target.container
            );
            return Some(Self {
                id: stem.strip_prefix(&whole).unwrap_or_default().to_owned(),
                namespace: target.pod.namespace,
                pod: target.pod.pod,
                pod_uid: Some(target.pod.uid),
                container: target.container,
                cut,
                restarts: target.restarts,
            });
        }
        let (names, id) = stem.rsplit_once('-')?;
        let parts: Vec<_> = names.split('_').collect();
        let [pod, namespace, container] = parts[..] else {
            return None;
        };
        (!parts.iter().any(|part| part.is_empty())).then(|| Self {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            pod_uid: link
                .and_then(LinkTarget::parse)
                .map(|target| target.pod.uid),
            container: container.to_owned(),
            id: id.to_owned(),
            cut,
            restarts: link
                .and_then(LinkTarget::parse)
                .and_then(|target| target.restarts),
        })
    }
}

/// A pod's folder of logs: `<namespace>_<pod>_<uid>` (kubelet, `BuildPodLogsDirectory`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodLogFolder {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub pod: String,
    /// Uid.
    pub uid: String,
}

impl PodLogFolder {
    /// From the folder's name; `None` if it is no pod's.
    pub fn parse(name: &str) -> Option<Self> {
        let parts: Vec<_> = name.split('_').collect();
        match parts[..] {
            [namespace, pod, uid] if parts.iter().all(|part| !part.is_empty()) => Some(Self {
                namespace: namespace.to_owned(),
                pod: pod.to_owned(),
                uid: uid.to_owned(),
            }),
            _ => None,
        }
    }
}

struct LinkTarget {
    pod: PodLogFolder,
    container: String,
    restarts: Option<u32>,
}

impl LinkTarget {
    fn parse(link: &str) -> Option<Self> {
        let mut from_end = link.rsplit('/');
        let file = from_end.next()?;
        let container = from_end.next()?.to_owned();
        Some(Self {
            pod: PodLogFolder::parse(from_end.next()?)?,
            container,
            restarts: file
                .strip_suffix(SUFFIX)
                .and_then(|number| number.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "594f6557dc0faa92e0ceac237b78c9e19ad12db5c471c3d2d950d4f2d6b98e4d";
    const UID: &str = "26822839-8c92-4c60-a921-ffc5991fa00f";

    #[test]
    fn a_name_and_its_link() {
        let name = format!("api-7d9f.x_shop_log-tail-{ID}.log");
        let link = format!("/var/log/pods/shop_api-7d9f.x_{UID}/log-tail/3.log");
        let log = ContainerLog::parse(&name, Some(&link)).unwrap();
        assert_eq!(
            (log.namespace.as_str(), log.pod.as_str()),
            ("shop", "api-7d9f.x")
        );
        assert_eq!((log.container.as_str(), log.id.as_str()), ("log-tail", ID));
        assert_eq!((log.pod_uid.as_deref(), log.restarts), (Some(UID), Some(3)));
        // Docker's own driver links elsewhere.
        let log = ContainerLog::parse(&name, Some("/var/lib/docker/containers/x/x-json.log"));
        assert_eq!(log.unwrap().pod_uid, None);
        for other in [
            "boot.log",
            "a_b-1.log",
            "a_b_c_d-1.log",
            "a__c-1.log",
            "a_b_c-1",
        ] {
            assert_eq!(ContainerLog::parse(other, None), None, "{other}");
        }
    }

    #[test]
    fn a_name_that_was_cut_is_read_from_its_link() {
        let pod = "p".repeat(200);
        let whole = format!("{pod}_shop_web-{ID}");
        let name = format!("{}.log", &whole[..251]);
        let link = format!(
            "/var/log/pods/shop_{pod}_{S}/web/0.log",
            S = "6576683a93d91d8e2119df2c2755f2f1"
        );
        let log = ContainerLog::parse(&name, Some(&link)).unwrap();
        assert!(
            log.cut && ID.starts_with(&log.id) && log.id.len() == 41,
            "{log:?}"
        );
        // So long that even the container's name is not whole.
        let pod = "p".repeat(245);
        let whole = format!("{pod}_shop_web-{ID}");
        let name = format!("{}.log", &whole[..251]);
        let link = format!("/var/log/pods/shop_{pod}_u/web/0.log");
        let log = ContainerLog::parse(&name, Some(&link)).unwrap();
        assert_eq!((log.container.as_str(), log.id.as_str()), ("web", ""));
    }
}
