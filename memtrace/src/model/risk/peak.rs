//! The highest of a recent time, for who looks only now and then, and for what grows by its highs.

use std::collections::VecDeque;

const SECOND_NS: u64 = 1_000_000_000;

/// See the module.
pub type RecentPeak = Highest<f64, { 120 * SECOND_NS }, { 10 * SECOND_NS }>;

/// The highest of the last `SPAN_NS`, remembered by steps: it may be up to a step older.
#[derive(Clone, Debug, Default)]
pub struct Highest<T, const SPAN_NS: u64, const STEP_NS: u64> {
    /// (start of a step, highest in it), oldest first.
    steps: VecDeque<(u64, T)>,
}

impl<T: Copy + PartialOrd, const SPAN_NS: u64, const STEP_NS: u64> Highest<T, SPAN_NS, STEP_NS> {
    /// Learns a value at an instant of the monotonic clock, ns, and tells the highest.
    pub fn learn(&mut self, time_ns: u64, value: T) -> T {
        let higher = |one: T, other: T| if one > other { one } else { other };
        let start = time_ns - time_ns % STEP_NS;
        match self.steps.back_mut() {
            Some((last, highest)) if *last == start => *highest = higher(*highest, value),
            _ => self.steps.push_back((start, value)),
        }
        let too_old = |(start, _): &(u64, T)| time_ns.saturating_sub(*start) > SPAN_NS + STEP_NS;
        while self.steps.front().is_some_and(too_old) {
            self.steps.pop_front();
        }
        self.steps
            .iter()
            .map(|(_, highest)| *highest)
            .fold(value, higher)
    }
}
