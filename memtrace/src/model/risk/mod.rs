//! How near each domain is to running out: `docs/RISK.md` says it so that a reader can compute it by
//! hand. Pure, as all of the model: a domain is fed one [`Room`] after the other, each with its time.
//!
//! The parts: *fill*, how soon the headroom is gone at the rate at which the domain reaches new highs
//! ([`Trend`]), and *thrash*, how much of the time is lost to reclaim that frees nothing
//! ([`Thrash`]). `risk = 1 - (1 - fill) * (1 - thrash)`.

mod high_water;
mod peak;
mod room;
mod thrash;
mod trend;

#[cfg(test)]
mod tests;

pub(crate) use self::room::pinned;
pub use self::{peak::RecentPeak, room::Room, thrash::Thrash, trend::Trend};

/// How far a risk looks ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Horizon {
    /// For automation, which acts at once.
    Minute,
    /// For people, who have to be woken first.
    QuarterHour,
}

impl Horizon {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Minute, Self::QuarterHour];

    /// Seconds.
    pub fn seconds(self) -> f64 {
        match self {
            Self::Minute => 60.0,
            Self::QuarterHour => 900.0,
        }
    }

    /// Stable name, for labels and JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::QuarterHour => "15m",
        }
    }
}

/// A domain's risk of running out within a horizon, with its parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Risk {
    /// 0 to 1.
    pub score: f64,
    /// 1 if the headroom is gone within the horizon at the present rate, 0 if it takes twice as long.
    pub fill: f64,
    /// Share of the time lost to reclaim that frees nothing; `None` where the kernel does not count
    /// it (cgroup v1, PSI off), and the score is the fill alone.
    pub thrash: Option<f64>,
    /// Bytes a second at which new highs are reached; 0 if none are.
    pub growth_bytes_per_second: f64,
    /// Seconds until a new high is out of room at that rate; `None` if nothing grows.
    pub eta_seconds: Option<f64>,
}

/// `fill` of a domain that has `eta_seconds` left: 1 within the horizon, falling to 0 at twice of it.
pub fn fill(eta_seconds: Option<f64>, horizon_seconds: f64) -> f64 {
    eta_seconds.map_or(0.0, |eta| (2.0 - eta / horizon_seconds).clamp(0.0, 1.0))
}

/// `1 - (1 - fill) * (1 - thrash)`: either alone is enough.
pub fn score(fill: f64, thrash: Option<f64>) -> f64 {
    1.0 - (1.0 - fill) * (1.0 - thrash.unwrap_or(0.0))
}

impl Risk {
    /// From what is left and how it goes. `None` as long as no rate is known: the domain has not been
    /// watched for long enough. Without headroom the risk is 1 at once, whatever the rate.
    ///
    /// It is the highs that grow, so it is above them that room is left: a sawtooth is killed at a peak,
    /// however much is free in the trough before.
    pub fn new(room: Room, trend: &Trend, thrash: Option<f64>, horizon: Horizon) -> Option<Self> {
        let rate = trend.growth_bytes_per_second(horizon);
        let eta_seconds = match room.headroom_bytes {
            0 => Some(0.0),
            left => {
                let rate = rate?;
                let above_high = left.saturating_sub(trend.below_high_bytes());
                (rate > 0.0).then(|| above_high as f64 / rate)
            }
        };
        let fill = fill(eta_seconds, horizon.seconds());
        Some(Self {
            score: score(fill, thrash),
            fill,
            thrash,
            growth_bytes_per_second: rate.unwrap_or(0.0),
            eta_seconds,
        })
    }
}
