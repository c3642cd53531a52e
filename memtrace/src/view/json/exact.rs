//! Exact mode's flows.

use serde::Serialize;

use crate::model::ExactChange;

#[derive(Serialize)]
pub(super) struct ExactJson<'a> {
    counter: &'a str,
    delta_bytes: i64,
    in_bytes: u64,
    out_bytes: u64,
    memory_stat_delta_bytes: Option<i64>,
}

impl<'a> From<&'a ExactChange> for ExactJson<'a> {
    fn from(change: &'a ExactChange) -> Self {
        Self {
            counter: &change.counter,
            delta_bytes: change.delta_bytes(),
            in_bytes: change.in_bytes,
            out_bytes: change.out_bytes,
            memory_stat_delta_bytes: change.memory_stat_delta_bytes,
        }
    }
}
