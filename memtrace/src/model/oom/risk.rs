//! How near a domain is to running out, 0 to 1, from two instants alone: the agent, which watches all
//! the time, knows more (`model::risk`).

use super::growth::Fill;
use crate::{input::CgroupSample, model::risk};

/// Within this share of the limit, waiting for memory counts as thrashing.
const NEAR_THE_LIMIT: f64 = 0.9;

/// A domain's risk of running out within a horizon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Risk {
    /// `1 - (1 - fill) * (1 - thrash)`; what is unknown counts as 0, and shows below.
    pub score: f64,
    /// Seconds until the headroom is gone at the present rate; `None` if nothing grows.
    pub eta_seconds: Option<f64>,
    /// How soon, against the horizon: 1 within it, 0 beyond twice of it.
    pub fill: f64,
    /// Near the limit: the share of time in which all tasks waited for memory (PSI full), times the
    /// share of scanned pages that could not be freed. `None` where that is not counted (v1).
    pub thrash: Option<f64>,
    /// The horizon.
    pub horizon_seconds: f64,
}

impl Risk {
    /// From how a domain fills and, for a cgroup, its files at both instants.
    pub fn new(
        fill: &Fill,
        horizon_seconds: f64,
        page_size_bytes: u64,
        cgroup: Option<(&CgroupSample, &CgroupSample)>,
    ) -> Self {
        let eta_seconds = match fill.room.headroom_bytes {
            0 => Some(0.0),
            _ => fill.seconds_left(page_size_bytes),
        };
        let fills = risk::fill(eta_seconds, horizon_seconds);
        let thrash = cgroup.and_then(|(before, after)| thrash(before, after, fill.seconds));
        Self {
            score: risk::score(fills, thrash),
            eta_seconds,
            fill: fills,
            thrash,
            horizon_seconds,
        }
    }
}

fn thrash(before: &CgroupSample, after: &CgroupSample, seconds: f64) -> Option<f64> {
    let stalled = after
        .pressure?
        .full_total_us
        .saturating_sub(before.pressure?.full_total_us);
    let scanned = after.stat.pgscan?.saturating_sub(before.stat.pgscan?);
    let freed = after.stat.pgsteal?.saturating_sub(before.stat.pgsteal?);
    let usage = after.usage_bytes? as f64;
    if usage < NEAR_THE_LIMIT * after.limit_bytes? as f64 || scanned == 0 || seconds <= 0.0 {
        return Some(0.0);
    }
    let waiting = (stalled as f64 / 1e6 / seconds).min(1.0);
    Some(waiting * (1.0 - freed as f64 / scanned as f64).clamp(0.0, 1.0))
}
