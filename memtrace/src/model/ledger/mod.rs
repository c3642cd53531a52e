//! The change of a working set, split into components, each split into causes.

use std::collections::BTreeMap;

use super::{
    Cause, Component, ComponentName, ErrorBound, Names, Reclaimable, RunTable, WorkingSet, causes,
    processes, unmapped,
};
use crate::input::{CgroupSample, Facts, LruKind, Sample, StatError};

/// Why a working set changed, closed to the byte:
/// `working_set.delta = sum of components' deltas + unexplained`, and for each component
/// `delta = sum of its causes + unattributed`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    /// Every component known at both ends, in a fixed order. One that cannot be known is absent.
    pub components: Vec<Component>,
    /// Causes, by component, the largest first.
    pub causes: Vec<Cause>,
    /// The residual, in bytes; `None` if the working set is not known at both ends.
    pub unexplained_bytes: Option<i64>,
    /// How large it may honestly be; `None` if that is unknown.
    pub error_bound: Option<ErrorBound>,
}

/// What a ledger is made from, besides the two samples.
pub(crate) struct Evidence<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) names: &'a Names,
    /// Runs between the two samples.
    pub(crate) runs: &'a RunTable,
}

impl Ledger {
    pub(crate) fn between(before: &Sample, after: &Sample, evidence: &Evidence<'_>) -> Self {
        let page_size_bytes = evidence.facts.page_size_bytes;
        let mut components = components(&before.cgroup, &after.cgroup);
        let counts_pagetables = counts_pagetables(&components, before, after);
        components.retain(|c| c.name != ComponentName::Pagetables || counts_pagetables);
        components.extend(pagetables_of_processes(before, after));
        components.sort_by_key(|component| component.name);
        let working_set = WorkingSet::between(&before.cgroup, &after.cgroup);
        let unexplained_bytes = working_set
            .delta_bytes()
            .map(|delta| delta - components.iter().map(Component::delta_bytes).sum::<i64>());

        let mut found = Vec::new();
        for component in &mut components {
            let mut causes = match component.name {
                ComponentName::ActiveFile if evidence.facts.lru == LruKind::Classic => {
                    causes::active_file(component.delta_bytes(), before, after, evidence)
                }
                ComponentName::Shmem => causes::shmem(evidence),
                ComponentName::Anon => processes::anon(before, after, evidence),
                ComponentName::KernelOther if counts_pagetables => Vec::new(),
                name @ (ComponentName::Pagetables | ComponentName::KernelOther) => {
                    processes::pagetables(name, before, after, evidence)
                }
                ComponentName::KernelStack => processes::kernel_stack(before, after, evidence),
                ComponentName::Sock => processes::sock(before, after, evidence),
                ComponentName::Kernel => processes::kernel(before, after, evidence),
                _ => Vec::new(),
            };
            causes::largest_first(&mut causes);
            component.unattributed_bytes =
                component.delta_bytes() - causes.iter().map(|cause| cause.bytes).sum::<i64>();
            found.append(&mut causes);
        }
        Self {
            components,
            causes: found,
            unexplained_bytes,
            error_bound: ErrorBound::between(
                &before.cgroup,
                &after.cgroup,
                evidence.facts.stat_error,
                page_size_bytes,
            ),
        }
    }

    /// The component `name`, if it is known.
    pub fn component(&self, name: ComponentName) -> Option<&Component> {
        self.components.iter().find(|c| c.name == name)
    }

    /// The causes of component `name`, the largest first.
    pub fn causes_of(&self, name: ComponentName) -> impl Iterator<Item = &Cause> {
        self.causes.iter().filter(move |c| c.component == name)
    }
}

/// Whether two readings fit together: what the components leave of the change of the working set is
/// within its bound. `None` if that cannot be known.
///
/// They do not fit if one was taken while a process was torn down: its pages leave `anon` when they
/// are unmapped, but stay charged until their batch is freed, up to 10,000 pages later
/// (mm/mmu_gather.c, `MAX_GATHER_BATCH_COUNT`). Such a reading is of no one instant.
pub fn fit_together(
    before: &CgroupSample,
    after: &CgroupSample,
    error: StatError,
    page_size_bytes: u64,
) -> Option<bool> {
    let delta = WorkingSet::between(before, after).delta_bytes()?;
    let parts: i64 = components(before, after)
        .iter()
        .map(Component::delta_bytes)
        .sum();
    let bound = ErrorBound::between(before, after, error, page_size_bytes)?;
    Some((delta - parts).unsigned_abs() <= bound.total_bytes())
}

/// Whether `memory.stat` counts page tables. A kernel that has the key need not keep it: 6.18 charges
/// them, but counts them for the node alone (include/linux/mm.h, `__pagetable_ctor`), so that they are in
/// `kernel` and in no part of it. A count of 0 at both ends knows nothing of those that processes have.
fn counts_pagetables(components: &[Component], before: &Sample, after: &Sample) -> bool {
    let counted = components
        .iter()
        .find(|component| component.name == ComponentName::Pagetables)
        .is_none_or(|tables| tables.before_bytes != 0 || tables.after_bytes != 0);
    let mut tasks = [before, after].into_iter().filter_map(|s| s.tasks.as_ref());
    counted || !tasks.any(|tasks| tasks.iter().any(|task| task.pagetable_bytes > 0))
}

/// Page tables where no counter of the cgroup has them, though they are charged: 5.10's v2 knows neither
/// `pagetables` nor `kernel`. What the processes have (`mm_struct.pgtables_bytes`) stands for them.
/// `None` if they are counted, or if usage has no room for them: then no kernel memory is charged
/// (`cgroup.memory=nokmem`).
fn pagetables_of_processes(before: &Sample, after: &Sample) -> Option<Component> {
    let bytes = |sample: &Sample| {
        let CgroupSample {
            stat, kmem_bytes, ..
        } = &sample.cgroup;
        if stat.pagetables.or(stat.kernel).or(*kmem_bytes).is_some() {
            return None;
        }
        let tasks = sample.tasks.as_ref()?;
        let bytes: u64 = tasks.iter().map(|task| task.pagetable_bytes).sum();
        Some(bytes as i64)
    };
    let is_charged = |sample: &Sample, bytes: i64| {
        let known: i64 = levels(&sample.cgroup).values().sum();
        let working_set = sample.cgroup.working_set_bytes();
        bytes > 0 && working_set.is_some_and(|all| (all as i64 - known) >= bytes / 2)
    };
    let (before_bytes, after_bytes) = (bytes(before)?, bytes(after)?);
    let charged = is_charged(before, before_bytes) || is_charged(after, after_bytes);
    charged.then_some(Component {
        name: ComponentName::Pagetables,
        before_bytes,
        after_bytes,
        reclaimable: Reclaimable::No,
        unattributed_bytes: after_bytes - before_bytes,
    })
}

/// The components known at both ends, with nothing attributed yet.
pub(crate) fn components(before: &CgroupSample, after: &CgroupSample) -> Vec<Component> {
    let ends = levels(after);
    levels(before)
        .into_iter()
        .filter_map(|(name, before_bytes)| {
            let after_bytes = *ends.get(&name)?;
            Some(Component {
                name,
                before_bytes,
                after_bytes,
                reclaimable: Reclaimable::of(name, after),
                unattributed_bytes: after_bytes - before_bytes,
            })
        })
        .collect()
}

/// Size of each component of the working set at one instant, in bytes.
pub(crate) fn levels(sample: &CgroupSample) -> BTreeMap<ComponentName, i64> {
    use ComponentName as C;
    let stat = &sample.stat;
    let mut levels = BTreeMap::new();
    let mut known = |name, bytes: Option<u64>| {
        if let Some(bytes) = bytes {
            levels.insert(name, bytes as i64);
        }
    };
    known(C::ActiveFile, stat.active_file);
    known(C::Anon, stat.anon);
    known(C::LruUnmapped, unmapped::beside_swap_cache_bytes(sample));
    known(C::Shmem, stat.shmem);
    known(C::Sock, stat.sock);
    known(C::Hugetlb, stat.hugetlb);

    let pagetables = stat
        .pagetables
        // A kernel without `sec_pagetables` does not charge any.
        .map(|bytes| bytes + stat.sec_pagetables.unwrap_or(0));
    let kernel_parts = [
        (C::SlabReclaimable, stat.slab_reclaimable),
        (C::SlabUnreclaimable, stat.slab_unreclaimable),
        (C::KernelStack, stat.kernel_stack),
        (C::Pagetables, pagetables),
        (C::Percpu, stat.percpu),
        (C::Vmalloc, stat.vmalloc),
        (C::Zswap, stat.zswap),
    ];
    let mut named_bytes = 0;
    let mut named = false;
    for (name, bytes) in kernel_parts {
        known(name, bytes);
        named |= bytes.is_some();
        named_bytes += bytes.unwrap_or(0) as i64;
    }

    // `file` counts shmem too, though shmem's pages live on the anon lists
    // (mm/vmscan.c, `folio_is_file_lru`; mm/shmem.c, `shmem_update_stats`).
    if let (Some(file), Some(shmem), Some(active), Some(inactive)) =
        (stat.file, stat.shmem, stat.active_file, stat.inactive_file)
    {
        let other = file as i64 - shmem as i64 - active as i64 - inactive as i64;
        levels.insert(C::FileOther, other);
    }
    // `kernel` contains every part above (mm/memcontrol.c, `MEMCG_KMEM`); without it the parts
    // stand for themselves and what they miss goes to the residual.
    if let Some(kernel) = stat.kernel.or(sample.kmem_bytes) {
        let name = if named { C::KernelOther } else { C::Kernel };
        levels.insert(name, kernel as i64 - named_bytes);
    }
    levels
}

#[cfg(test)]
mod tests;
