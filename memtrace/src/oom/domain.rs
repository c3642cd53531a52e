//! A domain that is watched: how near it is to its limit, cheaply.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    cgroup::{CgroupHandle, UsageFile},
    input::{CgroupVersion, OomMemory},
    model::oom::pinned_share,
};

/// From this share of a limit on, usage may be all cache, so `memory.stat` is asked.
const MAYBE_NEAR: f64 = 0.7;
/// How often it is asked for a domain that is not near.
const ASK: Duration = Duration::from_millis(100);
/// Below this share of its limit a domain is far away: on a node with a thousand domains most are.
const FAR: f64 = 0.3;

/// A cgroup with a limit.
pub(super) struct Domain {
    id: u64,
    limit_bytes: u64,
    usage: UsageFile,
    /// Its other files: opened only when they are asked, since nodes have thousands of domains.
    files: CgroupHandle,
    /// As of the last look.
    memory: OomMemory,
    share: f64,
    asked: Option<Instant>,
    looked: Option<Instant>,
}

impl Domain {
    pub(super) fn open(
        version: CgroupVersion,
        id: u64,
        directory: &Path,
        memory: &OomMemory,
    ) -> Option<Self> {
        Some(Self {
            id,
            limit_bytes: memory.sample.limit_bytes?,
            // A cgroup that goes meanwhile is no domain any more.
            usage: UsageFile::open(version, directory).ok()??,
            files: CgroupHandle::open(version, directory).ok()?,
            memory: *memory,
            share: pinned_share(memory).unwrap_or(0.0),
            asked: None,
            looked: None,
        })
    }

    /// Whether it is this cgroup with this limit.
    pub(super) fn is(&self, id: u64, limit_bytes: u64) -> bool {
        (self.id, self.limit_bytes) == (id, limit_bytes)
    }

    /// Its cgroup.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// How near it is; as of the last look, if it was far away and that is not `afar` ago.
    pub(super) fn look(&mut self, afar: Duration) -> f64 {
        let recently = |looked: Instant| looked.elapsed() < afar;
        if self.share < FAR && self.looked.is_some_and(recently) {
            return self.share;
        }
        self.looked = Some(Instant::now());
        let usage = match self.usage.read() {
            Ok(Some(bytes)) => bytes,
            // Gone: the next snapshot leaves it out.
            Ok(None) | Err(_) => return 0.0,
        };
        let share = usage as f64 / self.limit_bytes.max(1) as f64;
        if share < MAYBE_NEAR {
            (self.share, self.asked) = (share, None);
            return share;
        }
        let fresh = |asked: Instant| self.share < MAYBE_NEAR && asked.elapsed() < ASK;
        if !self.asked.is_some_and(fresh)
            && let Ok(sample) = self.files.sample()
        {
            self.memory.sample = sample;
            self.asked = Some(Instant::now());
            self.share = pinned_share(&self.memory).unwrap_or(0.0);
        }
        self.share
    }
}
