//! Whose limit it was.

use super::{kills::Kills, report::KillReport};
use crate::input::{OomConstraint, OomLogEvent};

/// Whose limit was reached, seen from the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The victim's own cgroup.
    Own,
    /// A cgroup above the victim's.
    Ancestor,
    /// The machine.
    Node,
    /// A cgroup; how it is related to the victim's is not known, since one of them is gone.
    Cgroup,
}

impl Owner {
    /// Stable name, for JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Ancestor => "ancestor",
            Self::Node => "node",
            Self::Cgroup => "cgroup",
        }
    }
}

/// Who told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The hook on `oom_kill_process`.
    Hook,
    /// The kernel log.
    KernelLog,
}

impl Told {
    /// Stable name, for JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::KernelLog => "kernel_log",
        }
    }
}

/// What ran out, and for whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Whose limit.
    pub owner: Owner,
    /// Id of the cgroup; `None` for the node, and if only a path that is gone is known.
    pub cgroup_id: Option<u64>,
    /// Its path; `None` for the node, and if it is gone.
    pub path: Option<String>,
    /// Why the OOM killer was called; `None` if memtrace does not know that constraint.
    pub constraint: Option<OomConstraint>,
    /// Allocation order; -1 for sysrq-f.
    pub order: Option<i32>,
    /// Allocation flags.
    pub gfp_mask: Option<u32>,
    /// The thread that ran out.
    pub trigger_tid: Option<u32>,
    /// Who told.
    pub told: Told,
}

impl Limit {
    /// From the hook, else from the kernel log; `None` if neither tells.
    pub(super) fn of(kill: &KillReport, kills: &Kills) -> Option<Self> {
        if let Some(choice) = &kill.choice {
            let path = choice.domain_cgroup_id.and_then(|id| kills.path_of(id));
            return Some(Self {
                owner: match choice.domain_cgroup_id {
                    None => Owner::Node,
                    Some(id) if kill.victim.cgroup_id == Some(id) => Owner::Own,
                    Some(_) => related(path, victim_path(kill, kills)),
                },
                cgroup_id: choice.domain_cgroup_id,
                path: path.map(str::to_owned),
                constraint: choice.constraint,
                order: Some(choice.order),
                gfp_mask: Some(choice.gfp_mask),
                trigger_tid: Some(choice.trigger_tid),
                told: Told::Hook,
            });
        }
        let log: &OomLogEvent = kill.log.as_ref()?;
        // Without the long report: a cgroup's limit, but not whose.
        if log.constraint.is_none() && log.killed_by_memcg {
            return None;
        }
        let path = log.domain.as_deref();
        let owner = match log.killed_by_memcg {
            false => Owner::Node,
            true => related(path, log.victim_cgroup.as_deref()),
        };
        Some(Self {
            owner,
            cgroup_id: match owner {
                Owner::Own => kill.victim.cgroup_id,
                _ => path.and_then(|path| kills.id_of(path)),
            },
            path: path.map(str::to_owned),
            constraint: log.constraint,
            order: log.order,
            gfp_mask: log.gfp_mask,
            trigger_tid: log.trigger_tid,
            told: Told::KernelLog,
        })
    }
}

/// Path of the victim's cgroup; `None` if it is gone.
pub(super) fn victim_path<'a>(kill: &'a KillReport, kills: &'a Kills) -> Option<&'a str> {
    let known = kill.victim.cgroup_id.and_then(|id| kills.path_of(id));
    let logged = || kill.log.as_ref()?.victim_cgroup.as_deref();
    known.or_else(logged)
}

fn related(domain: Option<&str>, victim: Option<&str>) -> Owner {
    match (domain, victim) {
        (Some(domain), Some(victim)) if domain == victim => Owner::Own,
        (Some(_), Some(_)) => Owner::Ancestor,
        _ => Owner::Cgroup,
    }
}
