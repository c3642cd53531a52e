//! The annotations that the container runtime's CRI part writes into a container's OCI
//! configuration. Read only when asked for, and only these keys: the file holds the container's
//! environment, secrets among it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// Larger files are not read: a configuration has some tens of KiB.
const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// What the annotations say of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container; `None` of a pod's sandbox (the pause container).
    pub container: Option<String>,
}

/// Folders of runtimes' states: each container's is below, named by its id.
#[derive(Clone, Debug)]
pub struct OciFolders(Vec<PathBuf>);

impl Default for OciFolders {
    /// containerd's CRI namespace (`<state>/io.containerd.runtime.v2.task/k8s.io/<id>/config.json`),
    /// CRI-O's (`<runroot>/overlay-containers/<id>/userdata/config.json`).
    fn default() -> Self {
        Self(vec![
            "/run/containerd/io.containerd.runtime.v2.task/k8s.io".into(),
            "/run/containers/storage/overlay-containers".into(),
        ])
    }
}

impl OciFolders {
    /// These folders instead.
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self(folders)
    }

    /// The folders.
    pub fn into_folders(self) -> Vec<PathBuf> {
        self.0
    }

    /// The annotations of a container; `None` if no folder has it, or it is not Kubernetes'.
    ///
    /// # Errors
    /// If a configuration is there and cannot be read, with its path.
    pub fn annotations(&self, id: &str) -> io::Result<Option<Annotations>> {
        for folder in &self.0 {
            for inner in ["config.json", "userdata/config.json"] {
                let path = folder.join(id).join(inner);
                match read(&path) {
                    Ok(found) => return Ok(found),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        let message = format!("reading {}: {error}", path.display());
                        return Err(io::Error::new(error.kind(), message));
                    }
                }
            }
        }
        Ok(None)
    }
}

fn read(path: &Path) -> io::Result<Option<Annotations>> {
    if fs::metadata(path)?.len() > MAX_CONFIG_BYTES {
        return Err(io::Error::other(
            "larger than a container's configuration can be",
        ));
    }
    parse(&fs::read(path)?)
}

/// Nothing but the keys below is kept of the file.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    annotations: Keys,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Keys {
    /// containerd, `pkg/cri/annotations`.
    #[serde(rename = "io.kubernetes.cri.sandbox-namespace")]
    cri_namespace: Option<String>,
    #[serde(rename = "io.kubernetes.cri.sandbox-name")]
    cri_pod: Option<String>,
    #[serde(rename = "io.kubernetes.cri.container-name")]
    cri_container: Option<String>,
    /// CRI-O, `pkg/annotations`.
    #[serde(rename = "io.kubernetes.pod.namespace")]
    namespace: Option<String>,
    #[serde(rename = "io.kubernetes.pod.name")]
    pod: Option<String>,
    #[serde(rename = "io.kubernetes.container.name")]
    container: Option<String>,
}

fn parse(text: &[u8]) -> io::Result<Option<Annotations>> {
    let Config { annotations: keys } = serde_json::from_slice(text)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let (Some(namespace), Some(pod)) = (
        keys.cri_namespace.or(keys.namespace),
        keys.cri_pod.or(keys.pod),
    ) else {
        return Ok(None);
    };
    Ok(Some(Annotations {
        namespace,
        pod,
        // The kubelet's name for a sandbox where it has one (CRI-O, dockershim).
        container: keys
            .cri_container
            .or(keys.container)
            .filter(|name| name != "POD"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_runtimes_and_nothing_of_the_environment() {
        let containerd = br#"{"process":{"env":["TOKEN=x"]},"annotations":{
            "io.kubernetes.cri.container-type":"container","io.kubernetes.cri.sandbox-namespace":"shop",
            "io.kubernetes.cri.sandbox-name":"web-0","io.kubernetes.cri.container-name":"app"}}"#;
        let found = parse(containerd).unwrap().unwrap();
        assert_eq!(
            (found.namespace.as_str(), found.pod.as_str()),
            ("shop", "web-0")
        );
        assert_eq!(found.container.as_deref(), Some("app"));
        let crio = br#"{"annotations":{"io.kubernetes.pod.namespace":"shop",
            "io.kubernetes.pod.name":"web-0","io.kubernetes.container.name":"POD"}}"#;
        assert_eq!(parse(crio).unwrap().unwrap().container, None);
        assert_eq!(parse(b"{}").unwrap(), None);
        assert!(parse(b"{").is_err());
    }

    #[test]
    fn a_container_is_found_in_the_folder_that_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let folders = OciFolders::new(vec![folder.path().join("none"), folder.path().to_owned()]);
        assert_eq!(folders.annotations("a1").unwrap(), None);
        let userdata = folder.path().join("a1/userdata");
        fs::create_dir_all(&userdata).unwrap();
        fs::write(userdata.join("config.json"), "{").unwrap();
        let error = folders.annotations("a1").unwrap_err();
        assert!(
            error.to_string().contains("a1/userdata/config.json"),
            "{error}"
        );
    }
}
