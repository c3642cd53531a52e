//! The chain from usage to what the OOM killer counts.

use super::cells::row;
use crate::model::{
    ComponentName, Explanation, ViewName, ViewRole, ViewStep,
    words::{mib, signed_mib},
};

pub(super) fn lines(explanation: &Explanation) -> Vec<String> {
    let limit = match explanation.after.limit_bytes {
        Some(limit) => format!("limit {}", mib(limit as i64)),
        None => "no limit of its own".to_owned(),
    };
    let mut lines = vec![format!("VIEWS, MiB, at the end ({limit})")];
    // Kernel memory has many small parts: here one row, in CHANGE and JSON each its own.
    let mut kernel_bytes = 0;
    for step in &explanation.views.steps {
        match step.name {
            ViewName::Component(component) if component.is_kernel() => {
                kernel_bytes += step.bytes;
                continue;
            }
            ViewName::Disagreement => {
                lines.push(row(
                    "  - kernel and sock",
                    &mib(kernel_bytes),
                    "slab, stacks, ...",
                ));
            }
            _ => {}
        }
        lines.push(line(step));
    }
    if explanation.views.steps.is_empty() {
        lines.push("  unknown: usage could not be read".to_owned());
    }
    lines
}

fn line(step: &ViewStep) -> String {
    let (name, note) = words(step.name);
    let (label, number) = match step.role {
        ViewRole::Total if step.name == ViewName::Usage => (format!("  {name}"), mib(step.bytes)),
        ViewRole::Total => (format!("  = {name}"), mib(step.bytes)),
        ViewRole::Minus => (format!("  - {name}"), mib(step.bytes)),
        ViewRole::Plus if step.bytes < 0 => (format!("  + {name}"), signed_mib(step.bytes)),
        ViewRole::Plus => (format!("  + {name}"), mib(step.bytes)),
    };
    row(&label, &number, note)
}

fn words(name: ViewName) -> (&'static str, &'static str) {
    match name {
        ViewName::Usage => ("usage", "what the cgroup is charged for"),
        ViewName::InactiveFile => ("inactive_file", "page cache used once or long ago"),
        ViewName::WorkingSet => ("working set", "kubectl top, node eviction"),
        ViewName::Component(ComponentName::ActiveFile) => ("active_file", "page cache in use"),
        ViewName::Component(ComponentName::FileOther) => {
            ("file_other", "page cache on neither list")
        }
        ViewName::Component(ComponentName::Shmem) => ("shmem", "tmpfs, memfd, SysV"),
        ViewName::Component(component) => (component.as_str(), ""),
        ViewName::Disagreement => ("counters' lag", "usage against statistics"),
        ViewName::Rss => ("anon (rss)", "~ ps"),
        ViewName::ProcessesApart => ("counted apart", "shared since fork; counters' lag"),
        ViewName::MappedFiles => ("mapped files", "in the processes' rss"),
        ViewName::MappedShmem => ("mapped shmem", "in the processes' rss"),
        ViewName::Swapped => ("swapped out", ""),
        ViewName::Pagetables => ("page tables", ""),
        ViewName::OomCount => ("OOM killer counts", "all processes, without oom_score_adj"),
    }
}
