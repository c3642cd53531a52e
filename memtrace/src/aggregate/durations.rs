//! A histogram of durations in constant memory.

use hdrhistogram::Histogram;

use crate::model::Quantiles;

/// Longer ones are counted as this long: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;
/// Decimal digits kept.
const DIGITS: u8 = 2;

/// Durations in nanoseconds, their exact sum and maximum.
#[derive(Clone, Debug)]
pub(super) struct Durations {
    histogram: Histogram<u64>,
    pub(super) total_ns: u64,
    max_ns: u64,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            histogram: Histogram::new_with_bounds(1, LONGEST_NS, DIGITS)
                .expect("the bounds are constants that hdrhistogram accepts"),
            total_ns: 0,
            max_ns: 0,
        }
    }
}

impl Durations {
    pub(super) fn record(&mut self, duration_ns: u64) {
        self.histogram.saturating_record(duration_ns);
        self.max_ns = self.max_ns.max(duration_ns);
        self.total_ns = self.total_ns.saturating_add(duration_ns);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.histogram
            .add(&other.histogram)
            .expect("both have the same bounds");
        self.max_ns = self.max_ns.max(other.max_ns);
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        // A bucket's upper edge may lie above every duration in it.
        let at = |quantile| self.histogram.value_at_quantile(quantile).min(self.max_ns);
        Quantiles {
            count: self.histogram.len(),
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            max_ns: self.max_ns,
        }
    }
}
