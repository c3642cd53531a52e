//! What is known of kernel memory without an owner.

use serde::Serialize;

use super::cause::TaskJson;
use crate::model::KernelHints;

#[derive(Serialize)]
pub(super) struct KernelHintsJson<'a> {
    busiest_in_kernel: Option<TaskJson<'a>>,
    machine_dentries: Option<DentriesJson>,
}

#[derive(Serialize)]
struct DentriesJson {
    delta: i64,
    negative_delta: Option<i64>,
    delta_bytes: i64,
}

impl<'a> From<&'a KernelHints> for KernelHintsJson<'a> {
    fn from(hints: &'a KernelHints) -> Self {
        Self {
            busiest_in_kernel: hints.busiest.as_ref().map(TaskJson::from),
            machine_dentries: hints.names.map(|names| DentriesJson {
                delta: names.total,
                negative_delta: names.negative,
                delta_bytes: names.bytes,
            }),
        }
    }
}
