//! The pure model: samples and counted events in, an [`Explanation`] out.
//!
//! Nothing here does I/O or looks at a clock, so the same inputs give the same answer, live or
//! replayed. Every layer closes with what it could not explain: the ledger with a residual next to
//! its error bound, each component with an unattributed remainder.

mod causes;
mod children;
mod comeback;
mod component;
mod error_bound;
mod exact;
mod explanation;
mod hints;
mod ledger;
mod names;
pub mod oom;
pub mod past;
mod pathless;
mod processes;
mod reclaim;
pub mod risk;
mod runs;
mod trust;
mod unmapped;
mod verdict;
mod views;
mod warning;
pub(crate) mod words;

#[cfg(test)]
pub(crate) mod testing;

pub use self::{
    causes::{Cause, CauseKind, Held, Rest, Traffic, capped},
    children::{Child, Children},
    comeback::Comeback,
    component::{Component, ComponentName, Reclaimable},
    error_bound::ErrorBound,
    exact::ExactChange,
    explanation::{Explanation, OomKill, Peak, Phase, PhaseName, Refaults, RunOutcome, WorkingSet},
    hints::{KernelHints, NamesChange},
    ledger::{Ledger, fit_together},
    names::{CgroupRef, FileRef, TaskRef},
    pathless::Pathless,
    reclaim::{Eviction, Reclaim, ReclaimGroup, Refaulted, Shrinking, Stalled},
    runs::{RunKey, RunSum, RunTable, Summed},
    trust::{HookTrust, Quantiles, Trust},
    verdict::{Rule, Sentence, Verdict},
    views::{OomCount, ViewName, ViewRole, ViewStep, Views},
    warning::Warning,
};
pub(crate) use self::{
    causes::{foreign_use, page_cache_traffic, used_elsewhere},
    exact::exact_changes,
    ledger::{Evidence, levels},
    names::Names,
    reclaim::{evictions, refaulted, shrinkings},
    trust::TrustInputs,
    warning::warnings,
};
