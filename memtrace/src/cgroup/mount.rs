//! Which mounted hierarchy has the memory controller.

use std::{collections::HashMap, fs, io, os::unix::ffi::OsStringExt as _, path::PathBuf};

use crate::input::CgroupVersion;

const MOUNTINFO: &str = "/proc/self/mountinfo";

/// A mounted cgroup file system that could be the one with memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// v1's memory hierarchy, or v2.
    pub version: CgroupVersion,
    /// The cgroup that is mounted, as this process's cgroup namespace sees it: `/` as a rule,
    /// a container's own cgroup where only that was bind-mounted, `/../..` for the host's tree
    /// seen from inside a namespace.
    pub root: String,
    /// Where it is mounted.
    pub mount_point: PathBuf,
}

impl Mount {
    /// Mounts that show more of the hierarchy come first: above our namespace, all of it, part.
    fn rank(&self) -> (usize, usize) {
        let (up, down): (Vec<_>, Vec<_>) = self
            .root
            .split('/')
            .filter(|component| !component.is_empty())
            .partition(|component| *component == "..");
        (usize::MAX - up.len(), down.len())
    }
}

/// No hierarchy with the memory controller.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The list of mounts could not be read.
    #[error("cannot read {MOUNTINFO}: {0}; mount /proc")]
    Mountinfo(#[source] io::Error),
    /// There is no cgroup file system at all that could have it.
    #[error(
        "no memory controller: no cgroup v2 and no v1 memory hierarchy is mounted. Mount one with \
         `mount -t cgroup2 none /sys/fs/cgroup`; in a container, mount the host's /sys/fs/cgroup"
    )]
    NotMounted,
    /// v2 is mounted, but memory is elsewhere or off.
    #[error(
        "no memory controller: it is not among {}/cgroup.controllers and no v1 memory hierarchy is \
         mounted. If memory is on v1 (see /proc/cgroups), `mount -t cgroup -o memory none \
         /sys/fs/cgroup/memory`; if it is disabled, boot without cgroup_disable=memory; in a \
         container, mount the host's /sys/fs/cgroup",
        mount_point.display()
    )]
    NotInV2 {
        /// Where v2 is mounted.
        mount_point: PathBuf,
    },
}

/// The mounts of v2 and of v1's memory hierarchy in a `/proc/PID/mountinfo`
/// (proc_pid_mountinfo(5)), in the order of the file. Lines that are not understood are skipped:
/// they belong to other file systems. A mount point that was mounted over keeps its last mount.
pub fn parse_mountinfo(text: &str) -> Vec<Mount> {
    let mut last_on = HashMap::new();
    for (order, line) in text.lines().enumerate() {
        if let Some((mount_point, mount)) = parse_line(line) {
            last_on.insert(mount_point, (order, mount));
        }
    }
    let mut mounts: Vec<_> = last_on
        .into_values()
        .filter_map(|(order, mount)| Some((order, mount?)))
        .collect();
    mounts.sort_by_key(|(order, _)| *order);
    mounts.into_iter().map(|(_, mount)| mount).collect()
}

/// A mount point and, if it could hold the memory controller, what is mounted there.
fn parse_line(line: &str) -> Option<(PathBuf, Option<Mount>)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let root = String::from_utf8_lossy(&unescape(place.next()?)).into_owned();
    let mount_point = PathBuf::from(std::ffi::OsString::from_vec(unescape(place.next()?)));

    let mut kind = kind.split(' ');
    let fstype = kind.next()?;
    let mut options = kind.nth(1).unwrap_or("").split(',');
    let version = match fstype {
        "cgroup2" => Some(CgroupVersion::V2),
        "cgroup" if options.any(|option| option == "memory") => Some(CgroupVersion::V1),
        _ => None,
    };
    let mount = version.map(|version| Mount {
        version,
        root,
        mount_point: mount_point.clone(),
    });
    Some((mount_point, mount))
}

/// The kernel writes space, tab, newline and backslash as three octal digits
/// (fs/proc_namespace.c, `mangle`).
fn unescape(field: &str) -> Vec<u8> {
    let bytes = field.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let octal = (byte == b'\\')
            .then(|| field.get(at + 1..at + 4))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(octal.unwrap_or(byte));
        at += if octal.is_some() { 4 } else { 1 };
    }
    plain
}

/// The mount to use: v1's memory hierarchy if there is one (the controller is in one hierarchy
/// only), else v2 if `controllers` (the text of its `cgroup.controllers`, `None` if unreadable)
/// names memory. Of several mounts of one hierarchy, the one that shows most of it.
///
/// # Errors
/// [`MountError::NotMounted`] and [`MountError::NotInV2`], each saying what to do.
pub fn choose_mount(
    mut mounts: Vec<Mount>,
    controllers: impl Fn(&Mount) -> Option<String>,
) -> Result<Mount, MountError> {
    mounts.sort_by_key(|mount| (mount.version == CgroupVersion::V2, mount.rank()));
    let without_memory = mounts.first().map(|mount| mount.mount_point.clone());
    mounts
        .into_iter()
        .find(|mount| match mount.version {
            CgroupVersion::V1 => true,
            CgroupVersion::V2 => controllers(mount)
                .is_some_and(|names| names.split_whitespace().any(|name| name == "memory")),
        })
        .ok_or(match without_memory {
            None => MountError::NotMounted,
            Some(mount_point) => MountError::NotInV2 { mount_point },
        })
}

/// The mount to use on this machine.
pub(super) fn find_mount() -> Result<Mount, MountError> {
    let mountinfo = fs::read(MOUNTINFO).map_err(MountError::Mountinfo)?;
    choose_mount(
        parse_mountinfo(&String::from_utf8_lossy(&mountinfo)),
        |mount| fs::read_to_string(mount.mount_point.join("cgroup.controllers")).ok(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cgroup lines of a Linux 6.18 with memory on v1 and v2 mounted without it.
    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    /// As systemd mounts it (optional fields before the dash).
    const UNIFIED: &str = "\
30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
";

    fn choose(text: &str, controllers: &str) -> Result<Mount, MountError> {
        choose_mount(parse_mountinfo(text), |_| Some(controllers.to_owned()))
    }

    #[test]
    fn hybrid_takes_the_v1_memory_hierarchy() {
        let mount = choose(HYBRID, "hugetlb").unwrap();
        assert_eq!(mount.version, CgroupVersion::V1);
        assert_eq!(mount.mount_point, PathBuf::from("/sys/fs/cgroup/memory"));
        assert_eq!(mount.root, "/");
    }

    #[test]
    fn unified_takes_v2_when_it_has_memory() {
        let mount = choose(UNIFIED, "cpuset cpu io memory pids\n").unwrap();
        assert_eq!(mount.version, CgroupVersion::V2);
        assert_eq!(mount.mount_point, PathBuf::from("/sys/fs/cgroup"));
    }

    #[test]
    fn v2_without_memory_says_what_to_do() {
        for controllers in ["cpu io pids\n", "", "memory_pressure"] {
            let error = choose(UNIFIED, controllers).unwrap_err();
            assert!(matches!(error, MountError::NotInV2 { .. }));
            assert!(error.to_string().contains("mount -t cgroup -o memory"));
        }
        let unreadable = choose_mount(parse_mountinfo(UNIFIED), |_| None);
        assert!(matches!(unreadable, Err(MountError::NotInV2 { .. })));
    }

    #[test]
    fn nothing_mounted_says_what_to_do() {
        let error = choose("22 1 254:0 / / rw - ext4 /dev/vda rw\ngarbage\n", "memory");
        assert!(matches!(error, Err(MountError::NotMounted)));
    }

    #[test]
    fn v1_mounted_together_with_other_controllers() {
        let text = "3 1 0:3 / /cg\\040mem rw - cgroup cgroup rw,cpu,memory,pids\n";
        let mount = choose(text, "").unwrap();
        assert_eq!(mount.mount_point, PathBuf::from("/cg mem"));
    }

    #[test]
    fn the_mount_that_shows_most_wins() {
        let text = "\
1 0 0:1 /kubepods/pod1/c1 /deep rw - cgroup2 cgroup2 rw
2 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
3 0 0:1 /../../.. /host/sys/fs/cgroup rw - cgroup2 cgroup2 rw
";
        let mount = choose(text, "memory").unwrap();
        assert_eq!(mount.mount_point, PathBuf::from("/host/sys/fs/cgroup"));
    }

    #[test]
    fn a_mount_that_was_mounted_over_does_not_count() {
        let text = format!("{UNIFIED}99 30 0:9 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n");
        assert!(parse_mountinfo(&text).is_empty());
    }
}
