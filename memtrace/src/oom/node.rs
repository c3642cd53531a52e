//! The machine's memory and its OOM settings.

use std::{fs, io};

use crate::{cgroup::parse_pressure, input::OomNode, tasks::field_bytes};

const MEMINFO: &str = "/proc/meminfo";
const PRESSURE: &str = "/proc/pressure/memory";

/// Reads `/proc/meminfo` and `/proc/sys/vm`.
///
/// # Errors
/// If `/proc/meminfo` cannot be read or lacks MemTotal.
pub fn read_node() -> io::Result<OomNode> {
    let meminfo = fs::read_to_string(MEMINFO)?;
    let sysctl = |name: &str| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/sys/vm/{name}")).ok()?;
        text.trim().parse().ok()
    };
    let mut node =
        parse(&meminfo).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no MemTotal"))?;
    node.swappiness = sysctl("swappiness");
    node.panic_on_oom = sysctl("panic_on_oom");
    node.kill_allocating_task = sysctl("oom_kill_allocating_task").map(|set| set != 0);
    // Without PSI there is no such file, or opening it fails (EOPNOTSUPP).
    node.pressure = fs::read_to_string(PRESSURE)
        .ok()
        .and_then(|text| parse_pressure(&text).ok().flatten());
    node.memory_nodes = fs::read_dir("/sys/devices/system/node").ok().map(|nodes| {
        let is_node = |name: &str| {
            name.strip_prefix("node")
                .is_some_and(|number| number.parse::<u32>().is_ok())
        };
        nodes
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| is_node(name))
            .count() as u64
    });
    Ok(node)
}

/// The share of the machine's memory that is available; `None` if the kernel does not tell.
pub fn available_share() -> Option<f64> {
    let node = parse(&fs::read_to_string(MEMINFO).ok()?)?;
    Some(node.available_bytes? as f64 / node.total_bytes.max(1) as f64)
}

fn parse(meminfo: &str) -> Option<OomNode> {
    let bytes = |key| field_bytes(meminfo, key);
    Some(OomNode {
        total_bytes: bytes("MemTotal")?,
        available_bytes: bytes("MemAvailable"),
        swap_total_bytes: bytes("SwapTotal").unwrap_or(0),
        swap_free_bytes: bytes("SwapFree").unwrap_or(0),
        ..OomNode::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_swap_has_none() {
        let node = parse("MemTotal:        1000 kB\nMemAvailable:     10 kB\n").unwrap();
        assert_eq!((node.total_bytes, node.swap_total_bytes), (1_024_000, 0));
        assert_eq!(node.available_bytes, Some(10_240));
        assert!(parse("nothing\n").is_none());
    }

    #[test]
    fn this_machine_has_memory() {
        let node = read_node().unwrap();
        assert!(node.total_bytes > node.available_bytes.unwrap());
    }
}
