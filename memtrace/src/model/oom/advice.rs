//! The two questions people ask: why not the biggest, and what adj would change it?

use super::{
    badness::{OOM_SCORE_ADJ_MAX, OOM_SCORE_ADJ_MIN, adj_pages},
    scan::{Candidate, Chosen, last_of_the_best},
};

/// Why the process that holds the most memory is not the victim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTheBiggest {
    /// The biggest.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// What it holds: rss, swap and page tables.
    pub memory_pages: i64,
    /// Why, in words that follow "because".
    pub because: String,
}

/// An `oom_score_adj` that would make somebody else the victim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdjChange {
    /// Whose.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// What it is now.
    pub from: i32,
    /// The nearest value that changes the choice.
    pub to: i32,
    /// Who would be the victim then; `None`: nobody could be killed.
    pub then: Option<(u32, String)>,
}

/// `None` if the victim is the biggest, or no other is bigger.
pub fn not_the_biggest(
    candidates: &[Candidate<'_>],
    victim: usize,
    totalpages: u64,
) -> Option<NotTheBiggest> {
    let held = |candidate: &Candidate<'_>| candidate.badness.memory_pages();
    let chosen = &candidates[victim];
    let biggest = candidates
        .iter()
        .filter(|candidate| held(candidate) > held(chosen))
        .max_by_key(|candidate| held(candidate))?;
    let because = match biggest.ineligible {
        Some(reason) => reason.words().to_owned(),
        None if chosen.origin => format!(
            "{} is in swapoff(2) or a KSM unmerge, and such tasks go first",
            chosen.task.comm
        ),
        None => format!(
            "oom_score_adj counts {} pages a step here ({totalpages} / 1000): its {} makes {:+} \
             pages, the victim's {} makes {:+}",
            totalpages / 1000,
            biggest.task.oom_score_adj,
            biggest.badness.adj_pages,
            chosen.task.oom_score_adj,
            chosen.badness.adj_pages,
        ),
    };
    Some(NotTheBiggest {
        pid: biggest.task.pid,
        comm: biggest.task.comm.clone(),
        memory_pages: held(biggest),
        because,
    })
}

/// The nearest change of the victim's own `oom_score_adj` that spares it, and of the runner-up's that
/// makes it the victim; each only if there is one.
pub fn adj_changes(candidates: &[Candidate<'_>], victim: usize, totalpages: u64) -> Vec<AdjChange> {
    let mut changes = Vec::new();
    let adj = candidates[victim].task.oom_score_adj;
    let lower = (OOM_SCORE_ADJ_MIN..adj).rev();
    changes.extend(first_change(
        candidates,
        victim,
        lower,
        totalpages,
        |then| then != Some(victim),
    ));
    let runner_up = candidates
        .iter()
        .enumerate()
        .filter(|(index, candidate)| *index != victim && candidate.is_eligible())
        .max_by_key(|(_, candidate)| candidate.points());
    if let Some((index, candidate)) = runner_up {
        let higher = candidate.task.oom_score_adj + 1..=OOM_SCORE_ADJ_MAX;
        changes.extend(first_change(
            candidates,
            index,
            higher,
            totalpages,
            |then| then == Some(index),
        ));
    }
    changes
}

/// The first of `values` that, as the `oom_score_adj` of `changed`, leads where `wanted` says.
fn first_change(
    candidates: &[Candidate<'_>],
    changed: usize,
    values: impl Iterator<Item = i32>,
    totalpages: u64,
    wanted: impl Fn(Option<usize>) -> bool,
) -> Option<AdjChange> {
    let candidate = &candidates[changed];
    if candidate.origin {
        return None;
    }
    let outcome = |to: i32| {
        let points = candidates.iter().enumerate().map(|(index, other)| {
            if index != changed {
                other.points()
            } else if to == OOM_SCORE_ADJ_MIN {
                i64::MIN
            } else {
                other.badness.memory_pages() + adj_pages(to, totalpages)
            }
        });
        match last_of_the_best(points, candidates) {
            // The kernel passes over what it may not kill; here that is who got LONG_MIN.
            Chosen::Victim(index) if index == changed && to == OOM_SCORE_ADJ_MIN => None,
            Chosen::Victim(index) => Some(index),
            Chosen::Aborted(_) | Chosen::Nobody => None,
        }
    };
    values
        .map(|to| (to, outcome(to)))
        .find(|(_, then)| wanted(*then))
        .map(|(to, then)| AdjChange {
            pid: candidate.task.pid,
            comm: candidate.task.comm.clone(),
            from: candidate.task.oom_score_adj,
            to,
            then: then.map(|index| {
                let task = candidates[index].task;
                (task.pid, task.comm.clone())
            }),
        })
}
