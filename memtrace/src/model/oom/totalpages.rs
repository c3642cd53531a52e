//! The size of what ran out, as the OOM killer reckons it.

use crate::input::{CgroupVersion, OomMemory, OomNode};

/// `totalpages` of a cgroup at its limit, or `None` if it has no limit.
///
/// KERNEL: mm/memcontrol.c, `mem_cgroup_get_max`, of the cgroup whose limit failed alone, its
/// ancestors' limits left aside: memory.max, and, unless swappiness is 0, the swap it may use: on v2
/// the lesser of memory.swap.max and the machine's swap, on v1 the lesser of memsw - memory and
/// that. Swappiness is the machine's on v2 and the cgroup's own on v1 (`mem_cgroup_swappiness`).
pub fn of_cgroup(
    memory: &OomMemory,
    node: &OomNode,
    version: CgroupVersion,
    page_size_bytes: u64,
) -> Option<u64> {
    let max = memory.sample.limit_bytes? / page_size_bytes;
    let total_swap = node.swap_total_bytes / page_size_bytes;
    let swap_limit = memory
        .swap_limit_bytes
        .map_or(u64::MAX, |bytes| bytes / page_size_bytes);
    let (swappiness, swap) = match version {
        CgroupVersion::V1 => (memory.swappiness, swap_limit.saturating_sub(max)),
        CgroupVersion::V2 => (node.swappiness, swap_limit),
    };
    let swap = match swappiness {
        Some(0) => 0,
        // Unknown: 60 unless somebody changed it.
        Some(_) | None => swap.min(total_swap),
    };
    // `mem_cgroup_get_max(..) ?: 1` (mm/oom_kill.c, `constrained_alloc`).
    Some((max + swap).max(1))
}

/// `totalpages` of the machine: `totalram_pages() + total_swap_pages` (mm/oom_kill.c,
/// `constrained_alloc`), which are MemTotal and SwapTotal.
pub fn of_node(node: &OomNode, page_size_bytes: u64) -> u64 {
    node.total_bytes / page_size_bytes + node.swap_total_bytes / page_size_bytes
}
