//! What is known of kernel memory that has no owner: no cause, since it accounts for no byte, but more
//! than nothing.

use super::{TaskRef, processes};
use crate::input::{Facts, Sample};

/// Over the whole window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelHints {
    /// The process that spent most of the time that the target's processes spent in the kernel, if one
    /// did: whoever asked for memory had to be there. A guess, and marked as one.
    pub busiest: Option<TaskRef>,
    /// How many more names the kernel keeps, the whole machine's.
    pub names: Option<NamesChange>,
}

/// Change of the kernel's cache of names, on the whole machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamesChange {
    /// More (or fewer) names.
    pub total: i64,
    /// Of these, names of what does not exist; `None` before 5.0.
    pub negative: Option<i64>,
    /// What the names take, without what else a name keeps: `struct dentry`, in bytes.
    pub bytes: i64,
}

impl KernelHints {
    pub(crate) fn between(before: &Sample, after: &Sample, facts: &Facts) -> Self {
        let names = before.dentries.zip(after.dentries);
        Self {
            busiest: processes::busiest_in_kernel(before, after),
            names: names
                .zip(facts.dentry_bytes)
                .map(|((before, after), each_bytes)| {
                    let change = |before: u64, after: u64| after as i64 - before as i64;
                    let total = change(before.total, after.total);
                    NamesChange {
                        total,
                        negative: (before.negative.zip(after.negative))
                            .map(|(before, after)| change(before, after)),
                        bytes: total.saturating_mul(each_bytes as i64),
                    }
                }),
        }
    }
}
