//! What was lost, what was never seen, how late it came.

use serde::Serialize;

use crate::{
    input::{HookCounters, HookOutcome},
    model::{Quantiles, Trust, Warning},
    view::time::seconds,
};

#[derive(Serialize)]
pub(super) struct TrustJson<'a> {
    events_lost: u64,
    pages_produced: u64,
    pages_seen: u64,
    pages_lost: u64,
    pages_unsent: u64,
    hooks_missing: Vec<&'a str>,
    signals: Vec<SignalJson<'a>>,
    hooks: Vec<HookJson<'a>>,
    delivery_delay: QuantilesJson,
    event_delay: QuantilesJson,
    warnings: Vec<WarningJson>,
}

#[derive(Serialize)]
struct SignalJson<'a> {
    signal: &'a str,
    attached: Option<&'a str>,
    optional: bool,
    cost: &'a str,
    refused: Vec<RefusedJson<'a>>,
}

#[derive(Serialize)]
struct RefusedJson<'a> {
    hook: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct HookJson<'a> {
    hook: &'a str,
    pages_produced: u64,
    pages_lost: u64,
    records_sent: u64,
    records_lost: u64,
    recursion_misses: u64,
}

/// Quantiles are null where nothing was measured.
#[derive(Serialize)]
pub(super) struct QuantilesJson {
    count: u64,
    p50_seconds: Option<f64>,
    p90_seconds: Option<f64>,
    p99_seconds: Option<f64>,
    max_seconds: Option<f64>,
}

#[derive(Serialize)]
struct WarningJson {
    id: &'static str,
    message: String,
}

impl<'a> From<&'a Trust> for TrustJson<'a> {
    fn from(trust: &'a Trust) -> Self {
        Self {
            events_lost: trust.events_lost,
            pages_produced: trust.pages_produced,
            pages_seen: trust.pages_seen,
            pages_lost: trust.pages_lost,
            pages_unsent: trust.pages_unsent(),
            hooks_missing: trust.missing().map(|s| s.signal.as_str()).collect(),
            signals: trust.signals.iter().map(SignalJson::from).collect(),
            hooks: trust.hooks.iter().map(HookJson::from).collect(),
            delivery_delay: QuantilesJson::from(trust.delivery_delay),
            event_delay: QuantilesJson::from(trust.event_delay),
            warnings: trust.warnings.iter().map(WarningJson::from).collect(),
        }
    }
}

impl<'a> From<&'a HookOutcome> for SignalJson<'a> {
    fn from(outcome: &'a HookOutcome) -> Self {
        let refused = outcome.refused.iter();
        Self {
            signal: &outcome.signal,
            attached: outcome.attached.as_deref(),
            optional: outcome.optional,
            cost: &outcome.cost,
            refused: refused
                .map(|(hook, reason)| RefusedJson { hook, reason })
                .collect(),
        }
    }
}

impl<'a> From<&'a HookCounters> for HookJson<'a> {
    fn from(counters: &'a HookCounters) -> Self {
        let HookCounters {
            hook,
            pages_produced,
            pages_lost,
            records_sent,
            records_lost,
            recursion_misses,
        } = counters;
        Self {
            hook,
            pages_produced: *pages_produced,
            pages_lost: *pages_lost,
            records_sent: *records_sent,
            records_lost: *records_lost,
            recursion_misses: *recursion_misses,
        }
    }
}

impl From<Quantiles> for QuantilesJson {
    fn from(quantiles: Quantiles) -> Self {
        let known = |ns: u64| (quantiles.count > 0).then(|| seconds(ns));
        Self {
            count: quantiles.count,
            p50_seconds: known(quantiles.p50_ns),
            p90_seconds: known(quantiles.p90_ns),
            p99_seconds: known(quantiles.p99_ns),
            max_seconds: known(quantiles.max_ns),
        }
    }
}

impl From<&Warning> for WarningJson {
    fn from(warning: &Warning) -> Self {
        Self {
            id: warning.id(),
            message: warning.to_string(),
        }
    }
}
