//! Facts -> plan: which rung of which signal is worth trying. Pure; every rule is here.

use super::{
    facts::KernelFacts,
    hooks::{self, Rung, Signal},
};

/// One signal with its rungs judged.
#[derive(Debug)]
pub struct Planned {
    /// The signal.
    pub signal: &'static Signal,
    /// Its rungs, best first, each with the reason why it cannot work here, if there is one.
    pub rungs: Vec<(Rung, Option<String>)>,
}

/// Judges every rung by the facts; with the signals that must be asked for if `exact`.
pub fn plan(facts: &KernelFacts, exact: bool) -> Vec<Planned> {
    let signals = hooks::signals().filter(|signal| exact || signal.opt_in.is_none());
    plan_signals(signals, &facts.known_targets, |fields| {
        facts.resolved.missing(fields)
    })
}

fn plan_signals(
    signals: impl Iterator<Item = &'static Signal>,
    known_targets: &[&str],
    missing: impl Fn(&[&str]) -> Option<String>,
) -> Vec<Planned> {
    signals
        .map(|signal| Planned {
            signal,
            rungs: signal
                .rungs
                .iter()
                .map(|rung| {
                    let reason = if known_targets.contains(&rung.attach.target()) {
                        missing(rung.needs)
                    } else {
                        Some("this kernel does not have it".to_owned())
                    };
                    (*rung, reason)
                })
                .collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_targets() -> Vec<&'static str> {
        hooks::signals()
            .flat_map(|signal| signal.rungs)
            .map(|rung| rung.attach.target())
            .collect()
    }

    fn refused(plan: &[Planned]) -> Vec<(&'static str, &str)> {
        plan.iter()
            .flat_map(|planned| &planned.rungs)
            .filter_map(|(rung, reason)| Some((rung.program, reason.as_deref()?)))
            .collect()
    }

    #[test]
    fn everything_is_tried_on_a_kernel_that_has_everything() {
        let plan = plan_signals(hooks::signals(), &all_targets(), |_| None);
        assert!(refused(&plan).is_empty());
    }

    #[test]
    fn a_missing_tracepoint_turns_off_its_own_hook_only() {
        let targets: Vec<_> = all_targets()
            .into_iter()
            .filter(|target| *target != "mm_filemap_get_pages")
            .collect();
        let plan = plan_signals(hooks::signals(), &targets, |_| None);
        assert_eq!(
            refused(&plan),
            [("get_pages", "this kernel does not have it")]
        );
    }

    #[test]
    fn a_missing_member_turns_off_exactly_the_hooks_that_need_it() {
        let plan = plan_signals(hooks::signals(), &all_targets(), |fields| {
            fields
                .contains(&"mm_pgtables_bytes")
                .then(|| "mm_struct.pgtables_bytes: no such member".to_owned())
        });
        assert_eq!(
            refused(&plan),
            [("task_samples", "mm_struct.pgtables_bytes: no such member")]
        );
    }
}
