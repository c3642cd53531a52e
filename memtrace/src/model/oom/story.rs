//! All that is concluded from one kill.

use super::{
    crosscheck::{Difference, differences},
    fallen,
    foretold::Foretold,
    kills::Kills,
    limit::{Limit, victim_path},
    report::KillReport,
    table::{Table, size},
    window::{AtKill, Window},
};

/// What happened to the process that was marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The OOM killer chose it.
    Chosen,
    /// It asked for memory while it was dying, and was let go on: nobody was chosen.
    WasDying,
    /// Neither hook nor log tell.
    Unknown,
}

impl Fate {
    /// Stable name, for JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::WasDying => "was_dying",
            Self::Unknown => "unknown",
        }
    }
}

/// One kill, told.
#[derive(Clone, Debug, PartialEq)]
pub struct KillStory {
    /// As it was reported.
    pub report: KillReport,
    /// What happened to the victim.
    pub fate: Fate,
    /// What ran out; `None` if neither hook nor log told.
    pub limit: Option<Limit>,
    /// Paths of the victim's and the trigger's cgroup; `None` if gone.
    pub victim_path: Option<String>,
    /// See `victim_path`.
    pub trigger_path: Option<String>,
    /// Size of what ran out.
    pub totalpages: Option<u64>,
    /// The candidates.
    pub table: Option<Table>,
    /// The domain's memory.
    pub at_kill: Option<AtKill>,
    /// The window before.
    pub window: Option<Window>,
    /// Processes that share the victim's memory, and so die with it; the kernel does not mark them.
    pub sharers: Vec<(u32, String)>,
    /// The prediction that stood.
    pub foretold: Option<Foretold>,
    /// Where hooks and kernel log differ.
    pub differences: Vec<Difference>,
    /// From the kill until all of this was known, ns.
    pub complete_after_ns: u64,
}

impl KillStory {
    pub(super) fn of(report: KillReport, now_ns: u64, kills: &Kills) -> Self {
        let limit = Limit::of(&report, kills);
        let totalpages = size(&report, limit.as_ref(), kills);
        let table = Table::of(&report, limit.as_ref(), totalpages, kills);
        let trigger_path = report.trigger.cgroup_id.and_then(|id| kills.path_of(id));
        Self {
            fate: fate(&report, kills),
            victim_path: victim_path(&report, kills).map(str::to_owned),
            trigger_path: trigger_path.map(str::to_owned),
            foretold: Foretold::of(&report, limit.as_ref(), totalpages, table.as_ref(), kills),
            at_kill: AtKill::of(&report, limit.as_ref(), kills),
            window: Window::of(&report, limit.as_ref(), kills),
            differences: differences(&report, kills),
            complete_after_ns: now_ns.saturating_sub(report.killed_ns()),
            sharers: sharers(&report, kills),
            limit,
            totalpages,
            table,
            report,
        }
    }

    /// The points by which the victim was chosen, and whether they are the kernel's own.
    pub fn points(&self) -> Option<(i64, bool)> {
        if let Some(choice) = &self.report.choice {
            return Some((choice.points, true));
        }
        let row = self.table.as_ref()?.row(self.report.victim.pid)?;
        Some((row.model_points?, false))
    }
}

/// As of the last look before the kill (mm/oom_kill.c, `__oom_kill_process`).
fn sharers(report: &KillReport, kills: &Kills) -> Vec<(u32, String)> {
    let Some(snapshot) = kills.standing().before_newest_first(report.time_ns).next() else {
        return Vec::new();
    };
    let pid = report.victim.pid;
    let Some(victim) = snapshot.tasks.iter().find(|task| task.pid == pid) else {
        return Vec::new();
    };
    fallen::sharers(snapshot, victim)
        .filter(|task| report.also_killed.iter().all(|told| told.pid != task.pid))
        .map(|task| (task.pid, task.comm.clone()))
        .collect()
}

/// The kernel marks a process without a choice where it is dying already, and then writes nothing to
/// its log (mm/oom_kill.c, `out_of_memory` and `oom_kill_process`, `task_will_free_mem`).
fn fate(report: &KillReport, kills: &Kills) -> Fate {
    let facts = kills.facts();
    let hooked = kills.is_on(KILL_SIGNAL);
    if report.log.is_some() || report.choice.is_some() && facts.log_unreadable.is_some() {
        Fate::Chosen
    } else if facts.log_unreadable.is_none() || hooked {
        match report.choice {
            Some(_) => Fate::Chosen,
            None => Fate::WasDying,
        }
    } else {
        Fate::Unknown
    }
}

/// Name of the signal whose hook sees choices (`kernel::hooks::oom`).
pub(super) const KILL_SIGNAL: &str = "OOM kill";
