//! A temporary directory that stands for a cgroup file system, `/proc` and `/var/log`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{Hierarchy, Mount, Places};
use crate::input::CgroupVersion;

/// See the module.
pub(super) struct Tree {
    scratch: TempDir,
    root: PathBuf,
    version: CgroupVersion,
}

impl Tree {
    /// A v2 hierarchy with these cgroups.
    pub(super) fn v2(cgroups: &[&str]) -> Self {
        Self::new(CgroupVersion::V2, cgroups)
    }

    /// A v1 memory hierarchy with these cgroups.
    pub(super) fn v1(cgroups: &[&str]) -> Self {
        Self::new(CgroupVersion::V1, cgroups)
    }

    fn new(version: CgroupVersion, cgroups: &[&str]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("cg");
        for cgroup in ["", "../proc", "../log"].iter().chain(cgroups) {
            fs::create_dir_all(root.join(cgroup)).unwrap();
        }
        let root = root.canonicalize().unwrap();
        Self {
            scratch,
            root,
            version,
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn hierarchy(&self) -> Hierarchy {
        let mount = Mount {
            version: self.version,
            root: "/".to_owned(),
            mount_point: self.root.clone(),
        };
        Hierarchy::at(mount, &self.places().proc)
    }

    pub(super) fn places(&self) -> Places {
        Places {
            proc: self.scratch.path().join("proc"),
            log: self.scratch.path().join("log"),
        }
    }

    /// Writes a file of a cgroup.
    pub(super) fn write(&self, path: &str, text: &str) {
        fs::write(self.root.join(path), text).unwrap();
    }

    /// Makes a process that is in a cgroup.
    pub(super) fn process(&self, pid: u32, cgroup: &str) {
        let directory = self.places().proc.join(pid.to_string());
        fs::create_dir_all(&directory).unwrap();
        let text = match self.version {
            CgroupVersion::V1 => format!("5:pids:/elsewhere\n4:memory:{cgroup}\n0::/\n"),
            CgroupVersion::V2 => format!("0::{cgroup}\n"),
        };
        fs::write(directory.join("cgroup"), text).unwrap();
    }

    /// Makes an empty log file below `/var/log`.
    pub(super) fn log(&self, path: &str) {
        let file = self.places().log.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "").unwrap();
    }
}
