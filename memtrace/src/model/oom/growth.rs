//! Who grows, and what is left to grow into: from now to the moment a domain runs out.

use std::collections::BTreeMap;

use super::scan::Candidate;
use crate::input::{OomMemory, OomNode};

/// A domain's room at one instant, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What reclaim cannot take away: usage less clean file pages and half of the reclaimable slab.
    pub pinned_bytes: i64,
    /// What may still be pinned before the domain runs out, swap included; not below 0.
    pub headroom_bytes: i64,
}

impl Room {
    /// Of a cgroup with a limit; `None` if its usage is unknown.
    pub fn of_cgroup(memory: &OomMemory) -> Option<Self> {
        let sample = &memory.sample;
        let stat = &sample.stat;
        let usage = sample.usage_bytes?;
        let lists = stat.active_file.unwrap_or(0) + stat.inactive_file.unwrap_or(0);
        let busy = stat.file_dirty.unwrap_or(0) + stat.file_writeback.unwrap_or(0);
        let clean = lists
            .saturating_sub(busy)
            .min(usage.saturating_sub(memory.min_bytes.unwrap_or(0)));
        let slab = stat.slab_reclaimable.unwrap_or(0) / 2;
        let pinned = usage.saturating_sub(clean).saturating_sub(slab) as i64;
        let limit = sample.limit_bytes? as i64;
        let swap = sample.swap_available_bytes.unwrap_or(0) as i64;
        Some(Self {
            pinned_bytes: pinned,
            headroom_bytes: limit.saturating_sub(pinned).saturating_add(swap).max(0),
        })
    }

    /// Of the machine; `None` where it does not tell what is available (before 3.14).
    pub fn of_node(node: &OomNode) -> Option<Self> {
        let available = node.available_bytes?;
        Some(Self {
            pinned_bytes: node.total_bytes.saturating_sub(available) as i64,
            headroom_bytes: (available + node.swap_free_bytes) as i64,
        })
    }
}

/// How a domain fills.
#[derive(Clone, Debug, PartialEq)]
pub struct Fill {
    /// How long was looked.
    pub seconds: f64,
    /// Bytes that became pinned in that time; 0 if there were fewer than before.
    pub pinned_bytes: i64,
    /// Pages that each candidate grew by in that time, in the candidates' order; not below 0.
    pub grown_pages: Vec<i64>,
    /// The room at the end.
    pub room: Room,
}

/// Identity of a process: its pid and when it started.
pub type Identity = (u32, u64);

impl Fill {
    /// From two instants; `earlier` has the pages that each process held at the first one. A process
    /// that was not there grew by all it holds.
    pub fn between(
        seconds: f64,
        earlier: &BTreeMap<Identity, i64>,
        earlier_room: Room,
        candidates: &[Candidate<'_>],
        room: Room,
    ) -> Self {
        let grown_pages = candidates
            .iter()
            .map(|candidate| {
                let identity = (candidate.task.pid, candidate.task.start_boottime_ns);
                let before = earlier.get(&identity).copied().unwrap_or(0);
                (candidate.badness.memory_pages() - before).max(0)
            })
            .collect();
        Self {
            seconds,
            pinned_bytes: (room.pinned_bytes - earlier_room.pinned_bytes).max(0),
            grown_pages,
            room,
        }
    }

    /// Pages that the domain fills by in the time looked at: what became pinned, or what its
    /// processes grew by, if that is more (pages that several map count once in the first).
    fn filled_pages(&self, page_size_bytes: u64) -> i64 {
        let grown: i64 = self.grown_pages.iter().sum();
        grown.max(self.pinned_bytes / page_size_bytes as i64)
    }

    /// Seconds until the headroom is gone at this rate; `None` if nothing grows.
    pub fn seconds_left(&self, page_size_bytes: u64) -> Option<f64> {
        let filled = self.filled_pages(page_size_bytes) as f64;
        let room = self.room.headroom_bytes as f64 / page_size_bytes as f64;
        (filled > 0.0).then(|| room / filled * self.seconds)
    }

    /// Points of every candidate when the headroom is gone, each having gone on to grow in its share.
    pub fn points_after(&self, candidates: &[Candidate<'_>], page_size_bytes: u64) -> Vec<i64> {
        let filled = self.filled_pages(page_size_bytes);
        let room = self.room.headroom_bytes as f64 / page_size_bytes as f64;
        candidates
            .iter()
            .zip(&self.grown_pages)
            .map(|(candidate, grown)| match filled {
                0 => candidate.points(),
                filled => {
                    let more = (*grown as f64 / filled as f64 * room) as i64;
                    candidate.points().saturating_add(more)
                }
            })
            .collect()
    }
}
