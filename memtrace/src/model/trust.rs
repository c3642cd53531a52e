//! How far the answer can be trusted: what was lost, what was never seen.

use super::Warning;
use crate::input::{HookCounters, HookOutcome};

/// Quantiles of durations, in nanoseconds. The histogram behind them keeps two decimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// How many durations.
    pub count: u64,
    /// Median.
    pub p50_ns: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// One hook's own account of itself.
pub type HookTrust = HookCounters;

/// What was lost, what is missing, and how late the events came. Counters run from the moment the
/// hooks were attached to the last sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Trust {
    /// Records lost and hook calls that the kernel skipped, all hooks.
    pub events_lost: u64,
    /// Pages that the hooks put into runs.
    pub pages_produced: u64,
    /// Pages that arrived, whoever they belong to.
    pub pages_seen: u64,
    /// Pages in lost runs.
    pub pages_lost: u64,
    /// Each hook's counters.
    pub hooks: Vec<HookTrust>,
    /// Every signal, attached or not.
    pub signals: Vec<HookOutcome>,
    /// From sending a run to reading it.
    pub delivery_delay: Quantiles,
    /// From the first page of a run to reading the run.
    pub event_delay: Quantiles,
    /// Everything that weakens the answer.
    pub warnings: Vec<Warning>,
}

/// What [`Trust`] is made from.
pub(crate) struct TrustInputs<'a> {
    pub(crate) hooks: &'a [HookCounters],
    pub(crate) signals: &'a [HookOutcome],
    pub(crate) pages_seen: u64,
    pub(crate) delivery_delay: Quantiles,
    pub(crate) event_delay: Quantiles,
}

impl Trust {
    pub(crate) fn new(inputs: TrustInputs<'_>) -> Self {
        let TrustInputs {
            hooks,
            signals,
            pages_seen,
            delivery_delay,
            event_delay,
        } = inputs;
        let sum = |of: fn(&HookCounters) -> u64| hooks.iter().map(of).sum::<u64>();
        Self {
            events_lost: sum(|h| h.records_lost) + sum(|h| h.recursion_misses),
            pages_produced: sum(|h| h.pages_produced),
            pages_seen,
            pages_lost: sum(|h| h.pages_lost),
            hooks: hooks.to_vec(),
            signals: signals.to_vec(),
            delivery_delay,
            event_delay,
            warnings: Vec::new(),
        }
    }

    /// Pages produced that neither arrived nor were lost.
    pub fn pages_unsent(&self) -> u64 {
        let accounted = self.pages_seen.saturating_add(self.pages_lost);
        self.pages_produced.saturating_sub(accounted)
    }

    /// Signals without a hook that the answer needs.
    pub fn missing(&self) -> impl Iterator<Item = &HookOutcome> {
        self.signals
            .iter()
            .filter(|signal| signal.attached.is_none() && !signal.optional)
    }
}
