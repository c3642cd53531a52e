//! What a domain has pinned and what is left of it.

use crate::input::{CgroupSample, OomNode};

/// A domain's memory at one instant, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// `U`: what reclaim cannot take away.
    pub pinned_bytes: u64,
    /// What of it is dirty or under writeback; 0 where that is not counted in it.
    pub unwritten_bytes: u64,
    /// `H`: what may still be pinned until the domain runs out, swap included.
    pub headroom_bytes: u64,
}

impl Room {
    /// Of a cgroup with a limit: `U` is usage less clean file pages (of which `memory.min` protects
    /// as much as it says) and half of slab_reclaimable, `H = limit - U` and what swap still takes.
    /// `None` if any of usage, the file counters, the limit or swap is unknown.
    pub fn of_cgroup(sample: &CgroupSample, min_bytes: u64) -> Option<Self> {
        let limit = sample.limit_bytes?;
        let pinned_bytes = pinned(sample, min_bytes)?;
        let unwritten_bytes = unwritten(sample)?;
        let swap = sample.swap_available_bytes?;
        Some(Self {
            pinned_bytes,
            unwritten_bytes,
            headroom_bytes: limit.saturating_sub(pinned_bytes).saturating_add(swap),
        })
    }

    /// Of the machine: `MemAvailable` is the kernel's own estimate of what can be had without
    /// swapping (mm/show_mem.c, `si_mem_available`). `None` where it is missing.
    pub fn of_node(node: &OomNode) -> Option<Self> {
        let available = node.available_bytes?;
        Some(Self {
            pinned_bytes: node.total_bytes.saturating_sub(available),
            unwritten_bytes: 0,
            headroom_bytes: available.saturating_add(node.swap_free_bytes),
        })
    }

    /// Of the kubelet's eviction: it looks at the node's working set, which active page cache counts
    /// in, and evicts when `capacity - working set` is below its threshold (pkg/kubelet/eviction,
    /// `makeSignalObservations`). Swap does not count.
    pub fn of_eviction(capacity_bytes: u64, working_set_bytes: u64, threshold_bytes: u64) -> Self {
        Self {
            pinned_bytes: working_set_bytes,
            unwritten_bytes: 0,
            headroom_bytes: capacity_bytes
                .saturating_sub(working_set_bytes)
                .saturating_sub(threshold_bytes),
        }
    }
}

/// `U` of a cgroup, with or without a limit; `None` if usage or a file counter is unknown.
pub(crate) fn pinned(sample: &CgroupSample, min_bytes: u64) -> Option<u64> {
    let stat = &sample.stat;
    let usage = sample.usage_bytes?;
    let lists = stat.active_file?.saturating_add(stat.inactive_file?);
    let clean = lists
        .saturating_sub(unwritten(sample)?)
        .min(usage.saturating_sub(min_bytes));
    // v1 does not count slab apart: then none of it is taken to be reclaimable.
    let slab = stat.slab_reclaimable.unwrap_or(0) / 2;
    Some(usage.saturating_sub(clean).saturating_sub(slab))
}

/// File pages that reclaim must wait for.
fn unwritten(sample: &CgroupSample) -> Option<u64> {
    let stat = &sample.stat;
    Some(stat.file_dirty?.saturating_add(stat.file_writeback?))
}
