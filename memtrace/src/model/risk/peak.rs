//! The highest value of the last two minutes, for who looks only now and then.

use std::collections::VecDeque;

const WINDOW_NS: u64 = 120_000_000_000;
const STEP_NS: u64 = 10_000_000_000;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct RecentPeak {
    /// (start of its ten seconds, highest in them), oldest first.
    steps: VecDeque<(u64, f64)>,
}

impl RecentPeak {
    /// Learns a value and tells the peak, which may be up to ten seconds older than two minutes.
    pub fn learn(&mut self, time_ns: u64, value: f64) -> f64 {
        let start = time_ns - time_ns % STEP_NS;
        match self.steps.back_mut() {
            Some((last, highest)) if *last == start => *highest = highest.max(value),
            _ => self.steps.push_back((start, value)),
        }
        while self
            .steps
            .front()
            .is_some_and(|(start, _)| time_ns.saturating_sub(*start) > WINDOW_NS + STEP_NS)
        {
            self.steps.pop_front();
        }
        self.steps
            .iter()
            .map(|(_, value)| *value)
            .fold(0.0, f64::max)
    }
}
