//! The OOM killer's choice, reckoned as the kernel reckons it: the same integers, the same order,
//! the same exceptions. Pure, as all of the model.
//!
//! A *domain* is what can run out: a cgroup with a limit, or the machine. In each one the same
//! process has other points, since `oom_score_adj` is scaled by the domain's size.

mod advice;
mod badness;
mod confidence;
mod crosscheck;
mod eligible;
mod fallen;
mod forecast;
mod foretold;
mod growth;
mod kills;
mod limit;
mod predict;
mod report;
mod risk;
mod scan;
mod sizing;
mod stalls;
mod standing;
mod story;
mod table;
mod totalpages;
mod tree;
mod window;

#[cfg(test)]
pub(crate) mod tests;

pub use self::{
    advice::{AdjChange, NotTheBiggest},
    badness::{Badness, OOM_SCORE_ADJ_MIN, badness},
    crosscheck::Difference,
    eligible::{Ineligible, Turn, turn},
    fallen::Why,
    forecast::{AlsoKilled, Confidence, DomainForecast, DomainKind, Forecast, Outcome, Prediction},
    foretold::{Cause, Foretold, Held, Prophecy},
    growth::{Fill, Room},
    kills::Kills,
    limit::{Limit, Owner, Told},
    predict::{predict, predict_domain},
    report::{Judged, KillReport},
    risk::Risk,
    scan::Candidate,
    sizing::{Earlier, Growth, Sizing},
    stalls::{Stalled, Waits},
    standing::pinned_share,
    story::{Fate, KillStory},
    table::{Row, Table, TableSource},
    window::{AtKill, PARTS, Waited, Window, part},
};
