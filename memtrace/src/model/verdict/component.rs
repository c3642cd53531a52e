//! Why one component changed, in half a sentence, and what to do about it.

use super::{Rule, Sentence, active_file, kernel, sentence, subject::Subject};
use crate::{
    input::LruKind,
    model::{
        Cause, CauseKind, Component, ComponentName, Explanation, FileRef, Pathless, Phase,
        PhaseName, Reclaimable,
        words::{mib, process},
    },
};

/// The component that moved most in the direction of the working set, then the others by size.
pub(super) fn ranked(phase: &Phase) -> Vec<&Component> {
    let fell = phase.working_set.delta_bytes().is_some_and(|d| d < 0);
    let mut components: Vec<_> = phase.ledger.components.iter().collect();
    components.sort_by_key(|c| std::cmp::Reverse(c.delta_bytes().unsigned_abs()));
    let leader = components
        .iter()
        .position(|c| c.delta_bytes() != 0 && (c.delta_bytes() < 0) == fell);
    match leader {
        Some(index) => components[..=index].rotate_right(1),
        None => components.clear(),
    }
    components
}

/// What stands behind the change of the working set.
pub(super) fn why(phase: &Phase, explanation: &Explanation) -> (Rule, String) {
    let residual = phase.ledger.unexplained_bytes.unwrap_or(0);
    let fell = phase.working_set.delta_bytes().is_some_and(|d| d < 0);
    match ranked(phase).first() {
        Some(first)
            if (residual < 0) != fell
                || first.delta_bytes().unsigned_abs() >= residual.unsigned_abs() =>
        {
            why_component(first, phase, explanation)
        }
        _ => {
            let text = format!(
                "{} MiB is in no part that the kernel's counters tell",
                mib(residual)
            );
            (Rule::Residual, text)
        }
    }
}

/// What stands behind the change of one component.
pub(super) fn why_component(
    component: &Component,
    phase: &Phase,
    explanation: &Explanation,
) -> (Rule, String) {
    let causes: Vec<&Cause> = phase.ledger.causes_of(component.name).collect();
    let delta = component.delta_bytes();
    let multi_gen = explanation.facts.lru == LruKind::MultiGen;
    match component.name {
        ComponentName::ActiveFile if multi_gen => (
            Rule::MultiGen,
            active_file::multi_gen(component, phase, explanation),
        ),
        _ if attributed_bytes(component) < delta.unsigned_abs() / 2
            && !component.name.is_kernel()
            && !matches!(
                component.name,
                ComponentName::FileOther | ComponentName::Hugetlb | ComponentName::LruUnmapped
            ) =>
        {
            let text = format!(
                "{} MiB {} {}, through whom is not known; {}",
                mib(delta.abs()),
                is_or_was(delta),
                plain_name(component.name),
                comes_back(component)
            );
            (Rule::Unattributed, trim(delta, text))
        }
        ComponentName::ActiveFile => active_file::classic(component, &causes),
        ComponentName::Anon => anon(component, &causes),
        ComponentName::Shmem => (Rule::Shmem, shmem(component, &causes)),
        name if name.is_kernel() => kernel::why(component, &causes, explanation),
        name => {
            let text = format!(
                "{} MiB {} {}; {}",
                mib(delta.abs()),
                is_or_was(delta),
                plain_name(name),
                comes_back(component)
            );
            let rule = match name {
                ComponentName::LruUnmapped => Rule::LruUnmapped,
                _ => Rule::Unattributed,
            };
            (rule, trim(delta, text))
        }
    }
}

/// What to do about the growth that the headline names.
pub(super) fn advice(phase: &Phase, explanation: &Explanation) -> Option<Sentence> {
    if !super::is_change(phase) || phase.working_set.delta_bytes()? < 0 {
        return None;
    }
    let first = *ranked(phase).first()?;
    let (limit, comma) = match explanation.after.limit_bytes {
        Some(limit) => (format!("the limit of {} MiB", mib(limit as i64)), ""),
        None => ("the limit, should one be set".to_owned(), ","),
    };
    let text = match first.name {
        ComponentName::ActiveFile => {
            "No need to raise the limit for it; but node eviction counts it, too.".to_owned()
        }
        ComponentName::Anon => format!("It counts fully against {limit}."),
        ComponentName::Shmem => {
            let causes: Vec<&Cause> = phase.ledger.causes_of(first.name).collect();
            let file = Subject::of(&causes, true).file();
            let until = match file.and_then(FileRef::pathless) {
                None => "the file is deleted".to_owned(),
                Some(Pathless::SysV { id }) => {
                    format!("it is removed (ipcrm -m {id}) and nobody is attached")
                }
                Some(Pathless::Memfd(_) | Pathless::Anonymous) => {
                    "the last process lets go of it".to_owned()
                }
            };
            format!("It counts fully against {limit}{comma} until {until}.")
        }
        ComponentName::SlabReclaimable | ComponentName::LruUnmapped => return None,
        ComponentName::Pagetables => {
            format!("It counts against {limit}, and rss does not show it.")
        }
        name if name.is_kernel() => format!("It counts against {limit}, and no process shows it."),
        _ => return None,
    };
    // Of what is gone again at the end nothing needs doing.
    (phase.name == PhaseName::BeforeToAfter).then(|| sentence(Rule::Advice, text))
}

fn anon(component: &Component, causes: &[&Cause]) -> (Rule, String) {
    let delta = component.delta_bytes();
    let toward = |cause: &&&Cause| (cause.bytes > 0) == (delta > 0);
    let whole = mib(delta.abs());
    let others = causes.iter().filter(toward).count().saturating_sub(1);
    let Some(first) = causes.iter().find(toward) else {
        let text = format!("{whole} MiB {} anonymous memory", is_or_was(delta));
        return (Rule::Anon, text);
    };
    let bytes = mib(first.bytes.abs().min(delta.abs()));
    let most = first.bytes.unsigned_abs() * 100 >= delta.unsigned_abs() * 60;
    let who = first.task.as_ref().map_or_else(String::new, process);
    let subject = if most {
        format!("{bytes} MiB {} anonymous memory of {who}", is_or_was(delta))
    } else {
        format!(
            "{whole} MiB {} anonymous memory of {} processes, first of them {who} ({bytes} MiB)",
            is_or_was(delta),
            others + 1
        )
    };
    match first.kind {
        CauseKind::Gone => (Rule::Anon, format!("{subject}, which has ended")),
        CauseKind::Shrank => (Rule::Anon, format!("{subject}, which gave it back")),
        CauseKind::SwappedOut => (
            Rule::SwappedOut,
            format!("{subject}, which is in swap now: it comes back when it is used"),
        ),
        CauseKind::SwappedIn => (
            Rule::SwappedIn,
            format!("{subject}, which came back from swap"),
        ),
        _ => (Rule::Anon, format!("{subject}; {}", comes_back(component))),
    }
}

fn shmem(component: &Component, causes: &[&Cause]) -> String {
    let delta = component.delta_bytes();
    let subject = Subject::of(causes, delta > 0);
    let bytes = mib(subject.bytes().min(delta.unsigned_abs()) as i64);
    let (files, tasks) = (subject.files(), subject.tasks());
    if delta > 0 {
        let back = comes_back(component);
        format!("{bytes} MiB is shared memory of {files}, added by {tasks}; {back}")
    } else {
        format!("{bytes} MiB was shared memory of {files}, freed by {tasks}")
    }
}

/// What causes account for, in the direction of the component's change.
pub(super) fn attributed_bytes(component: &Component) -> u64 {
    let delta = component.delta_bytes();
    let attributed = delta - component.unattributed_bytes;
    if (attributed < 0) == (delta < 0) {
        attributed.unsigned_abs()
    } else {
        0
    }
}

pub(super) fn is_or_was(delta_bytes: i64) -> &'static str {
    if delta_bytes < 0 { "was" } else { "is" }
}

/// Of memory that is gone it is idle to say whether it would come back.
fn trim(delta_bytes: i64, text: String) -> String {
    match text.rsplit_once("; ") {
        Some((head, _)) if delta_bytes < 0 => head.to_owned(),
        _ => text,
    }
}

pub(super) fn comes_back(component: &Component) -> &'static str {
    match component.reclaimable {
        Reclaimable::Now => "the kernel can drop it",
        Reclaimable::AfterWriteback => "the kernel can drop it once it is written back",
        Reclaimable::SwapOnly {
            available_bytes: Some(0),
        } => "it stays: there is no swap to move it to",
        Reclaimable::SwapOnly { .. } => "under pressure it can only go to swap",
        Reclaimable::Mostly => "the kernel can free most of it",
        Reclaimable::No => "it stays until its owner lets go",
        Reclaimable::Unknown => "how much of it could be freed is not told",
    }
}

pub(super) fn plain_name(name: ComponentName) -> &'static str {
    match name {
        ComponentName::ActiveFile => "active page cache",
        ComponentName::FileOther => {
            "page cache on neither list (locked, isolated or on its way to one)"
        }
        ComponentName::Anon => "anonymous memory",
        ComponentName::LruUnmapped => {
            "memory that was given back and is not free yet (parts of huge pages, mostly)"
        }
        ComponentName::Shmem => "shared memory (tmpfs, memfd, SysV)",
        ComponentName::SlabReclaimable => "kernel memory: reclaimable slab (dentries, inodes)",
        ComponentName::SlabUnreclaimable => "kernel memory: unreclaimable slab",
        ComponentName::KernelStack => "kernel memory: stacks of threads",
        ComponentName::Pagetables => "kernel memory: page tables",
        ComponentName::Percpu => "kernel memory: per-CPU data",
        ComponentName::Vmalloc => "kernel memory: vmalloc",
        ComponentName::Zswap => "kernel memory: compressed swap (zswap)",
        ComponentName::KernelOther => "kernel memory of no named kind",
        ComponentName::Kernel => "kernel memory (cgroup v1 does not take it apart)",
        ComponentName::Sock => "kernel memory: socket buffers",
        ComponentName::Hugetlb => "huge pages",
    }
}
