//! Time lost to reclaim that frees nothing.

use std::collections::VecDeque;

use crate::input::CgroupSample;

/// Near its limit is who has this share of it in use.
const NEAR_THE_LIMIT: f64 = 0.9;
/// Over this time it is looked at.
const WINDOW_NS: u64 = 10_000_000_000;
/// Instants kept.
const MAX_KEPT: usize = 32;

/// Counters of one instant.
#[derive(Clone, Copy, Debug)]
struct At {
    time_ns: u64,
    full_us: u64,
    scanned: u64,
    stolen: u64,
}

/// The last ten seconds of a cgroup's pressure and reclaim.
#[derive(Clone, Debug, Default)]
pub struct Thrash {
    kept: VecDeque<At>,
}

impl Thrash {
    /// Learns a sample and tells the share of the time in which all tasks waited for memory (PSI
    /// full), times the share of scanned pages that could not be freed; 0 if usage is below 90 % of
    /// the limit, or nothing was scanned. `None` where the kernel counts neither (v1, PSI off), and
    /// of the first sample.
    pub fn learn(&mut self, time_ns: u64, sample: &CgroupSample) -> Option<f64> {
        let now = At {
            time_ns,
            full_us: sample.pressure?.full_total_us,
            scanned: sample.stat.pgscan?,
            stolen: sample.stat.pgsteal?,
        };
        let old = |at: &At| time_ns.saturating_sub(at.time_ns) > WINDOW_NS;
        while self.kept.front().is_some_and(old) || self.kept.len() >= MAX_KEPT {
            self.kept.pop_front();
        }
        let first = self.kept.front().copied();
        self.kept.push_back(now);
        let first = first?;
        let near = sample.usage_bytes? as f64 >= NEAR_THE_LIMIT * sample.limit_bytes? as f64;
        let scanned = now.scanned.saturating_sub(first.scanned);
        let elapsed_us = time_ns.saturating_sub(first.time_ns) as f64 / 1e3;
        if !near || scanned == 0 || elapsed_us <= 0.0 {
            return Some(0.0);
        }
        let stolen = now.stolen.saturating_sub(first.stolen);
        let waited = now.full_us.saturating_sub(first.full_us) as f64 / elapsed_us;
        let inefficient = 1.0 - stolen as f64 / scanned as f64;
        Some(waited.clamp(0.0, 1.0) * inefficient.clamp(0.0, 1.0))
    }
}
