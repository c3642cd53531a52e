//! Kubernetes pods by name, from what the kubelet leaves in `/var/log`: no API server is asked.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use super::{
    CgroupError, Hierarchy,
    container::{find_containers, name_of},
    tree::{self, Visit},
};

/// `namespace/pod[/container]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PodName<'a> {
    namespace: &'a str,
    pod: &'a str,
    container: Option<&'a str>,
}

impl<'a> PodName<'a> {
    /// `None` if the text has not two or three components.
    pub(super) fn parse(typed: &'a str) -> Option<Self> {
        let parts: Vec<_> = typed.split('/').collect();
        let (namespace, pod, container) = match parts[..] {
            [namespace, pod] => (namespace, pod, None),
            [namespace, pod, container] => (namespace, pod, Some(container)),
            _ => return None,
        };
        parts.iter().all(|part| !part.is_empty()).then_some(Self {
            namespace,
            pod,
            container,
        })
    }

    /// The cgroups that have this name now. A pod is the parent of its containers' cgroups, the
    /// pause container's among them; a container that was restarted has logs of several ids, of
    /// which one is alive.
    pub(super) fn find(
        self,
        hierarchy: &Hierarchy,
        log: &Path,
    ) -> Result<Vec<PathBuf>, CgroupError> {
        if self.container.is_some() {
            return self.live_containers(hierarchy, log);
        }
        let pods = find_pods(hierarchy, &self.uids(log))?;
        if !pods.is_empty() {
            return Ok(pods);
        }
        // A runtime without /var/log/pods, or a static pod whose log has another uid.
        let mut pods: Vec<_> = self
            .live_containers(hierarchy, log)?
            .iter()
            .filter_map(|container| container.parent().map(Path::to_owned))
            .collect();
        pods.dedup();
        Ok(pods)
    }

    fn live_containers(
        self,
        hierarchy: &Hierarchy,
        log: &Path,
    ) -> Result<Vec<PathBuf>, CgroupError> {
        let ids: HashSet<_> = names(&log.join("containers"))
            .iter()
            .filter_map(|name| self.container_id(name))
            .map(str::to_owned)
            .collect();
        let containers = find_containers(hierarchy, "")?.into_iter();
        Ok(containers
            .filter(|container| ids.contains(&container.id))
            .map(|container| container.directory)
            .collect())
    }

    /// The id in `<pod>_<namespace>_<container>-<id>.log` (kubelet, `logSymlink` in
    /// pkg/kubelet/kuberuntime/legacy.go), if the rest is this name. No part can contain `_`.
    fn container_id(self, name: &str) -> Option<&str> {
        let (names, id) = name.strip_suffix(".log")?.rsplit_once('-')?;
        let mut names = names.split('_');
        let ours = names.next() == Some(self.pod)
            && names.next() == Some(self.namespace)
            && names
                .next()
                .is_some_and(|name| self.container.is_none_or(|wanted| wanted == name));
        ours.then_some(id)
    }

    /// The uids in `<namespace>_<pod>_<uid>` below `/var/log/pods` (kubelet,
    /// `BuildPodLogsDirectory`): several if a pod of this name was made again.
    fn uids(self, log: &Path) -> Vec<String> {
        names(&log.join("pods"))
            .iter()
            .filter_map(|name| {
                let uid = name.strip_prefix(self.namespace)?.strip_prefix('_')?;
                uid.strip_prefix(self.pod)?.strip_prefix('_')
            })
            .map(str::to_owned)
            .collect()
    }
}

/// The cgroups of pods: `pod<uid>` with the cgroupfs driver, `...-pod<uid>.slice` with `_` for
/// `-` with systemd's (kubelet, `pkg/kubelet/cm`, `ToSystemd`).
fn find_pods(hierarchy: &Hierarchy, uids: &[String]) -> Result<Vec<PathBuf>, CgroupError> {
    let mut found = Vec::new();
    if uids.is_empty() {
        return Ok(found);
    }
    let cgroupfs: HashSet<_> = uids.iter().map(|uid| format!("pod{uid}")).collect();
    let systemd: Vec<_> = uids
        .iter()
        .map(|uid| format!("-pod{}.slice", uid.replace('-', "_")))
        .collect();
    tree::walk(hierarchy.mount_point(), |directory, _| {
        if name_of(directory).is_some_and(|name| {
            cgroupfs.contains(name) || systemd.iter().any(|suffix| name.ends_with(suffix))
        }) {
            found.push(directory.to_owned());
        }
        Visit::Descend
    })?;
    Ok(found)
}

/// The names in a directory; none if it cannot be listed, as on a machine that is no node.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::fixture::Tree;

    const OLD: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    const NEW: &str = "2222222222222222222222222222222222222222222222222222222222222222";
    const SIDE: &str = "3333333333333333333333333333333333333333333333333333333333333333";
    const UID: &str = "5f0c1d2e-aaaa-bbbb-cccc-0123456789ab";

    fn find(tree: &Tree, name: &str) -> Vec<PathBuf> {
        PodName::parse(name)
            .unwrap()
            .find(&tree.hierarchy(), &tree.places().log)
            .unwrap()
    }

    fn logs(tree: &Tree) {
        for (container, id) in [("web", OLD), ("web", NEW), ("log-tail", SIDE)] {
            tree.log(&format!("containers/api-7d9f.x_shop_{container}-{id}.log"));
        }
    }

    #[test]
    fn systemd_driver() {
        let pod = format!(
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice",
            UID.replace('-', "_")
        );
        let web = format!("{pod}/cri-containerd-{NEW}.scope");
        let side = format!("{pod}/cri-containerd-{SIDE}.scope");
        let tree = Tree::v2(&[&web, &side]);
        logs(&tree);
        tree.log(&format!("pods/shop_api-7d9f.x_{UID}/web/0.log"));
        tree.log("pods/shop_api-7d9f_99999999-aaaa-bbbb-cccc-0123456789ab/web/0.log");

        assert_eq!(find(&tree, "shop/api-7d9f.x"), [tree.root().join(&pod)]);
        assert_eq!(find(&tree, "shop/api-7d9f.x/web"), [tree.root().join(&web)]);
        assert_eq!(
            find(&tree, "shop/api-7d9f.x/log-tail"),
            [tree.root().join(&side)]
        );
        assert!(find(&tree, "shop/api-7d9f").is_empty());
        assert!(find(&tree, "shop/api-7d9f.x/tail").is_empty());
        assert!(find(&tree, "other/api-7d9f.x").is_empty());
    }

    #[test]
    fn cgroupfs_driver_and_a_runtime_without_pod_logs() {
        let pod = format!("kubepods/besteffort/pod{UID}");
        let tree = Tree::v1(&[&format!("{pod}/{NEW}"), &format!("{pod}/{SIDE}")]);
        logs(&tree);
        assert_eq!(find(&tree, "shop/api-7d9f.x"), [tree.root().join(&pod)]);
        tree.log(&format!("pods/shop_api-7d9f.x_{UID}/web/0.log"));
        assert_eq!(find(&tree, "shop/api-7d9f.x"), [tree.root().join(&pod)]);
    }

    #[test]
    fn what_counts_as_a_pod_name() {
        assert!(PodName::parse("shop/api").is_some());
        assert!(PodName::parse("shop/api/web").is_some());
        for other in ["api", "shop/", "/api", "a/b/c/d", ""] {
            assert_eq!(PodName::parse(other), None, "{other}");
        }
    }
}
