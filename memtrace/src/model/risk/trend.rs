//! How fast a domain reaches new highs.

use std::collections::VecDeque;

use super::{Horizon, high_water::HighWater, peak::Highest};

const SECOND_NS: u64 = 1_000_000_000;
/// Windows over which growth is looked at.
const WINDOWS_NS: [u64; 3] = [30 * SECOND_NS, 300 * SECOND_NS, LONGEST_NS];
const LONGEST_NS: u64 = 3_600 * SECOND_NS;
/// Highs older than the fine ones are kept by this step.
const STEP_NS: u64 = 10 * SECOND_NS;
/// What the older ones are counted in: the smallest page of all machines.
const UNIT_BYTES: u64 = 4_096;
/// Fine samples are kept for this long,
const FINE_NS: u64 = 40 * SECOND_NS;
/// and no more of them than this.
const MAX_FINE: usize = 64;
/// Each window is looked at in parts.
const PARTS: u64 = 3;
/// Over the longest window the mean of the parts counts, up to so many times what they have in common.
const MOST_OVER_STEADY: f64 = 1.5;
/// A forecast looks back for at least this share of what it looks ahead.
const LOOK_BACK: f64 = 1.0 / 3.0;

/// Highest in the last hour, by ten minutes.
type HourHigh = Highest<u64, { 3_600 * SECOND_NS }, { 600 * SECOND_NS }>;

/// What was pinned in the last hour, as far as highs are concerned.
#[derive(Clone, Debug, Default)]
pub struct Trend {
    /// First sample since the last [`Trend::forget`].
    since_ns: Option<u64>,
    /// (time, bytes), oldest first.
    fine: VecDeque<(u64, u64)>,
    /// The same by [`STEP_NS`] and [`UNIT_BYTES`], for an hour.
    high_water: HighWater,
    /// Growth over each of [`WINDOWS_NS`] as of the last sample, bytes a second; `None` of those that
    /// the domain has not been watched for.
    growth: [Option<f64>; 3],
    /// Of what no writeback frees.
    lasting_high: HourHigh,
    /// How far below it the last sample is.
    below_high_bytes: u64,
}

impl Trend {
    /// Learns what is pinned at an instant of the monotonic clock, ns, and how much of that waits for
    /// writeback.
    pub fn learn(&mut self, time_ns: u64, pinned_bytes: u64, unwritten_bytes: u64) {
        let since_ns = *self.since_ns.get_or_insert(time_ns);
        self.fine.push_back((time_ns, pinned_bytes));
        let too_old = |(at, _): &(u64, u64)| time_ns.saturating_sub(*at) > FINE_NS;
        while self.fine.len() > MAX_FINE || self.fine.front().is_some_and(too_old) {
            self.fine.pop_front();
        }
        let pinned = u32::try_from(pinned_bytes / UNIT_BYTES).unwrap_or(u32::MAX);
        self.high_water.learn((time_ns / STEP_NS) as u32, pinned);
        let lasting_bytes = pinned_bytes.saturating_sub(unwritten_bytes);
        let high_bytes = self.lasting_high.learn(time_ns, lasting_bytes);
        self.below_high_bytes = high_bytes.saturating_sub(lasting_bytes);
        let age_ns = time_ns.saturating_sub(since_ns);
        self.growth =
            WINDOWS_NS.map(|window| (window <= age_ns).then(|| self.over(time_ns, window)));
    }

    /// Starts anew: after a kill, what was high is no measure of what is to come.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// The fastest growth over the windows that are long enough for a horizon, bytes a second; `None`
    /// until the domain has been watched for one of them.
    ///
    /// The growth over a window is the median of the rates at which the high-water line of an hour
    /// rose in each third of it, and no more than in the last third: a line that rises all the time
    /// counts in full, a sawtooth only by what each peak surpasses the one before, one step, however
    /// high, not at all, and what has stopped growing is over a third of a window later. Over the hour
    /// it is the mean of the thirds, if that is more, up to half more: where a third holds one step and
    /// a bit, two of three hold one. Steps closer together than that are many in the hour.
    pub fn growth_bytes_per_second(&self, horizon: Horizon) -> Option<f64> {
        let least_ns = horizon.seconds() * LOOK_BACK * SECOND_NS as f64;
        let windows = WINDOWS_NS.iter().zip(self.growth);
        windows
            .filter(|(window, _)| **window as f64 >= least_ns)
            .filter_map(|(_, growth)| growth)
            .reduce(f64::max)
    }

    /// How far the highest of the last hour lies above the last sample, bytes: what a sawtooth in its
    /// trough will take again before it reaches a new high. Of what no writeback frees: dirty pages may
    /// fill the limit again and again, and nobody is killed for them.
    pub fn below_high_bytes(&self) -> u64 {
        self.below_high_bytes
    }

    fn over(&self, now_ns: u64, window_ns: u64) -> f64 {
        let part_ns = window_ns / PARTS;
        let edges = [3, 2, 1, 0].map(|parts| self.high_water(now_ns - parts * part_ns));
        let rate = |from: u64, to: u64, time_ns: u64| {
            to.saturating_sub(from) as f64 * SECOND_NS as f64 / time_ns as f64
        };
        let latest = rate(edges[2], edges[3], part_ns);
        let mut rates = [
            rate(edges[0], edges[1], part_ns),
            rate(edges[1], edges[2], part_ns),
            latest,
        ];
        rates.sort_by(f64::total_cmp);
        let steady = rates[1].min(latest);
        if window_ns != LONGEST_NS {
            return steady;
        }
        let mean = rate(edges[0], edges[3], window_ns);
        steady.max(mean.min(steady * MOST_OVER_STEADY))
    }

    /// The highest in the hour before an instant: to the second as far back as the fine samples
    /// reach, else up to the last whole step.
    fn high_water(&self, at_ns: u64) -> u64 {
        let bytes = |units: u32| u64::from(units) * UNIT_BYTES;
        // Before the first step ends nothing is known but itself.
        let coarse = self.high_water.before((at_ns / STEP_NS) as u32);
        let until = self.fine.iter().take_while(|(time, _)| *time <= at_ns);
        let highest = until.map(|(_, bytes)| *bytes);
        match (highest.fold(coarse.map_or(0, bytes), u64::max), coarse) {
            (0, None) => bytes(self.high_water.first()),
            (highest, _) => highest,
        }
    }
}
