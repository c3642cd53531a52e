//! What the whole machine says: its memory, the kubelet's view of it, kills since boot.

use std::{fs, io};

use crate::{
    cgroup::{CgroupHandle, Hierarchy},
    input::{CgroupVersion, OomNode},
    oom::read_node,
    tasks::field_bytes,
};

/// The machine at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeSample {
    /// `/proc/meminfo` and settings.
    pub memory: OomNode,
    /// As the kubelet reckons it; `None` if a part of it is unknown.
    pub working_set_bytes: Option<u64>,
    /// Processes killed by the OOM killer since boot (`oom_kill` of `/proc/vmstat`).
    pub oom_kills: Option<u64>,
}

/// Reads the machine.
///
/// # Errors
/// If `/proc/meminfo` cannot be read.
pub fn read(hierarchy: &Hierarchy, root: Option<&CgroupHandle>) -> io::Result<NodeSample> {
    let memory = read_node()?;
    let sample = root.and_then(|root| root.sample().ok());
    let inactive_file = sample.and_then(|sample| sample.stat.inactive_file);
    // cAdvisor: v1's root has a usage; v2's is reckoned from meminfo (opencontainers/cgroups,
    // fs2/memory.go, `rootStatsFromMeminfo`).
    let usage = match hierarchy.version() {
        CgroupVersion::V1 => sample.and_then(|sample| sample.usage_bytes),
        CgroupVersion::V2 => fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| field_bytes(&text, "MemFree"))
            .map(|free| memory.total_bytes.saturating_sub(free)),
    };
    Ok(NodeSample {
        memory,
        working_set_bytes: usage
            .zip(inactive_file)
            .map(|(usage, inactive)| usage.saturating_sub(inactive)),
        oom_kills: fs::read_to_string("/proc/vmstat")
            .ok()
            .and_then(|text| vmstat(&text, "oom_kill")),
    })
}

fn vmstat(text: &str, wanted: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == wanted).then(|| value.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_by_its_whole_name() {
        let text = "oom_kill_x 3\noom_kill 7\n";
        assert_eq!(vmstat(text, "oom_kill"), Some(7));
        assert_eq!(vmstat(text, "oom"), None);
    }

    #[test]
    fn this_machine() {
        let hierarchy = Hierarchy::find();
        let Ok(hierarchy) = hierarchy else {
            return;
        };
        let root = CgroupHandle::open(hierarchy.version(), hierarchy.mount_point()).ok();
        let sample = read(&hierarchy, root.as_ref()).unwrap();
        assert!(sample.memory.total_bytes > 0);
        assert!(
            sample
                .working_set_bytes
                .is_none_or(|bytes| bytes <= sample.memory.total_bytes * 2)
        );
    }
}
