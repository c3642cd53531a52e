//! Cgroups as the OOM killer sees them: limits, groups, and the order of their processes.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use super::{
    CgroupError, CgroupReader, Hierarchy,
    processes::processes_of_directory,
    reader::UNLIMITED_BYTES,
    tree::{self, Visit},
};
use crate::input::{CgroupVersion, OomCgroup, OomMemory};

/// Every cgroup of the hierarchy, parents before children; with its memory files if it is `target`,
/// below it, or above it. Cgroups that vanish meanwhile are left out.
///
/// # Errors
/// If the hierarchy cannot be listed, or the target's files cannot be read.
pub fn oom_cgroups(hierarchy: &Hierarchy, target: &Path) -> Result<Vec<OomCgroup>, CgroupError> {
    let version = hierarchy.version();
    let mut ids = BTreeMap::new();
    let mut cgroups = Vec::new();
    let mut failed = None;
    tree::walk(hierarchy.mount_point(), |directory, id| {
        ids.insert(directory.to_owned(), id);
        let concerned = directory.starts_with(target) || target.starts_with(directory);
        let memory = match concerned.then(|| oom_memory(version, directory)) {
            Some(Ok(memory)) => Some(Arc::new(memory)),
            // v2's root has no limit, and cgroups without the controller have no files.
            Some(Err(CgroupError::NoMemoryController { .. })) | None => None,
            Some(Err(CgroupError::Gone { .. })) if directory != target => return Visit::Descend,
            Some(Err(error)) => {
                failed = Some(error);
                return Visit::Stop;
            }
        };
        cgroups.push(OomCgroup {
            id,
            parent_id: directory
                .parent()
                .and_then(|parent| ids.get(parent))
                .copied(),
            path: hierarchy.path_of(directory).unwrap_or_default(),
            oom_group: match version {
                CgroupVersion::V1 => None,
                CgroupVersion::V2 => number(directory, "memory.oom.group").map(|set| set != 0),
            },
            // v1 sorts the list by pid, which tells nothing.
            procs: match version {
                CgroupVersion::V1 => None,
                CgroupVersion::V2 => processes_of_directory(directory).ok(),
            },
            memory,
        });
        Visit::Descend
    })?;
    failed.map_or(Ok(cgroups), Err)
}

/// What limits a cgroup, and what it holds.
///
/// # Errors
/// If its files cannot be read.
pub fn oom_memory(version: CgroupVersion, directory: &Path) -> Result<OomMemory, CgroupError> {
    let sample = CgroupReader::open(version, directory)?.sample()?;
    let limit = |name| number(directory, name).filter(|bytes| *bytes < UNLIMITED_BYTES);
    Ok(match version {
        CgroupVersion::V1 => OomMemory {
            sample,
            swap_limit_bytes: limit("memory.memsw.limit_in_bytes"),
            swappiness: number(directory, "memory.swappiness"),
            min_bytes: None,
            kill_disabled: fs::read_to_string(directory.join("memory.oom_control"))
                .is_ok_and(|text| text.lines().any(|line| line == "oom_kill_disable 1")),
        },
        CgroupVersion::V2 => OomMemory {
            sample,
            swap_limit_bytes: limit("memory.swap.max"),
            swappiness: None,
            min_bytes: number(directory, "memory.min"),
            kill_disabled: false,
        },
    })
}

/// Whether a cgroup has a limit; `false` too where there is no such cgroup.
pub fn has_limit(version: CgroupVersion, directory: &Path) -> bool {
    let name = match version {
        CgroupVersion::V1 => "memory.limit_in_bytes",
        CgroupVersion::V2 => "memory.max",
    };
    number(directory, name).is_some_and(|bytes| bytes < UNLIMITED_BYTES)
}

/// The number in a file; `None` if there is no such file or it says `max`.
fn number(directory: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(directory.join(name)).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::fixture::Tree;

    const V2_STAT: &str = include_str!("fixture/memory.stat.v2-6.12");

    #[test]
    fn limits_groups_and_orders() {
        let tree = Tree::v2(&["a/x", "b"]);
        for cgroup in ["a", "a/x", "b"] {
            tree.write(&format!("{cgroup}/memory.stat"), V2_STAT);
            tree.write(&format!("{cgroup}/memory.current"), "4096\n");
        }
        tree.write("a/memory.max", "67108864\n");
        tree.write("a/memory.swap.max", "0\n");
        tree.write("a/memory.oom.group", "1\n");
        tree.write("a/x/memory.max", "max\n");
        tree.write("a/x/memory.swap.max", "max\n");
        tree.write("a/x/cgroup.procs", "9\n7\n");
        let cgroups = oom_cgroups(&tree.hierarchy(), &tree.root().join("a/x")).unwrap();
        let paths: Vec<_> = cgroups.iter().map(|cgroup| cgroup.path.as_str()).collect();
        assert_eq!(paths, ["/", "/a", "/a/x", "/b"]);
        let [root, a, x, b] = &cgroups[..] else {
            panic!("{cgroups:?}");
        };
        assert_eq!((root.parent_id, a.parent_id), (None, Some(root.id)));
        assert_eq!(a.oom_group, Some(true));
        let memory = a.memory.as_ref().unwrap();
        assert_eq!(memory.sample.limit_bytes, Some(64 << 20));
        assert_eq!(memory.swap_limit_bytes, Some(0));
        assert_eq!(x.procs, Some(vec![9, 7]));
        let memory = x.memory.as_ref().unwrap();
        assert_eq!(
            (memory.sample.limit_bytes, memory.swap_limit_bytes),
            (None, None)
        );
        assert!(b.memory.is_none());
    }

    #[test]
    fn v1_tells_swappiness_and_whether_it_kills() {
        let tree = Tree::v1(&["a"]);
        tree.write("a/memory.stat", include_str!("fixture/memory.stat.v1-6.18"));
        tree.write("a/memory.limit_in_bytes", "67108864\n");
        tree.write("a/memory.memsw.limit_in_bytes", "9223372036854771712\n");
        tree.write("a/memory.swappiness", "0\n");
        tree.write(
            "a/memory.oom_control",
            "oom_kill_disable 1\nunder_oom 0\noom_kill 0\n",
        );
        let cgroups = oom_cgroups(&tree.hierarchy(), &tree.root().join("a")).unwrap();
        let memory = cgroups[1].memory.as_ref().unwrap();
        assert_eq!(memory.swappiness, Some(0));
        assert_eq!(memory.swap_limit_bytes, None);
        assert!(memory.kill_disabled);
    }
}
