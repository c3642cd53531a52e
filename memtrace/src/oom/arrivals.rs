//! New cgroups, which a walk of the tree would find too late.

use std::time::{Duration, Instant};

use crate::cgroup::{Census, Hierarchy};

/// How long after it came a cgroup counts as new: its limit is written after it is made.
const NEW_FOR: Duration = Duration::from_secs(2);
/// How often it is asked.
const ASK: Duration = Duration::from_millis(50);

/// Whether cgroups came or went a short while ago.
pub(super) struct Arrivals {
    census: Option<Census>,
    asked: Option<Instant>,
    seen: Option<Instant>,
}

impl Arrivals {
    pub(super) fn new(hierarchy: &Hierarchy) -> Self {
        let census = Census::open(hierarchy);
        Self {
            // New cgroups are then found at the slow pace.
            census: census
                .inspect_err(|error| log::warn!("new cgroups are found late: {error}"))
                .ok()
                .flatten(),
            asked: None,
            seen: None,
        }
    }

    /// Asks, if it is time to.
    pub(super) fn look(&mut self) -> bool {
        if let Some(census) = &mut self.census
            && self.asked.is_none_or(|at| at.elapsed() >= ASK)
        {
            self.asked = Some(Instant::now());
            if census.changed().unwrap_or(false) {
                self.seen = self.asked;
            }
        }
        self.seen.is_some_and(|at| at.elapsed() < NEW_FOR)
    }
}
