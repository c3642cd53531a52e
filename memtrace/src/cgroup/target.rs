//! TARGET: what people type to name a cgroup.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Cgroup, CgroupError, Hierarchy,
    container::{MIN_PREFIX_DIGITS, find_containers, id_prefix},
    pod::PodName,
    unit::{find_units, is_unit},
};
use crate::input::CgroupVersion;

/// Where a target's traces are looked for, besides the hierarchy.
#[derive(Clone, Debug)]
pub struct Places {
    /// `/proc`, or where the host's is mounted.
    pub proc: PathBuf,
    /// `/var/log`, where the kubelet leaves `pods` and `containers`.
    pub log: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            log: "/var/log".into(),
        }
    }
}

/// No one cgroup is meant by what was typed.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Nothing has that name.
    #[error(
        "no cgroup is called {0:?}: give a cgroup path (absolute or from the hierarchy's root), a \
         pid, at least {MIN_PREFIX_DIGITS} digits of a container id, a systemd unit \
         (name.service), or namespace/pod[/container]"
    )]
    Unknown(String),
    /// A path that exists, but elsewhere.
    #[error(
        "{} is not in the hierarchy with the memory controller, which is mounted at {}: choose a \
         directory below that",
        path.display(),
        mount_point.display()
    )]
    NotInHierarchy {
        /// What was typed.
        path: PathBuf,
        /// Where cgroups with memory are.
        mount_point: PathBuf,
    },
    /// A path that does not exist.
    #[error(
        "there is no cgroup {path}, neither in the file system nor below {}: list them with \
         `find {} -type d`",
        mount_point.display(),
        mount_point.display()
    )]
    NoSuchPath {
        /// What was typed.
        path: String,
        /// Where cgroups with memory are.
        mount_point: PathBuf,
    },
    /// A number that is no process.
    #[error(
        "no process has pid {0}: it has ended, or runs in a PID namespace that this one does not \
         see (in a pod, set hostPID: true); find it with `pgrep -a NAME`"
    )]
    NoSuchProcess(String),
    /// A process whose cgroup is not to be seen from here.
    #[error(
        "process {pid} is in the memory cgroup {cgroup}, which is not below {}: it was removed, or \
         memtrace runs in a container that sees only part of the hierarchy; mount the host's \
         /sys/fs/cgroup",
        mount_point.display()
    )]
    ProcessOutside {
        /// The process.
        pid: u32,
        /// What `/proc/PID/cgroup` says.
        cgroup: String,
        /// Where cgroups with memory are.
        mount_point: PathBuf,
    },
    /// A container id that no cgroup has.
    #[error(
        "no running container's id starts with {0:?}: list them with `crictl ps`, `docker ps` or \
         `podman ps`"
    )]
    NoContainer(String),
    /// A unit that has no cgroup.
    #[error("no memory cgroup of unit {unit:?}: is it active (`systemctl status {unit}`)?{}",
        match version {
            CgroupVersion::V1 => " On cgroup v1 it also needs MemoryAccounting=yes",
            CgroupVersion::V2 => "",
        })]
    NoUnit {
        /// The unit.
        unit: String,
        /// v1 makes no memory cgroup without being asked.
        version: CgroupVersion,
    },
    /// A pod that has no cgroup here.
    #[error(
        "no cgroup path and no running pod or container {0:?} on this node: see \
         `kubectl get pod -o wide` for the node and its containers, and if memtrace runs in a pod, \
         mount the host's /var/log"
    )]
    NoPod(String),
    /// Several cgroups have that name.
    #[error("{typed:?} could be any of these, choose one: {}", candidates.join(", "))]
    Ambiguous {
        /// What was typed.
        typed: String,
        /// Paths of the candidates, each a TARGET that is not ambiguous.
        candidates: Vec<String>,
    },
    /// The hierarchy could not be read.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

/// Finds the cgroup that a TARGET means: a cgroup path (absolute in the file system, or from the
/// hierarchy's root), a pid, the start of a container id, a systemd unit, or
/// `namespace/pod[/container]`. What looks like several of these is tried in this order.
///
/// # Errors
/// [`TargetError`]: nothing or several things are meant; the message says what to type instead.
pub fn resolve_target(
    hierarchy: &Hierarchy,
    places: &Places,
    typed: &str,
) -> Result<Cgroup, TargetError> {
    let unknown = || TargetError::Unknown(typed.to_owned());
    if typed.is_empty() {
        return Err(unknown());
    }
    if typed.starts_with('/') {
        return by_absolute_path(hierarchy, typed);
    }
    if typed.bytes().all(|byte| byte.is_ascii_digit()) {
        return by_number(hierarchy, places, typed);
    }
    if let Some(directory) = existing(hierarchy.directory_at(typed)) {
        return Ok(hierarchy.cgroup_at(&directory)?);
    }
    if let Some(prefix) = id_prefix(typed) {
        return by_container(hierarchy, &prefix);
    }
    if is_unit(typed) && !typed.contains('/') {
        let units = find_units(hierarchy, typed)?;
        return the_one(hierarchy, typed, units)?.ok_or_else(|| TargetError::NoUnit {
            unit: typed.to_owned(),
            version: hierarchy.version(),
        });
    }
    if let Some(name) = PodName::parse(typed) {
        let found = name.find(hierarchy, &places.log)?;
        return the_one(hierarchy, typed, found)?
            .ok_or_else(|| TargetError::NoPod(typed.to_owned()));
    }
    Err(unknown())
}

fn by_absolute_path(hierarchy: &Hierarchy, typed: &str) -> Result<Cgroup, TargetError> {
    let mount_point = || hierarchy.mount_point().to_owned();
    let real = fs::canonicalize(typed).ok();
    if let Some(directory) = &real
        && directory.is_dir()
        && directory.starts_with(hierarchy.mount_point())
    {
        return Ok(hierarchy.cgroup_at(directory)?);
    }
    if let Some(directory) = existing(hierarchy.directory_at(typed)) {
        return Ok(hierarchy.cgroup_at(&directory)?);
    }
    Err(match real {
        Some(_) => TargetError::NotInHierarchy {
            path: typed.into(),
            mount_point: mount_point(),
        },
        None => TargetError::NoSuchPath {
            path: typed.to_owned(),
            mount_point: mount_point(),
        },
    })
}

/// A pid; or the start of a container id that happens to have no letters, which cannot be
/// confused: pids have at most seven digits (`PID_MAX_LIMIT`, 4 Mi).
fn by_number(hierarchy: &Hierarchy, places: &Places, typed: &str) -> Result<Cgroup, TargetError> {
    let no_process = || TargetError::NoSuchProcess(typed.to_owned());
    if typed.len() >= MIN_PREFIX_DIGITS {
        return match by_container(hierarchy, typed) {
            Err(TargetError::NoContainer(_)) => Err(no_process()),
            found => found,
        };
    }
    let pid: u32 = typed.parse().map_err(|_| no_process())?;
    cgroup_of_process(hierarchy, &places.proc, pid)
}

/// The memory cgroup of a live process.
pub(super) fn cgroup_of_process(
    hierarchy: &Hierarchy,
    proc: &Path,
    pid: u32,
) -> Result<Cgroup, TargetError> {
    let text = fs::read_to_string(proc.join(format!("{pid}/cgroup")))
        .map_err(|_| TargetError::NoSuchProcess(pid.to_string()))?;
    let outside = || TargetError::ProcessOutside {
        pid,
        cgroup: super::hierarchy::memory_path(hierarchy.version(), &text)
            .unwrap_or("(none)")
            .to_owned(),
        mount_point: hierarchy.mount_point().to_owned(),
    };
    let directory = existing(hierarchy.directory_of_proc_cgroup(&text)).ok_or_else(outside)?;
    Ok(hierarchy.cgroup_at(&directory)?)
}

fn by_container(hierarchy: &Hierarchy, prefix: &str) -> Result<Cgroup, TargetError> {
    let containers = find_containers(hierarchy, prefix)?;
    let directories = containers
        .into_iter()
        .map(|found| found.directory)
        .collect();
    the_one(hierarchy, prefix, directories)?
        .ok_or_else(|| TargetError::NoContainer(prefix.to_owned()))
}

/// None, the only one, or an error that lists them.
fn the_one(
    hierarchy: &Hierarchy,
    typed: &str,
    directories: Vec<PathBuf>,
) -> Result<Option<Cgroup>, TargetError> {
    match &directories[..] {
        [] => Ok(None),
        [directory] => Ok(Some(hierarchy.cgroup_at(directory)?)),
        several => Err(TargetError::Ambiguous {
            typed: typed.to_owned(),
            candidates: several
                .iter()
                .filter_map(|directory| hierarchy.path_of(directory))
                .collect(),
        }),
    }
}

fn existing(directory: Option<PathBuf>) -> Option<PathBuf> {
    directory.filter(|directory| directory.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::fixture::Tree;

    const ONE: &str = "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789";
    const TWO: &str = "abcdef9999999999abcdef0123456789abcdef0123456789abcdef0123456789";
    const DIGITS: &str = "1234567890123456789012345678901212345678901234567890123456789012";

    fn tree() -> Tree {
        let tree = Tree::v2(&[
            &format!("system.slice/docker-{ONE}.scope"),
            &format!("system.slice/docker-{TWO}.scope"),
            &format!("docker/{DIGITS}"),
            "system.slice/nginx.service",
            "user.slice/1/app.service",
            "user.slice/2/app.service",
            "batch/night",
        ]);
        tree.process(4711, "/system.slice/nginx.service");
        tree.process(4712, "/system.slice/removed.service (deleted)");
        tree
    }

    fn resolve(tree: &Tree, typed: &str) -> Result<String, TargetError> {
        resolve_target(&tree.hierarchy(), &tree.places(), typed).map(|cgroup| cgroup.path)
    }

    #[test]
    fn each_kind_of_target() {
        let tree = tree();
        let nginx = "/system.slice/nginx.service";
        let absolute = tree.root().join(&nginx[1..]).display().to_string();
        let one = format!("/system.slice/docker-{ONE}.scope");
        for (typed, path) in [
            (absolute.as_str(), nginx),
            (&format!("{absolute}/"), nginx),
            (nginx, nginx),
            ("system.slice/nginx.service", nginx),
            ("nginx.service", nginx),
            ("4711", nginx),
            ("batch", "/batch"),
            ("batch/night", "/batch/night"),
            ("/", "/"),
            ("abcdef01", &one),
            ("docker://ABCDEF012345", &one),
            (ONE, &one),
            ("12345678", &format!("/docker/{DIGITS}")),
        ] {
            assert_eq!(resolve(&tree, typed).unwrap(), path, "{typed}");
        }
    }

    #[test]
    fn ambiguity_lists_the_candidates() {
        let tree = tree();
        let error = resolve(&tree, "app.service").unwrap_err().to_string();
        assert!(error.contains("/user.slice/1/app.service, /user.slice/2/app.service"));
        let tree = Tree::v2(&[
            &format!("a/{ONE}"),
            &format!("a/{}", ONE.replace("89", "98")),
        ]);
        let error = resolve(&tree, "abcdef01").unwrap_err();
        let TargetError::Ambiguous { candidates, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(candidates.len(), 2);
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let tree = tree();
        for (typed, advice) in [
            ("", "give a cgroup path"),
            ("nonsense", "give a cgroup path"),
            ("999", "pgrep"),
            ("99999999", "pgrep"),
            ("99999999999999999999", "pgrep"),
            ("4712", "it was removed"),
            ("deadbeef", "crictl ps"),
            ("absent.service", "systemctl status"),
            ("shop/absent", "/var/log"),
            ("/absent", "find "),
            ("/proc", "choose a directory below"),
            ("../etc", "/var/log"),
        ] {
            let error = resolve(&tree, typed).unwrap_err().to_string();
            assert!(error.contains(advice), "{typed}: {error}");
            assert!(!error.contains('\n'), "{typed}: {error}");
        }
    }

    #[test]
    fn v1_takes_the_memory_line_of_a_process() {
        let tree = Tree::v1(&["jobs/a"]);
        tree.process(12, "/jobs/a");
        assert_eq!(resolve(&tree, "12").unwrap(), "/jobs/a");
        let error = resolve(&tree, "x.service").unwrap_err().to_string();
        assert!(error.contains("MemoryAccounting=yes"));
    }
}
