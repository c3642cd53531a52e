//! What the hooks saw against what the kernel log says of the same kill.

use super::{kills::Kills, report::KillReport};

/// A fact on which they differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What: `victim_comm`, `trigger_comm`, `trigger_tid`, `limit_cgroup`, `victim_cgroup`,
    /// `constraint`, `order`, `gfp_mask`.
    pub what: &'static str,
    /// What the hook saw.
    pub hook: String,
    /// What the log says.
    pub log: String,
}

/// All of them; none without a report in the log. Facts that one side does not know are no
/// difference.
pub(super) fn differences(kill: &KillReport, kills: &Kills) -> Vec<Difference> {
    let Some(log) = &kill.log else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut compare = |what, hook: Option<String>, log: Option<String>| {
        if let (Some(hook), Some(log)) = (hook, log)
            && hook != log
        {
            found.push(Difference { what, hook, log });
        }
    };
    let path = |id: Option<u64>| id.and_then(|id| kills.path_of(id)).map(str::to_owned);
    // A thread may have a name of its own, so names of a process with several are not compared.
    if log.killed_tid == kill.victim.pid {
        let named = kill.victim.comm.clone();
        compare("victim_comm", named, Some(log.killed_comm.clone()));
    }
    let at = path(kill.victim.cgroup_id);
    compare("victim_cgroup", at, log.victim_cgroup.clone());
    let comm = kill.trigger.comm.clone();
    compare("trigger_comm", comm, log.trigger_comm.clone());
    let Some(choice) = &kill.choice else {
        return found;
    };
    let text = |number: &dyn ToString| Some(number.to_string());
    let tid = log.trigger_tid.map(|tid| tid.to_string());
    compare("trigger_tid", text(&choice.trigger_tid), tid);
    compare(
        "limit_cgroup",
        path(choice.domain_cgroup_id),
        log.domain.clone(),
    );
    let constraint = |one| Some(format!("{:?}", one?));
    compare(
        "constraint",
        constraint(choice.constraint),
        constraint(log.constraint),
    );
    let order = log.order.map(|order| order.to_string());
    compare("order", text(&choice.order), order);
    let mask = log.gfp_mask.map(|mask| format!("{mask:#x}"));
    compare("gfp_mask", Some(format!("{:#x}", choice.gfp_mask)), mask);
    found
}
