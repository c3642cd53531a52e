//! Why kernel memory changed, in half a sentence.

use super::{Rule, component};
use crate::model::{
    Cause, Component, ComponentName, Explanation, Held, KernelHints, TaskRef,
    words::{mib, process},
};

/// What kind of kernel memory it is, and whose, as far as that is known.
pub(super) fn why(
    component: &Component,
    causes: &[&Cause],
    explanation: &Explanation,
) -> (Rule, String) {
    let delta = component.delta_bytes();
    let back = component::comes_back(component);
    let ending = |text: String| match delta < 0 {
        // Of memory that is gone it is idle to say whether it would come back.
        true => text,
        false => format!("{text}; {back}"),
    };
    let whole = format!(
        "{} MiB {} {}",
        mib(delta.abs()),
        component::is_or_was(delta),
        component::plain_name(component.name)
    );
    if let Some((rule, part)) = held(delta, causes) {
        return (rule, ending(format!("{whole}{part}")));
    }
    if let Some(names) = names(component, &explanation.hints) {
        return (Rule::Dentries, ending(format!("{whole}{names}")));
    }
    let guess = guess(component, &explanation.hints);
    (Rule::Kernel, ending(format!("{whole}{guess}")))
}

/// The kind that stands behind most of the change, by the process that has most of it.
fn held(delta: i64, causes: &[&Cause]) -> Option<(Rule, String)> {
    let toward = |cause: &&&Cause| (cause.bytes < 0) == (delta < 0);
    let of_kind = |kind: &str| -> Vec<&Cause> {
        let mut found: Vec<&Cause> = (causes.iter().filter(toward))
            .filter(|cause| cause.held.is_some_and(|held| held.as_str() == kind))
            .copied()
            .collect();
        found.sort_by_key(|cause| std::cmp::Reverse(cause.bytes.unsigned_abs()));
        found
    };
    let sum = |causes: &[&Cause]| causes.iter().map(|cause| cause.bytes.abs()).sum::<i64>();
    let (kind, causes) = ["threads", "pagetables", "sockets"]
        .into_iter()
        .map(|kind| (kind, of_kind(kind)))
        .max_by_key(|(_, causes)| sum(causes))?;
    // Where the kernel does not take it apart, each part comes with others: a thread is more than its
    // stack.
    let bytes = sum(&causes);
    if bytes * 3 < delta.abs() {
        return None;
    }
    let first: &TaskRef = causes.first()?.task.as_ref()?;
    let more = match causes.len() {
        1 => String::new(),
        2 => " and 1 other process".to_owned(),
        all => format!(" and {} other processes", all - 1),
    };
    let count: i64 = causes
        .iter()
        .filter_map(|cause| cause.held.and_then(Held::count))
        .map(i64::abs)
        .sum();
    let who = process(first);
    let bytes = mib(bytes);
    Some(match kind {
        "threads" => (
            Rule::KernelStack,
            format!(", {bytes} MiB in stacks of {count} threads of {who}{more}"),
        ),
        "pagetables" => (
            Rule::Pagetables,
            format!(", {bytes} MiB in page tables of {who}{more}"),
        ),
        _ => (
            Rule::Sock,
            format!(
                ": {bytes} MiB wait in {count} sockets of {who}{more}, unread or not yet acknowledged"
            ),
        ),
    })
}

/// It is names, if the machine's names grew by at least half as much.
fn names(component: &Component, hints: &KernelHints) -> Option<String> {
    let delta = component.delta_bytes();
    let may_be = matches!(
        component.name,
        ComponentName::SlabReclaimable | ComponentName::Kernel | ComponentName::KernelOther
    );
    let names = hints.names.filter(|names| {
        may_be && (names.bytes < 0) == (delta < 0) && names.bytes.abs() * 2 >= delta.abs()
    })?;
    let (more, negative) = (names.total.abs(), names.negative.unwrap_or(0).abs());
    let compare = if delta < 0 { "fewer" } else { "more" };
    let kind = match negative * 2 >= more {
        true => format!(", {negative} of them names that do not exist"),
        false => String::new(),
    };
    let guess = guess(component, hints);
    Some(format!(
        ", names of files in the kernel's cache: {more} {compare} on this machine{kind}{guess}"
    ))
}

/// Nobody owns it, so the process that spent most of the time in the kernel is as much as can be said.
fn guess(component: &Component, hints: &KernelHints) -> String {
    match &hints.busiest {
        Some(task) if component.delta_bytes() > 0 => {
            format!(", by {}, who spent most time in the kernel", process(task))
        }
        _ => String::new(),
    }
}
