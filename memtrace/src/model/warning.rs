//! What makes an answer weaker, as values.

use std::{collections::BTreeSet, fmt};

use super::{ComponentName, Explanation, Names, Phase, RunTable, ledger, words::mib};
use crate::input::{HookOutcome, LruKind, Sample};

/// Something that makes the answer weaker, or that a reader may stumble over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Events were lost, so attributed figures are too low.
    EventsLost {
        /// Records.
        records: u64,
        /// Pages in lost runs.
        pages: u64,
        /// Calls that the kernel skipped.
        skipped: u64,
    },
    /// Pages that the hooks counted and that neither arrived nor were lost when the last sample
    /// was taken.
    PagesUnsent {
        /// How many.
        pages: u64,
    },
    /// A signal has no hook.
    HookMissing {
        /// Which.
        signal: String,
        /// What that costs.
        cost: String,
    },
    /// A signal is taken from a lower rung than the best.
    HookDegraded {
        /// Which.
        signal: String,
        /// What that costs.
        cost: String,
    },
    /// MGLRU has no activation of single pages.
    MultiGenLru,
    /// The kernel forbids reading its memory by address.
    LockedDown,
    /// The LRU was switched in the window.
    LruSwitched,
    /// The processes could not be scanned at both ends.
    ProcessesUnknown,
    /// The kernel does not tell a component, or did not at both ends.
    ComponentUnknown {
        /// Which.
        component: ComponentName,
    },
    /// The residual is larger than its bound.
    BoundExceeded {
        /// Residual, bytes.
        unexplained_bytes: i64,
        /// Bound, bytes.
        bound_bytes: u64,
    },
    /// The kernel's own high-water mark of usage is above every sample.
    PeakMissed {
        /// The kernel's.
        kernel_bytes: u64,
        /// The highest sample's.
        sampled_bytes: u64,
    },
    /// Files whose name never arrived.
    FilesUnnamed {
        /// How many.
        files: usize,
    },
    /// There were more files and processes than a table holds.
    Summed {
        /// What the sum of one file and process may be short of, bytes.
        short_bytes: u64,
    },
    /// What the source of the events has to say, e.g. that a recording is damaged.
    Source(String),
    /// The target was removed before the window ended.
    TargetGone,
}

impl Warning {
    /// The stable id in JSON.
    pub fn id(&self) -> &'static str {
        match self {
            Self::EventsLost { .. } => "events_lost",
            Self::PagesUnsent { .. } => "pages_unsent",
            Self::HookMissing { .. } => "hook_missing",
            Self::HookDegraded { .. } => "hook_degraded",
            Self::MultiGenLru => "mglru",
            Self::LockedDown => "locked_down",
            Self::LruSwitched => "lru_switched",
            Self::ProcessesUnknown => "processes_unknown",
            Self::ComponentUnknown { .. } => "component_unknown",
            Self::BoundExceeded { .. } => "bound_exceeded",
            Self::PeakMissed { .. } => "peak_missed",
            Self::FilesUnnamed { .. } => "files_unnamed",
            Self::Summed { .. } => "summed",
            Self::Source(_) => "source",
            Self::TargetGone => "target_gone",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EventsLost {
                records,
                pages,
                skipped,
            } => {
                let skipped = match skipped {
                    0 => String::new(),
                    calls => format!(", and the kernel skipped {calls} hook calls"),
                };
                write!(
                    f,
                    "{records} events with {pages} pages were lost{skipped}: attributed figures \
                     are too low, and a larger ring buffer may help"
                )
            }
            Self::PagesUnsent { pages } => write!(
                f,
                "{pages} pages were still in the kernel's tables at the end: attributed figures \
                 are too low by at most that"
            ),
            Self::HookMissing { signal, cost } => write!(f, "no hook for {signal}: {cost}"),
            Self::HookDegraded { signal, cost } => {
                write!(f, "second-best hook for {signal}: {cost}")
            }
            Self::LruSwitched => f.write_str(
                "the kernel was switched between the classic LRU and MGLRU meanwhile \
                 (/sys/kernel/mm/lru_gen/enabled), which moves pages between active_file and \
                 inactive_file without anybody using them",
            ),
            Self::MultiGenLru => f.write_str(
                "this kernel decides by generations (MGLRU) what is active: active_file is the two \
                 youngest, which a page joins when it is faulted in, comes back soon after its \
                 eviction or is found used by a walk of the page tables, and leaves when a new \
                 generation begins; a second read(2) moves nothing, so no page's activation is \
                 claimed",
            ),
            Self::LockedDown => f.write_str(
                "this kernel is locked down (confidentiality), so no program may look up whose page \
                 it sees: page cache and tmpfs have no causes, only totals",
            ),
            Self::ProcessesUnknown => {
                f.write_str("the processes could not be scanned at both ends: anon has no causes")
            }
            Self::ComponentUnknown { component } => write!(
                f,
                "{} is not known at both ends: its change is in the residual",
                component.as_str()
            ),
            Self::BoundExceeded {
                unexplained_bytes,
                bound_bytes,
            } => write!(
                f,
                "the residual of {} MiB is beyond its bound of {}: part of the change is of a \
                 kind that memtrace does not know",
                mib(*unexplained_bytes),
                mib(*bound_bytes as i64)
            ),
            Self::PeakMissed {
                kernel_bytes,
                sampled_bytes,
            } => write!(
                f,
                "usage was {} MiB at its highest, but {} in the highest sample: the peak fell \
                 between samples",
                mib(*kernel_bytes as i64),
                mib(*sampled_bytes as i64)
            ),
            Self::FilesUnnamed { files } => {
                write!(f, "{files} files are known by inode number only")
            }
            Self::Source(message) => f.write_str(message),
            Self::Summed { short_bytes } => write!(
                f,
                "more files and processes than are told apart: what one process did to one file may \
                 be up to {} KiB more than its row says, and is in the rows of many files or \
                 processes then",
                short_bytes / 1024
            ),
            Self::TargetGone => f.write_str(
                "the cgroup was removed meanwhile: the end of the window is its last sample, up to \
                 a second before that",
            ),
        }
    }
}

/// Everything that weakens `explanation`, the gravest first.
pub(crate) fn warnings(
    explanation: &Explanation,
    before: &Sample,
    after: &Sample,
    runs: &RunTable,
    names: &Names,
) -> Vec<Warning> {
    let trust = &explanation.trust;
    let mut warnings = Vec::new();
    if trust.events_lost > 0 || trust.pages_lost > 0 {
        let skipped = trust.hooks.iter().map(|h| h.recursion_misses).sum();
        warnings.push(Warning::EventsLost {
            records: trust.events_lost - skipped,
            pages: trust.pages_lost,
            skipped,
        });
    }
    if trust.pages_unsent() > 0 {
        let pages = trust.pages_unsent();
        warnings.push(Warning::PagesUnsent { pages });
    }
    for phase in explanation.every_phase() {
        warnings.extend(bound_exceeded(phase));
    }
    for HookOutcome { signal, cost, .. } in trust.missing() {
        let (signal, cost) = (signal.clone(), cost.clone());
        warnings.push(Warning::HookMissing { signal, cost });
    }
    for hook in trust.signals.iter().filter(|s| s.attached.is_some()) {
        if !hook.refused.is_empty() && !hook.cost.is_empty() {
            let (signal, cost) = (hook.signal.clone(), hook.cost.clone());
            warnings.push(Warning::HookDegraded { signal, cost });
        }
    }
    if explanation.facts.lru == LruKind::MultiGen {
        warnings.push(Warning::MultiGenLru);
    }
    if explanation.facts.locked_down {
        warnings.push(Warning::LockedDown);
    }
    if before.lru.is_some() && after.lru.is_some() && before.lru != after.lru {
        warnings.push(Warning::LruSwitched);
    }
    if before.tasks.is_none() || after.tasks.is_none() {
        warnings.push(Warning::ProcessesUnknown);
    }
    // Absent everywhere means "this kernel has none"; these two every kernel has. And a component
    // read at one end only was lost on the way.
    let (first, last) = (
        ledger::levels(&before.cgroup),
        ledger::levels(&after.cgroup),
    );
    let essential = [ComponentName::ActiveFile, ComponentName::Anon];
    let unknown = first
        .keys()
        .chain(last.keys())
        .chain(&essential)
        .filter(|name| !(first.contains_key(name) && last.contains_key(name)))
        .copied()
        .collect::<BTreeSet<_>>();
    warnings.extend(
        unknown
            .into_iter()
            .map(|component| Warning::ComponentUnknown { component }),
    );
    warnings.extend(explanation.peak.as_ref().and_then(|peak| {
        let kernel_bytes = peak.kernel_usage_peak_bytes?;
        let sampled_bytes = peak.usage_bytes?;
        let slack = explanation.whole.ledger.error_bound?.total_bytes();
        (kernel_bytes > sampled_bytes.saturating_add(slack)).then_some(Warning::PeakMissed {
            kernel_bytes,
            sampled_bytes,
        })
    }));
    let charged = runs
        .iter()
        .filter(|(key, _)| names.is_member(key.charged_cgroup_id))
        .filter_map(|(key, _)| key.file.as_ref());
    let files = names.unnamed(charged);
    if files > 0 {
        warnings.push(Warning::FilesUnnamed { files });
    }
    if runs.short_pages() > 0 {
        let page_bytes = explanation.facts.page_size_bytes;
        warnings.push(Warning::Summed {
            short_bytes: runs.short_pages().saturating_mul(page_bytes),
        });
    }
    warnings
}

fn bound_exceeded(phase: &Phase) -> Option<Warning> {
    let unexplained_bytes = phase.ledger.unexplained_bytes?;
    let bound_bytes = phase.ledger.error_bound?.total_bytes();
    (unexplained_bytes.unsigned_abs() > bound_bytes).then_some(Warning::BoundExceeded {
        unexplained_bytes,
        bound_bytes,
    })
}
