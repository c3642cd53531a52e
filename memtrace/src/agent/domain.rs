//! One domain over time: its room, its risk for each horizon, and the peaks of the last two minutes.

use crate::model::risk::{Horizon, RecentPeak, Risk, Room, Trend};

/// What alerts page at (deploy/prometheus).
const HIGH: f64 = 0.8;

/// What a tick says of a domain. What is unknown is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DomainRisk {
    /// What is pinned and what is left.
    pub room: Option<Room>,
    /// In the order of [`Horizon::ALL`].
    pub risks: [Option<Risk>; 2],
    /// The highest scores of the last two minutes, in the same order.
    pub peaks: [Option<f64>; 2],
}

impl DomainRisk {
    /// Whichever is more at risk, for each horizon by itself.
    pub fn worse(self, other: Self) -> Self {
        let score = |risk: Option<Risk>| risk.map_or(-1.0, |risk| risk.score);
        let risk = |place: usize| match score(self.risks[place]) >= score(other.risks[place]) {
            true => self.risks[place],
            false => other.risks[place],
        };
        let peak = |place: usize| match (self.peaks[place], other.peaks[place]) {
            (Some(one), Some(two)) => Some(one.max(two)),
            (one, two) => one.or(two),
        };
        Self {
            room: None,
            risks: [risk(0), risk(1)],
            peaks: [peak(0), peak(1)],
        }
    }
}

/// What is kept of a domain.
#[derive(Debug, Default)]
pub(super) struct Domain {
    trend: Trend,
    peaks: [RecentPeak; 2],
    /// Since when the 15-minute risk is above [`HIGH`].
    high_since_ns: Option<u64>,
}

impl Domain {
    /// Learns what is left at an instant of the monotonic clock. An instant without room (no limit,
    /// something unknown) is passed over.
    pub(super) fn learn(
        &mut self,
        time_ns: u64,
        room: Option<Room>,
        thrash: Option<f64>,
    ) -> DomainRisk {
        let Some(room) = room else {
            self.high_since_ns = None;
            return DomainRisk::default();
        };
        self.trend
            .learn(time_ns, room.pinned_bytes, room.unwritten_bytes);
        let risks = Horizon::ALL.map(|horizon| Risk::new(room, &self.trend, thrash, horizon));
        let mut peaks = [None, None];
        for (place, risk) in risks.iter().enumerate() {
            peaks[place] = risk.map(|risk| self.peaks[place].learn(time_ns, risk.score));
        }
        let is_high = risks[1].is_some_and(|risk| risk.score > HIGH);
        self.high_since_ns = is_high.then(|| self.high_since_ns.unwrap_or(time_ns));
        DomainRisk {
            room: Some(room),
            risks,
            peaks,
        }
    }

    /// How long the 15-minute risk has been above [`HIGH`], ns; `None` if it is not.
    pub(super) fn high_for_ns(&self, now_ns: u64) -> Option<u64> {
        Some(now_ns.saturating_sub(self.high_since_ns?))
    }

    /// After a kill.
    pub(super) fn forget(&mut self) {
        self.trend.forget();
        self.high_since_ns = None;
    }
}
