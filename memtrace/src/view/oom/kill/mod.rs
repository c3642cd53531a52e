//! `oom watch`: one kill, for people and for programs.

mod candidates;
mod foretold;
mod gfp;
mod json;
mod memory;
mod text;

pub(super) use self::text::{Rows, labelled, lines};
pub use self::{json::render as json, json::value, text::render as text};
use crate::{
    input::{OomConstraint, OomWatchFacts},
    model::oom::KillStory,
    view::time::rfc3339,
};

fn time(story: &KillStory, facts: &OomWatchFacts) -> String {
    let ns = story.report.time_ns;
    rfc3339(ns.saturating_add_signed(facts.realtime_minus_monotonic_ns))
}

fn constraint_id(constraint: Option<OomConstraint>) -> &'static str {
    match constraint {
        Some(OomConstraint::None) => "none",
        Some(OomConstraint::Cpuset) => "cpuset",
        Some(OomConstraint::MemoryPolicy) => "memory_policy",
        Some(OomConstraint::Memcg) => "memcg",
        None => "unknown",
    }
}
