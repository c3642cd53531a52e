//! `memtrace doctor`.

mod cost;
mod load;
mod scan;

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use clap::Args;
use memtrace::{
    cgroup::Hierarchy,
    input::{HookOutcome, LruKind},
    kernel::{
        attach::{self, LoadOptions},
        facts::KernelFacts,
        plan,
    },
};
use serde_json::{Value, json};

use self::{cost::Cost, scan::Scan};
use super::{Output, failure::Failure, print};

/// What this kernel allows, hook by hook, and how to get more.
#[derive(Args)]
#[command(
    after_help = "For testing and diagnosis, every command takes --without-hook HOOK, which \
    may be repeated: it leaves a hook out, named as above (fentry/workingset_activation), as if the \
    kernel refused it."
)]
pub struct Doctor {
    /// How to print the answer
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// Measure what each hook costs on this machine, for TIME
    #[arg(
        long,
        value_name = "TIME",
        value_parser = humantime::parse_duration,
        num_args = 0..=1,
        default_missing_value = "5s"
    )]
    cost: Option<Duration>,
}

impl Doctor {
    /// Loads and attaches every hook, and takes them off again.
    pub fn run(self, load: &LoadOptions) -> Result<ExitCode, Failure> {
        let kernel = KernelFacts::gather()?;
        let hierarchy = Hierarchy::find();
        let attached = attach::attach(&kernel, plan::plan(&kernel, true, &load.without), load)
            .map_err(|error| match error {
                attach::AttachError::NotPermitted => Failure::unsupported(error),
                error => Failure::failed(error),
            })?;
        let hooks = attached.outcomes.clone();
        let programs = attached.verified_instructions();
        // Measured are the hooks of an explanation, without these.
        drop(attached);
        let cost = self
            .cost
            .map(|time| Cost::measure(&kernel, load, time))
            .transpose()?;
        let scan = match (self.cost, &hierarchy) {
            (Some(_), Ok(hierarchy)) => Some(Scan::measure(&kernel, hierarchy)),
            _ => None,
        };
        let cgroup = match &hierarchy {
            Ok(hierarchy) => format!(
                "{:?}, mounted at {}",
                hierarchy.version(),
                hierarchy.mount_point().display()
            ),
            Err(error) => error.to_string(),
        };
        let text = match self.output {
            Output::Text => {
                let cost = cost.as_ref().map(Cost::text).unwrap_or_default();
                let scan = scan.as_ref().map(Scan::text).unwrap_or_default();
                format!("{}{cost}{scan}", text(&kernel, &cgroup, &hooks))
            }
            Output::Json => {
                let mut answer = as_json(&kernel, &cgroup, &hooks);
                answer["programs"] = programs
                    .iter()
                    .map(|(name, count)| json!({"program": name, "verified_instructions": count}))
                    .collect();
                if let Some(cost) = &cost {
                    answer["cost"] = cost.json();
                }
                if let Some(scan) = &scan {
                    answer["scan"] = scan.json();
                }
                format!("{answer:#}\n")
            }
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn lru(kernel: &KernelFacts) -> &'static str {
    match kernel.lru {
        LruKind::Classic => "classic (active and inactive lists)",
        LruKind::MultiGen => "multi-generational (MGLRU): no activation of single pages",
    }
}

fn text(kernel: &KernelFacts, cgroup: &str, hooks: &[HookOutcome]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "KERNEL  {}, {} CPUs, pages of {} bytes\nLRU     {}\nMEMORY  cgroup {cgroup}\nHOOKS",
        kernel.release,
        kernel.cpus,
        kernel.page_size_bytes,
        lru(kernel),
    );
    for hook in hooks {
        let state = hook.attached.as_deref().unwrap_or("off");
        let _ = writeln!(out, "  {:<21} {state}", hook.signal);
        for (rung, reason) in &hook.refused {
            let _ = writeln!(out, "  {:<21}   {rung}: {reason}", "");
        }
        if !hook.refused.is_empty() {
            let _ = writeln!(out, "  {:<21}   so {}", "", hook.cost);
        }
        if let (Some(asked_by), Some(_)) = (&hook.opt_in, &hook.attached) {
            let _ = writeln!(out, "  {:<21}   {asked_by}", "");
        }
    }
    let off = hooks.iter().filter(|hook| hook.attached.is_none()).count();
    let needed = hooks
        .iter()
        .filter(|hook| hook.attached.is_none() && !hook.optional)
        .count();
    let _ = writeln!(
        out,
        "SUMMARY {} of {} signals on; {}",
        hooks.len() - off,
        hooks.len(),
        match needed {
            0 => "nothing that an answer needs is missing".to_owned(),
            missing => format!("answers lack {missing} of what they need, as said above"),
        }
    );
    out
}

fn as_json(kernel: &KernelFacts, cgroup: &str, hooks: &[HookOutcome]) -> Value {
    json!({
        "schema_version": 1,
        "command": "doctor",
        "kernel": {
            "release": kernel.release,
            "cpus": kernel.cpus,
            "page_size_bytes": kernel.page_size_bytes,
            "lru": match kernel.lru { LruKind::Classic => "classic", LruKind::MultiGen => "mglru" },
        },
        "memory_controller": cgroup,
        "hooks": hooks.iter().map(|hook| json!({
            "signal": hook.signal,
            "attached": hook.attached,
            "refused": hook.refused.iter().map(|(rung, reason)| json!({
                "rung": rung,
                "reason": reason,
            })).collect::<Vec<_>>(),
            "cost": if !hook.refused.is_empty() { Some(&hook.cost) } else { None },
            "optional": hook.optional,
            "opt_in": hook.opt_in,
        })).collect::<Vec<_>>(),
        "missing_members": kernel.resolved.missing.iter().map(|(field, reason)| json!({
            "field": field,
            "reason": reason,
        })).collect::<Vec<_>>(),
    })
}
