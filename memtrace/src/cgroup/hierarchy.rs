//! The hierarchy that has the memory controller: paths to directories and back.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

use super::{
    CgroupError, MountError,
    mount::{Mount, find_mount},
    processes::processes_of_directory,
    tree::{self, Visit},
};
use crate::input::CgroupVersion;

/// A cgroup that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Inode number of its directory, which is the kernel's cgroup id on 64-bit machines
    /// (fs/kernfs: `kernfs_id_ino`).
    pub id: u64,
    /// From the root of its hierarchy: `/system.slice/nginx.service`.
    pub path: String,
    /// In the file system.
    pub directory: PathBuf,
}

/// The mounted hierarchy that has the memory controller.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    mount: Mount,
    /// The directory that `/` in `/proc/PID/cgroup` means, if the mount shows it.
    namespace_root: Option<PathBuf>,
}

impl Hierarchy {
    /// Finds it on this machine.
    ///
    /// # Errors
    /// [`MountError`] if there is none; the message says what to mount.
    pub fn find() -> Result<Self, MountError> {
        find_mount().map(|mount| Self::at(mount, Path::new("/proc")))
    }

    /// The hierarchy of a mount, with `proc` standing for `/proc`.
    pub(super) fn at(mount: Mount, proc: &Path) -> Self {
        let namespace_root = match mount.root.as_str() {
            "/" => Some(mount.mount_point.clone()),
            root if root.starts_with("/..") => namespace_root(&mount, proc),
            _ => None,
        };
        Self {
            mount,
            namespace_root,
        }
    }

    /// Version of the memory controller.
    pub fn version(&self) -> CgroupVersion {
        self.mount.version
    }

    /// Where the hierarchy is mounted.
    pub fn mount_point(&self) -> &Path {
        &self.mount.mount_point
    }

    /// The mounted part of the hierarchy has this path; empty for all of it.
    fn prefix(&self) -> &str {
        match self.mount.root.as_str() {
            root if root.starts_with("/..") => "",
            root => root.trim_end_matches('/'),
        }
    }

    /// The directory of a path from the root of the hierarchy; it need not exist. `None` if the
    /// mount does not show that part, or if the path climbs with `..`.
    pub fn directory_at(&self, path: &str) -> Option<PathBuf> {
        let below = Path::new(path.trim_start_matches('/'));
        let below = match self.prefix().trim_start_matches('/') {
            "" => below,
            prefix => below.strip_prefix(prefix).ok()?,
        };
        below
            .components()
            .all(|component| matches!(component, Component::Normal(_)))
            .then(|| join(self.mount_point(), below))
    }

    /// The path from the root of the hierarchy of a directory; `None` if it is not in the mount.
    pub fn path_of(&self, directory: &Path) -> Option<String> {
        let below = directory.strip_prefix(self.mount_point()).ok()?;
        let prefix = self.prefix();
        Some(match (prefix, below.as_os_str().is_empty()) {
            ("", true) => "/".to_owned(),
            (_, true) => prefix.to_owned(),
            (_, false) => format!("{prefix}/{}", below.display()),
        })
    }

    /// The cgroup of a directory in the mount.
    ///
    /// # Errors
    /// [`CgroupError::Gone`] if it does not exist (any more).
    pub fn cgroup_at(&self, directory: &Path) -> Result<Cgroup, CgroupError> {
        let metadata = fs::metadata(directory)
            .map_err(|source| CgroupError::on("look at", directory, directory, source))?;
        Ok(Cgroup {
            id: metadata.ino(),
            path: self
                .path_of(directory)
                .unwrap_or_else(|| directory.display().to_string()),
            directory: directory.to_owned(),
        })
    }

    /// The directory of what `/proc/PID/cgroup` says, which is relative to the reader's cgroup
    /// namespace and may climb out of it with `..`. `None` if the mount does not show it.
    pub(crate) fn directory_of_proc_cgroup(&self, text: &str) -> Option<PathBuf> {
        let path = memory_path(self.version(), text)?;
        let Some(root) = &self.namespace_root else {
            let below = path.strip_prefix(self.mount.root.as_str())?;
            let below = Path::new(below.trim_start_matches('/'));
            return Some(join(self.mount_point(), below));
        };
        let mut directory = root.clone();
        for component in Path::new(path).components() {
            match component {
                Component::ParentDir => _ = directory.pop(),
                Component::Normal(name) => directory.push(name),
                _ => {}
            }
        }
        directory
            .starts_with(self.mount_point())
            .then_some(directory)
    }
}

/// `directory/below`, without the trailing slash that `Path::join` gives for an empty path.
fn join(directory: &Path, below: &Path) -> PathBuf {
    directory.components().chain(below.components()).collect()
}

/// The path of the memory cgroup in a `/proc/PID/cgroup` (cgroups(7)): the line that names the
/// memory controller on v1, the line of hierarchy 0 on v2.
pub(super) fn memory_path(version: CgroupVersion, text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let (id, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let ours = match version {
            CgroupVersion::V1 => controllers.split(',').any(|name| name == "memory"),
            CgroupVersion::V2 => id == "0" && controllers.is_empty(),
        };
        ours.then_some(path)
    })
}

/// Inside a cgroup namespace the kernel tells paths relative to the namespace, but a mount of the
/// host's tree starts above it. The names in between are in no file: find the directory that
/// lists this process, and go up from there.
fn namespace_root(mount: &Mount, proc: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(proc.join("self/cgroup")).ok()?;
    let own = Path::new(memory_path(mount.version, &text)?.trim_start_matches('/')).to_owned();
    let pid = std::process::id();
    let mut found = None;
    tree::walk(&mount.mount_point, |directory, _| {
        if directory.ends_with(&own)
            && processes_of_directory(directory).is_ok_and(|pids| pids.contains(&pid))
        {
            found = directory
                .ancestors()
                .nth(own.components().count())
                .map(Path::to_owned);
            return Visit::Stop;
        }
        Visit::Descend
    })
    .ok()?;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy(root: &str, mount_point: &Path, proc: &Path) -> Hierarchy {
        Hierarchy::at(
            Mount {
                version: CgroupVersion::V2,
                root: root.to_owned(),
                mount_point: mount_point.to_owned(),
            },
            proc,
        )
    }

    #[test]
    fn memory_line_of_each_version() {
        let v1 = "9:name=systemd:/\n4:cpu,memory:/a:b/c\n0::/unified\n";
        assert_eq!(memory_path(CgroupVersion::V1, v1), Some("/a:b/c"));
        assert_eq!(memory_path(CgroupVersion::V2, v1), Some("/unified"));
        assert_eq!(memory_path(CgroupVersion::V1, "0::/x\n"), None);
    }

    #[test]
    fn paths_and_directories_of_a_whole_mount() {
        let mount = Path::new("/sys/fs/cgroup");
        let tree = hierarchy("/", mount, Path::new("/nonexistent"));
        assert_eq!(tree.directory_at("/a/b"), Some(mount.join("a/b")));
        assert_eq!(tree.directory_at("/"), Some(mount.to_owned()));
        assert_eq!(tree.directory_at("a/../b"), None);
        assert_eq!(tree.path_of(&mount.join("a/b")).as_deref(), Some("/a/b"));
        assert_eq!(tree.path_of(mount).as_deref(), Some("/"));
        assert_eq!(tree.path_of(Path::new("/proc")), None);
        assert_eq!(
            tree.directory_of_proc_cgroup("0::/a/b\n"),
            Some(mount.join("a/b"))
        );
    }

    #[test]
    fn part_of_a_hierarchy_bind_mounted() {
        let mount = Path::new("/cg");
        let tree = hierarchy("/docker/abc", mount, Path::new("/nonexistent"));
        assert_eq!(tree.directory_at("/docker/abc/x"), Some(mount.join("x")));
        assert_eq!(tree.directory_at("/docker/abcd"), None);
        assert_eq!(
            tree.path_of(&mount.join("x")).as_deref(),
            Some("/docker/abc/x")
        );
        let inside = tree.directory_of_proc_cgroup("0::/docker/abc\n");
        assert_eq!(inside, Some(mount.to_owned()));
        assert_eq!(tree.directory_of_proc_cgroup("0::/other\n"), None);
    }

    #[test]
    fn host_tree_seen_from_a_namespace() {
        let scratch = tempfile::tempdir().unwrap();
        let (mount, proc) = (scratch.path().join("cg"), scratch.path().join("proc"));
        let own = mount.join("kubepods/pod1/c1/init");
        fs::create_dir_all(&own).unwrap();
        fs::create_dir_all(proc.join("self")).unwrap();
        fs::write(
            own.join("cgroup.procs"),
            format!("{}\n", std::process::id()),
        )
        .unwrap();
        fs::write(proc.join("self/cgroup"), "0::/init\n").unwrap();

        let tree = hierarchy("/../../..", &mount, &proc);
        let at = |text| tree.directory_of_proc_cgroup(text);
        assert_eq!(at("0::/init\n"), Some(own.clone()));
        assert_eq!(at("0::/../c2\n"), Some(mount.join("kubepods/pod1/c2")));
        assert_eq!(
            at("0::/../../../system.slice\n"),
            Some(mount.join("system.slice"))
        );
        assert_eq!(
            tree.path_of(&own).as_deref(),
            Some("/kubepods/pod1/c1/init")
        );
    }
}
