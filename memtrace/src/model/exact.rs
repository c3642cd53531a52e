//! Exact mode: what came to and left the target's counters, to the page.

use std::collections::{BTreeMap, BTreeSet};

use super::Names;
use crate::input::{CgroupSample, Sample};

/// One counter's flow between two samples, of the target and everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactChange {
    /// As `memory.stat` names it.
    pub counter: String,
    /// Added, in bytes. Pages that reclaim takes off a list and puts back count here and below.
    pub in_bytes: u64,
    /// Taken, in bytes.
    pub out_bytes: u64,
    /// What `memory.stat` says of the same window, in bytes; `None` where it lacks the counter. It
    /// differs by what the kernel had not flushed.
    pub memory_stat_delta_bytes: Option<i64>,
}

impl ExactChange {
    /// By how much the counter changed.
    pub fn delta_bytes(&self) -> i64 {
        self.in_bytes as i64 - self.out_bytes as i64
    }
}

/// The flows between two samples; `None` if exact mode was off at either.
pub(crate) fn exact_changes(
    before: &Sample,
    after: &Sample,
    names: &Names,
    page_size_bytes: u64,
) -> Option<Vec<ExactChange>> {
    let (first, last) = (totals(before, names)?, totals(after, names)?);
    let counters: BTreeSet<&str> = first.keys().chain(last.keys()).copied().collect();
    let flow =
        |of: &BTreeMap<&str, (u64, u64)>, name: &str| of.get(name).copied().unwrap_or((0, 0));
    let changes = counters.into_iter().map(|name| {
        let (before_flow, after_flow) = (flow(&first, name), flow(&last, name));
        let bytes = |from: u64, to: u64| to.saturating_sub(from).saturating_mul(page_size_bytes);
        let unit_bytes = if is_event(name) { page_size_bytes } else { 1 };
        let stat = |sample: &CgroupSample| Some((level(sample, name)? * unit_bytes) as i64);
        ExactChange {
            counter: name.to_owned(),
            in_bytes: bytes(before_flow.0, after_flow.0),
            out_bytes: bytes(before_flow.1, after_flow.1),
            memory_stat_delta_bytes: stat(&before.cgroup)
                .zip(stat(&after.cgroup))
                .map(|(before, after)| after - before),
        }
    });
    Some(changes.collect())
}

/// (pages in, pages out) of each counter, over the target and the cgroups below it.
fn totals<'a>(sample: &'a Sample, names: &Names) -> Option<BTreeMap<&'a str, (u64, u64)>> {
    let mut totals = BTreeMap::new();
    let exact = sample.exact.as_ref()?;
    for cgroup in exact
        .iter()
        .filter(|of| names.is_member(Some(of.cgroup_id)))
    {
        for flow in &cgroup.flows {
            let total: &mut (u64, u64) = totals.entry(flow.counter.as_str()).or_default();
            total.0 += flow.in_pages;
            total.1 += flow.out_pages;
        }
    }
    Some(totals)
}

/// Whether `memory.stat` counts it in pages, not in bytes (mm/memcontrol.c, `memcg_page_state_unit`).
fn is_event(counter: &str) -> bool {
    counter.starts_with("workingset_")
}

fn level(sample: &CgroupSample, counter: &str) -> Option<u64> {
    let stat = &sample.stat;
    match counter {
        "active_file" => stat.active_file,
        "inactive_file" => stat.inactive_file,
        "file" => stat.file,
        "anon" => stat.anon,
        "shmem" => stat.shmem,
        "pagetables" => stat.pagetables,
        "workingset_refault_file" => stat.workingset_refault_file,
        "workingset_activate_file" => stat.workingset_activate_file,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        input::{ExactCounters, ExactFlow, Instant},
        model::testing,
    };

    fn sample(instant: Instant, flows: &[(u64, &str, u64, u64)]) -> Sample {
        let counters = flows
            .iter()
            .map(|&(cgroup_id, counter, in_pages, out_pages)| ExactCounters {
                cgroup_id,
                flows: vec![ExactFlow {
                    counter: counter.to_owned(),
                    in_pages,
                    out_pages,
                }],
            });
        Sample {
            exact: Some(counters.collect()),
            ..testing::sample(instant, 0)
        }
    }

    #[test]
    fn members_are_summed_and_others_are_not() {
        let mut names = Names::default();
        names.learn_member(testing::TARGET, "/shop");
        names.learn_member(62, "/shop/child");
        let before = sample(Instant::Before, &[(testing::TARGET, "active_file", 10, 4)]);
        let mut after = sample(
            Instant::After,
            &[
                (testing::TARGET, "active_file", 110, 5),
                // Made meanwhile.
                (62, "active_file", 7, 0),
                (999, "active_file", 1_000, 0),
            ],
        );
        let grown = before.cgroup.stat.active_file.map(|bytes| bytes + 4096);
        after.cgroup.stat.active_file = grown;
        let changes = exact_changes(&before, &after, &names, 4096).unwrap();
        let expected = ExactChange {
            counter: "active_file".to_owned(),
            in_bytes: 107 * 4096,
            out_bytes: 4096,
            memory_stat_delta_bytes: Some(4096),
        };
        assert_eq!(changes, [expected]);
        assert_eq!(changes[0].delta_bytes(), 106 * 4096);
    }

    #[test]
    fn refaults_are_counted_in_pages() {
        let mut names = Names::default();
        names.learn_member(testing::TARGET, "/shop");
        let counter = "workingset_refault_file";
        let mut before = sample(Instant::Before, &[]);
        let mut after = sample(Instant::After, &[(testing::TARGET, counter, 3, 0)]);
        before.cgroup.stat.workingset_refault_file = Some(5);
        after.cgroup.stat.workingset_refault_file = Some(8);
        let changes = exact_changes(&before, &after, &names, 4096).unwrap();
        assert_eq!(changes[0].memory_stat_delta_bytes, Some(3 * 4096));
        assert_eq!(changes[0].delta_bytes(), 3 * 4096);
    }

    #[test]
    fn without_exact_mode_there_is_nothing() {
        let before = testing::sample(Instant::Before, 0);
        let after = sample(Instant::After, &[]);
        assert_eq!(
            exact_changes(&before, &after, &Names::default(), 4096),
            None
        );
    }
}
