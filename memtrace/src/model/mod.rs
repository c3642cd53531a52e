//! The pure model: samples and counted events in, an [`Explanation`] out.
//!
//! Nothing here does I/O or looks at a clock, so the same inputs give the same answer, live or
//! replayed. Every layer closes with what it could not explain: the ledger with a residual next to
//! its error bound, each component with an unattributed remainder.

mod causes;
mod component;
mod error_bound;
mod explanation;
mod ledger;
mod names;
pub mod oom;
mod processes;
mod runs;
mod trust;
mod verdict;
mod views;
mod warning;
pub(crate) mod words;

#[cfg(test)]
pub(crate) mod testing;

pub use self::{
    causes::{Cause, CauseKind, Rest, Traffic, capped},
    component::{Component, ComponentName, Reclaimable},
    error_bound::ErrorBound,
    explanation::{
        Explanation, OomKill, Peak, Phase, PhaseName, Reclaim, ReclaimGroup, RunOutcome, WorkingSet,
    },
    ledger::{Ledger, fit_together},
    names::{CgroupRef, FileRef, TaskRef},
    runs::{RunKey, RunSum, RunTable},
    trust::{HookTrust, Quantiles, Trust},
    verdict::{Rule, Sentence, Verdict},
    views::{OomCount, ViewName, ViewRole, ViewStep, Views},
    warning::Warning,
};
pub(crate) use self::{
    causes::{foreign_use, page_cache_traffic},
    ledger::Evidence,
    names::Names,
    trust::TrustInputs,
    warning::warnings,
};
