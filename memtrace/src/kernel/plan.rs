//! Facts -> plan: which rung of which signal is worth trying. Pure; every rule is here.

use std::collections::BTreeSet;

use super::{
    facts::KernelFacts,
    hooks::{self, Probe, Rung, Signal},
};

/// One signal with its rungs judged.
#[derive(Debug)]
pub struct Planned {
    /// The signal.
    pub signal: &'static Signal,
    /// Its rungs, best first, each with the reason why it cannot work here, if there is one.
    pub rungs: Vec<(Rung, Option<String>)>,
}

/// Judges every rung by the facts, and by what the user switched off; with the signals that must
/// be asked for if `exact`.
pub fn plan(facts: &KernelFacts, exact: bool, without: &[String]) -> Vec<Planned> {
    let signals = hooks::signals().filter(|signal| exact || signal.opt_in.is_none());
    plan_signals(
        signals,
        &facts.known_targets,
        facts.no_kprobes,
        without,
        |fields| facts.resolved.missing(fields),
    )
}

/// The name of a hook as `doctor` prints it, if it is one; else an error that lists them all.
///
/// # Errors
/// If no signal has such a rung: a hook that is misspelt would be left on in silence.
pub fn hook_name(typed: &str) -> Result<String, String> {
    let rungs = || hooks::signals().flat_map(|signal| signal.rungs);
    let known: BTreeSet<String> = rungs()
        .flat_map(|rung| rung.probes)
        .map(|probe| probe.attach.to_string())
        .collect();
    // Also as `doctor` prints a rung of several.
    if known.contains(typed) || rungs().any(|rung| rung.to_string() == typed) {
        return Ok(typed.to_owned());
    }
    let known: Vec<_> = known.into_iter().collect();
    Err(format!("no such hook; there are {}", known.join(", ")))
}

fn plan_signals(
    signals: impl Iterator<Item = &'static Signal>,
    known_targets: &[&str],
    no_kprobes: Option<&str>,
    without: &[String],
    missing: impl Fn(&[&str]) -> Option<String>,
) -> Vec<Planned> {
    signals
        .map(|signal| Planned {
            signal,
            rungs: signal
                .rungs
                .iter()
                .map(|rung| {
                    let unknown = |probe: &&Probe| !known_targets.contains(&probe.attach.target());
                    let is_off = |probe: &Probe| without.contains(&probe.attach.to_string());
                    let reason = match rung.probes.iter().find(unknown) {
                        None if no_kprobes.is_some() && rung.is_kprobe() => {
                            no_kprobes.map(str::to_owned)
                        }
                        None if rung.probes.iter().any(is_off)
                            || without.contains(&rung.to_string()) =>
                        {
                            Some("switched off by --without-hook".to_owned())
                        }
                        None => missing(rung.needs),
                        Some(_) if rung.probes.len() == 1 => {
                            Some("this kernel does not have it".to_owned())
                        }
                        Some(probe) => Some(format!(
                            "this kernel does not have {}",
                            probe.attach.target()
                        )),
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
            .flat_map(|rung| rung.probes)
            .map(|probe| probe.attach.target())
            .collect()
    }

    fn refused(plan: &[Planned]) -> Vec<(&'static str, &str)> {
        plan.iter()
            .flat_map(|planned| &planned.rungs)
            .filter_map(|(rung, reason)| Some((rung.probes[0].program, reason.as_deref()?)))
            .collect()
    }

    #[test]
    fn everything_is_tried_on_a_kernel_that_has_everything() {
        let plan = plan_signals(hooks::signals(), &all_targets(), None, &[], |_| None);
        assert!(refused(&plan).is_empty());
    }

    #[test]
    fn a_missing_tracepoint_turns_off_its_own_hook_only() {
        let targets: Vec<_> = all_targets()
            .into_iter()
            .filter(|target| *target != "mm_filemap_get_pages")
            .collect();
        let plan = plan_signals(hooks::signals(), &targets, None, &[], |_| None);
        assert_eq!(
            refused(&plan),
            [("get_pages", "this kernel does not have it")]
        );
    }

    #[test]
    fn what_the_user_leaves_out_is_off_with_that_reason() {
        let name = hook_name("fentry/workingset_activation").unwrap();
        let plan = plan_signals(hooks::signals(), &all_targets(), None, &[name], |_| None);
        assert_eq!(
            refused(&plan),
            [("workingset_activation", "switched off by --without-hook")]
        );
        let error = hook_name("fentry/workingset_activasion").unwrap_err();
        assert!(error.contains("fentry/workingset_activation"), "{error}");
    }

    #[test]
    fn a_missing_member_turns_off_exactly_the_hooks_that_need_it() {
        let plan = plan_signals(hooks::signals(), &all_targets(), None, &[], |fields| {
            fields
                .contains(&"mm_pgtables_bytes")
                .then(|| "mm_struct.pgtables_bytes: no such member".to_owned())
        });
        assert_eq!(
            refused(&plan),
            ["oom_evaluate", "oom_evaluate_kprobe", "task_samples"]
                .map(|program| (program, "mm_struct.pgtables_bytes: no such member"))
        );
    }
}
