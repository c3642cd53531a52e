//! Why active_file changed, in half a sentence.

use memtrace_ebpf::record::RunKind;

use super::{Rule, component::comes_back, subject::Subject};
use crate::model::{
    Cause, CauseKind, Component, Explanation, Phase, PhaseName, Traffic,
    words::{self, mib, process},
};

/// Why active_file changed on the classic LRU: the leading kind, file and process.
pub(super) fn classic(component: &Component, causes: &[&Cause]) -> (Rule, String) {
    let delta = component.delta_bytes();
    let of_kind = |kind: CauseKind| {
        causes
            .iter()
            .filter(|c| c.kind == kind)
            .map(|c| c.bytes)
            .sum::<i64>()
    };
    let leading = |kinds: &[CauseKind]| {
        kinds.iter().copied().reduce(|a, b| {
            if of_kind(b).abs() > of_kind(a).abs() {
                b
            } else {
                a
            }
        })
    };
    let subject = Subject::of(causes, delta > 0);
    let bytes = mib(subject.bytes().min(delta.unsigned_abs()) as i64);
    let (files, tasks) = (subject.files(), subject.tasks());
    if delta > 0 {
        let back = comes_back(component);
        return match leading(&[CauseKind::SecondAccess, CauseKind::InsertedActive]) {
            Some(CauseKind::InsertedActive) => (
                Rule::InsertedActive,
                format!(
                    "{bytes} MiB is page cache of {files} that came in active (read again soon after it was evicted, or moved), by {tasks}; {back}"
                ),
            ),
            _ => (
                Rule::SecondAccess,
                format!(
                    "{bytes} MiB is page cache of {files} that {tasks} read a second time; {back}"
                ),
            ),
        };
    }
    match leading(&[
        CauseKind::Removed,
        CauseKind::Evicted,
        CauseKind::Deactivated,
    ]) {
        Some(CauseKind::Evicted) => (
            Rule::Evicted,
            format!("{bytes} MiB was page cache of {files} that reclaim evicted"),
        ),
        Some(CauseKind::Deactivated) => (
            Rule::Deactivated,
            format!(
                "{} MiB is page cache that went back to the inactive list",
                mib(of_kind(CauseKind::Deactivated).abs())
            ),
        ),
        _ => (
            Rule::Removed,
            format!(
                "{bytes} MiB was page cache of {files} that {tasks} deleted, truncated or dropped"
            ),
        ),
    }
}

/// Why it changed under MGLRU, which tells no single page's use.
pub(super) fn multi_gen(component: &Component, phase: &Phase, explanation: &Explanation) -> String {
    let delta = component.delta_bytes();
    if delta < 0 {
        return format!(
            "{} MiB of page cache left the two youngest generations (MGLRU), by ageing or removal",
            mib(delta.abs())
        );
    }
    // Without one, or with another phase's, better to say nothing of who.
    let inserted = |row: &&Traffic| row.kind == RunKind::CacheAdd;
    let source = explanation
        .page_cache
        .iter()
        .find(inserted)
        .filter(|_| phase.name == PhaseName::BeforeToAfter)
        .and_then(|row| {
            let (file, task) = (row.file.as_ref()?, row.task.as_ref()?);
            Some(format!(
                "; most that came in is {}, by {}",
                words::file(file),
                process(task)
            ))
        })
        .unwrap_or_default();
    format!(
        "{} MiB is page cache in the two youngest generations (MGLRU does not tell who used it){source}; {}",
        mib(delta),
        comes_back(component)
    )
}
