//! Facts -> plan: which rung of which signal is worth trying. Pure; every rule is here.

use super::{
    facts::KernelFacts,
    hooks::{self, Probe, Rung, Signal},
};

/// The BPF object is built once for all architectures, and its kprobes read x86_64's registers.
const HAS_KPROBES: bool = cfg!(target_arch = "x86_64");

/// One signal with its rungs judged.
#[derive(Debug)]
pub struct Planned {
    /// The signal.
    pub signal: &'static Signal,
    /// Its rungs, best first, each with the reason why it cannot work here, if there is one.
    pub rungs: Vec<(Rung, Option<String>)>,
}

/// Judges every rung by the facts.
pub fn plan(facts: &KernelFacts) -> Vec<Planned> {
    plan_signals(&facts.known_targets, |fields| {
        facts.resolved.missing(fields)
    })
}

fn plan_signals(
    known_targets: &[&str],
    missing: impl Fn(&[&str]) -> Option<String>,
) -> Vec<Planned> {
    hooks::signals()
        .map(|signal| Planned {
            signal,
            rungs: signal
                .rungs
                .iter()
                .map(|rung| {
                    let unknown = |probe: &&Probe| !known_targets.contains(&probe.attach.target());
                    let reason = match rung.probes.iter().find(unknown) {
                        None if !HAS_KPROBES
                            && rung.probes.iter().any(|p| p.attach.is_kprobe()) =>
                        {
                            Some("the BPF object knows the registers of x86_64 only".to_owned())
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
        let plan = plan_signals(&all_targets(), |_| None);
        assert!(refused(&plan).is_empty());
    }

    #[test]
    fn a_missing_tracepoint_turns_off_its_own_hook_only() {
        let targets: Vec<_> = all_targets()
            .into_iter()
            .filter(|target| *target != "mm_filemap_get_pages")
            .collect();
        let plan = plan_signals(&targets, |_| None);
        assert_eq!(
            refused(&plan),
            [("get_pages", "this kernel does not have it")]
        );
    }

    #[test]
    fn a_missing_member_turns_off_exactly_the_hooks_that_need_it() {
        let plan = plan_signals(&all_targets(), |fields| {
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
