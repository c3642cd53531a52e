//! The kubelet's links to containers' logs: they hold names and no secrets, any runtime has them,
//! and they outlive the container.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{ContainerLog, PodLogFolder};

/// Links that are kept: a node runs at most some hundred pods.
const MAX_LINKS: usize = 16_384;

/// The folder could not be listed.
#[derive(Debug, thiserror::Error)]
#[error(
    "listing {}: {source}; mount the host's /var/log, or name the folder that has `containers` and \
     `pods` with --logs",
    path.display()
)]
pub struct LogsError {
    path: PathBuf,
    source: io::Error,
}

/// What `<folder>/containers` and `<folder>/pods` say.
#[derive(Debug)]
pub struct LogLinks {
    folder: PathBuf,
    /// By file name: a link is read once.
    logs: BTreeMap<String, ContainerLog>,
    /// By uid.
    pods: BTreeMap<String, PodLogFolder>,
}

impl LogLinks {
    /// Of a folder that stands for `/var/log`; nothing is read yet.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            logs: BTreeMap::new(),
            pods: BTreeMap::new(),
        }
    }

    /// Lists the folders again. A machine that is no node of Kubernetes has none, which is no error.
    ///
    /// # Errors
    /// [`LogsError`] if a folder is there and cannot be listed.
    pub fn refresh(&mut self) -> Result<(), LogsError> {
        let containers = self.folder.join("containers");
        let mut logs = BTreeMap::new();
        for name in names(&containers)? {
            let log = self.logs.remove(&name).or_else(|| {
                let link = fs::read_link(containers.join(&name)).ok();
                let link = link.as_deref().and_then(Path::to_str);
                ContainerLog::parse(&name, link)
            });
            logs.extend(log.map(|log| (name, log)));
        }
        self.logs = logs;
        let folders = names(&self.folder.join("pods"))?;
        self.pods = folders
            .iter()
            .filter_map(|name| PodLogFolder::parse(name))
            .map(|pod| (pod.uid.clone(), pod))
            .collect();
        Ok(())
    }

    /// The log of a container. Where names were cut, the start of the id decides, and the pod's uid:
    /// `None` rather than one of several.
    pub fn of_container(&self, id: &str, pod_uid: Option<&str>) -> Option<&ContainerLog> {
        if let Some(log) = self.logs.values().find(|log| log.id == id) {
            return Some(log);
        }
        let mut fit = self.logs.values().filter(|log| {
            log.cut
                && id.starts_with(&log.id)
                && pod_uid.is_some()
                && log.pod_uid.as_deref() == pod_uid
        });
        let first = fit.next()?;
        let longer = |other: &ContainerLog| other.id.len() >= first.id.len();
        (!fit.any(longer)).then_some(first)
    }

    /// The pod with a uid.
    pub fn pod(&self, uid: &str) -> Option<&PodLogFolder> {
        self.pods.get(uid)
    }
}

fn names(folder: &Path) -> Result<Vec<String>, LogsError> {
    let failed = |source| LogsError {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries.take(MAX_LINKS) {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const A: &str = "594f6557dc0faa92e0ceac237b78c9e19ad12db5c471c3d2d950d4f2d6b98e4d";

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["containers", "pods"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        folder
    }

    /// As the kubelet makes them.
    fn link(folder: &Path, name: &str, pod: &str, container: &str) {
        let log = folder.join("pods").join(pod).join(container);
        fs::create_dir_all(&log).unwrap();
        symlink(log.join("0.log"), folder.join("containers").join(name)).unwrap();
    }

    #[test]
    fn containers_come_and_go() {
        let folder = folder();
        let mut links = LogLinks::new(folder.path());
        let name = format!("web-0_shop_app-{A}.log");
        link(folder.path(), &name, "shop_web-0_uid-1", "app");
        links.refresh().unwrap();
        let log = links.of_container(A, None).unwrap();
        assert_eq!((log.pod.as_str(), log.restarts), ("web-0", Some(0)));
        assert_eq!(links.pod("uid-1").unwrap().namespace, "shop");
        assert!(links.of_container(&A[..40], None).is_none());
        fs::remove_file(folder.path().join("containers").join(&name)).unwrap();
        links.refresh().unwrap();
        assert!(links.of_container(A, None).is_none());
        assert!(links.pod("uid-1").is_some());
    }

    #[test]
    fn a_cut_name_is_found_by_uid_unless_two_could_be_meant() {
        let folder = folder();
        let pod = "p".repeat(245);
        let cut = |container: &str| {
            let whole = format!("{pod}_ns_{container}-{A}");
            format!("{}.log", &whole[..251])
        };
        let mut links = LogLinks::new(folder.path());
        link(
            folder.path(),
            &cut("web"),
            &format!("n_{}_uid-1", "p".repeat(200)),
            "web",
        );
        links.refresh().unwrap();
        assert_eq!(
            links.of_container(A, Some("uid-1")).unwrap().container,
            "web"
        );
        assert!(links.of_container(A, Some("uid-2")).is_none());
        assert!(links.of_container(A, None).is_none());
        link(
            folder.path(),
            &cut("side"),
            &format!("n_{}_uid-1", "p".repeat(200)),
            "side",
        );
        links.refresh().unwrap();
        assert!(links.of_container(A, Some("uid-1")).is_none());
    }

    #[test]
    fn no_node_of_kubernetes_is_no_error_and_a_file_in_the_way_is() {
        let folder = tempfile::tempdir().unwrap();
        LogLinks::new(folder.path()).refresh().unwrap();
        fs::write(folder.path().join("containers"), "").unwrap();
        let error = LogLinks::new(folder.path()).refresh().unwrap_err();
        assert!(error.to_string().contains("--logs"), "{error}");
    }
}
