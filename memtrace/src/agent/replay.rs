//! The agent's state, told by somebody else than the census what was read and when: the backtest
//! replays recordings through it (`cargo xtask bench risk`). It is the same [`State`] with the same
//! snapshot, so what is judged there is what the agent shows.

use super::{DomainRisk, Health, NodeSample, Reading, Snapshot, state::State};
use crate::{identity::Annotations, input::CgroupVersion};

/// See the module.
pub struct Replay(State);

impl Replay {
    /// Of a machine whose kubelet evicts below so many bytes, if it has one.
    pub fn new(
        version: CgroupVersion,
        page_size_bytes: u64,
        eviction_threshold_bytes: Option<u64>,
    ) -> Self {
        let threshold = eviction_threshold_bytes;
        Self(State::new(version, page_size_bytes, threshold, false, None))
    }

    /// A cgroup is there from now on, at a path from the hierarchy's root; what a runtime's
    /// annotations say of it, if it is a container.
    pub fn born(&mut self, id: u64, path: &str, name: Option<&Annotations>) {
        self.0.born(id, path.to_owned());
        if let Some(name) = name {
            self.0.names().annotate(id, name);
        }
    }

    /// It is gone.
    pub fn died(&mut self, id: u64) {
        self.0.died(id);
        self.0.counted();
    }

    /// One tick: what was read at an instant of the monotonic clock, ns.
    pub fn tick(&mut self, now_ns: u64, readings: &[Reading], node: &NodeSample) {
        self.0.learn(now_ns, readings, node);
    }

    /// A kill was reported: by the limit of `domain`, of a process of `victim`.
    pub fn killed(&mut self, domain: u64, victim: Option<u64>) {
        self.0.begin_anew(Some(domain), victim);
    }

    /// What the last tick says of a cgroup; all unknown if it is not watched.
    pub fn risk(&self, id: u64) -> DomainRisk {
        self.0.risk(id)
    }

    /// What `/metrics` is made of.
    pub fn snapshot(&self, now_ns: u64) -> Snapshot {
        self.0.snapshot(now_ns, Health::default())
    }
}
