//! The OOM killer's choice, reckoned as the kernel reckons it: the same integers, the same order,
//! the same exceptions. Pure, as all of the model.
//!
//! A *domain* is what can run out: a cgroup with a limit, or the machine. In each one the same
//! process has other points, since `oom_score_adj` is scaled by the domain's size.

mod advice;
mod badness;
mod eligible;
mod fallen;
mod growth;
mod predict;
mod report;
mod risk;
mod scan;
mod totalpages;
mod tree;

#[cfg(test)]
mod tests;

pub use self::{
    advice::{AdjChange, NotTheBiggest},
    badness::{Badness, OOM_SCORE_ADJ_MIN, badness},
    eligible::{Ineligible, Turn, turn},
    fallen::Why,
    growth::{Fill, Room},
    predict::{
        AlsoKilled, Confidence, DomainForecast, DomainKind, Forecast, Outcome, Prediction, predict,
    },
    report::{Judged, KillReport, Kills},
    risk::Risk,
    scan::Candidate,
};
