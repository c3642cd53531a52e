//! What was, from the samples that the agent has kept: `memtrace explain TARGET --since --until`.
//!
//! The agent reads each watched cgroup every second and keeps one [`Row`] a minute. A row has sizes and
//! counts, and nothing of files and processes: an answer made of rows says how each part went, and says
//! that it cannot say who did it. Pure, as all of the model.

mod answer;
mod instant;
mod question;
mod row;
mod subject;

#[cfg(test)]
mod tests;

pub use self::{
    answer::{
        Course, Gap, LimitChange, PartCourse, Past, PastKill, PastOf, Reclaimed, RiskPeak, Stalls,
        past_of,
    },
    instant::Instant,
    question::{Question, Span, answer, kills_of, reported_at},
    row::{Count, Gauge, Row, Share, Size},
    subject::{Subject, Target},
};
