//! Containers by id, whatever runtime made them.

use std::path::{Path, PathBuf};

use super::{
    CgroupError, Hierarchy,
    tree::{self, Visit},
};

/// The shortest prefix that counts as a container id: below that, words like `cafe` would match.
pub(super) const MIN_PREFIX_DIGITS: usize = 8;

/// Ids are 64 hex digits (docker, containerd, CRI-O, podman); systemd's own invocation ids and
/// some runtimes' have 32.
const MIN_ID_DIGITS: usize = 32;

/// A container's cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    /// The whole id.
    pub(super) id: String,
    /// Its directory.
    pub(super) directory: PathBuf,
}

/// The hex digits, in lower case, if the text looks like a container id or the start of one;
/// a runtime in front, as `kubectl` shows it (`containerd://...`), is dropped.
pub(super) fn id_prefix(typed: &str) -> Option<String> {
    let digits = typed.split_once("://").map_or(typed, |(_, id)| id);
    (digits.len() >= MIN_PREFIX_DIGITS && is_hex(digits)).then(|| digits.to_ascii_lowercase())
}

/// The container id in the name of a cgroup directory: `<id>`, `docker-<id>.scope`,
/// `cri-containerd-<id>.scope`, `crio-<id>.scope`, `libpod-<id>.scope`, or
/// `<slice>:cri-containerd:<id>` where the runtime was given a systemd path for the cgroupfs
/// driver. CRI-O's and podman's monitors (`crio-conmon-<id>.scope`) are not the container.
pub(crate) fn id_in_name(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let (runtime, id) = match name.rfind(['-', ':']) {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => ("", name),
    };
    (id.len() >= MIN_ID_DIGITS && is_hex(id) && !runtime.ends_with("conmon")).then_some(id)
}

/// The containers whose id starts with `prefix`, ordered by id. Of nested cgroups with the same
/// id (`crio-<id>.scope/container`, a container's own tree) the outermost.
pub(super) fn find_containers(
    hierarchy: &Hierarchy,
    prefix: &str,
) -> Result<Vec<Container>, CgroupError> {
    let mut found: Vec<Container> = Vec::new();
    tree::walk(hierarchy.mount_point(), |directory, _| {
        if let Some(id) = name_of(directory).and_then(id_in_name)
            && id.starts_with(prefix)
            && found.iter().all(|container| container.id != id)
        {
            found.push(Container {
                id: id.to_owned(),
                directory: directory.to_owned(),
            });
        }
        Visit::Descend
    })?;
    found.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(found)
}

/// The last component of a directory, if it is UTF-8, which cgroup names are in practice.
pub(super) fn name_of(directory: &Path) -> Option<&str> {
    directory.file_name()?.to_str()
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::fixture::Tree;

    const ID: &str = "0f6c9a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7";

    #[test]
    fn ids_in_the_names_of_every_runtime() {
        for name in [
            format!("docker-{ID}.scope"),
            format!("cri-containerd-{ID}.scope"),
            format!("crio-{ID}.scope"),
            format!("crio-{ID}"),
            format!("libpod-{ID}.scope"),
            format!("nerdctl-{ID}.scope"),
            format!("kubepods-burstable-pod1.slice:cri-containerd:{ID}"),
            ID.to_owned(),
        ] {
            assert_eq!(id_in_name(&name), Some(ID), "{name}");
        }
        for name in [
            &format!("crio-conmon-{ID}.scope"),
            &format!("libpod-conmon-{ID}.scope"),
            "session-12.scope",
            "system.slice",
            "kubepods-burstable-pod5f0c1d2e_aaaa_bbbb_cccc_0123456789ab.slice",
            "run-r0123456789abcdef0123456789abcdef.scope",
        ] {
            assert_eq!(id_in_name(name), None, "{name}");
        }
    }

    #[test]
    fn what_counts_as_an_id() {
        assert_eq!(id_prefix("0F6C9A1B").as_deref(), Some("0f6c9a1b"));
        assert_eq!(
            id_prefix("containerd://0f6c9a1b2c3d").as_deref(),
            Some("0f6c9a1b2c3d")
        );
        assert_eq!(id_prefix("0f6c9a1"), None);
        assert_eq!(id_prefix("facade-server"), None);
    }

    #[test]
    fn the_outermost_of_nested_cgroups() {
        let scope = format!("machine.slice/libpod-{ID}.scope");
        let nested = format!("{scope}/docker/{ID}");
        let tree = Tree::v2(&[&nested]);
        let found = find_containers(&tree.hierarchy(), "0f6c9a1b").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].directory, tree.root().join(scope));
    }
}
