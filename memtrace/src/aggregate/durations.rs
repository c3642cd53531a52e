//! A histogram of durations in constant memory.

use hdrhistogram::Histogram;

use crate::model::Quantiles;

/// Longer ones are counted as this long: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;
/// Decimal digits kept.
const DIGITS: u8 = 2;

/// Durations in nanoseconds, and their exact sum.
#[derive(Clone, Debug)]
pub(super) struct Durations {
    histogram: Histogram<u64>,
    pub(super) total_ns: u64,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            histogram: Histogram::new_with_bounds(1, LONGEST_NS, DIGITS)
                .expect("the bounds are constants that hdrhistogram accepts"),
            total_ns: 0,
        }
    }
}

impl Durations {
    pub(super) fn record(&mut self, duration_ns: u64) {
        self.histogram.saturating_record(duration_ns);
        self.total_ns = self.total_ns.saturating_add(duration_ns);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.histogram
            .add(&other.histogram)
            .expect("both have the same bounds");
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        Quantiles::from(&self.histogram)
    }
}
