//! What people and programs read. Views render an [`Explanation`](crate::model::Explanation) and
//! look at nothing else.

pub mod agent;
pub mod json;
pub mod metrics;
pub mod oom;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod past;
pub mod text;
mod time;

#[cfg(test)]
mod tests;
