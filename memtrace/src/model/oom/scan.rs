//! One scan of the OOM killer: who leads at its end.

use super::{
    badness::{Badness, badness},
    eligible::{Ineligible, Turn, turn},
    tree::Placed,
};
use crate::input::{OomTask, RssCounters};

/// A process as the scan saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate<'a> {
    /// The process.
    pub task: &'a OomTask,
    /// Its terms; meaningful whether it may be killed or not.
    pub badness: Badness,
    /// Why it is passed over, if it is.
    pub ineligible: Option<Ineligible>,
    /// It is taken before all others (`oom_flag_origin`).
    pub origin: bool,
    cgroup_place: usize,
    place_known: bool,
}

impl Candidate<'_> {
    /// Points as the scan compares them.
    pub fn points(&self) -> i64 {
        match (self.ineligible, self.origin) {
            (Some(_), _) => i64::MIN,
            (None, true) => i64::MAX,
            (None, false) => self.badness.points,
        }
    }

    /// Whether it can be chosen. The kernel's scan starts from LONG_MIN and takes what is not less.
    pub fn is_eligible(&self) -> bool {
        self.ineligible.is_none()
    }

    /// Whether the scan's order between two processes is known, and not just likely.
    pub fn order_known(&self, other: &Self) -> bool {
        self.cgroup_place != other.cgroup_place || (self.place_known && other.place_known)
    }
}

/// How a scan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// This candidate.
    Victim(usize),
    /// Nobody: this candidate was killed before and is still dying.
    Aborted(usize),
    /// Nobody may be killed.
    Nobody,
}

/// What differs between kernels and domains.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Size of what ran out.
    pub totalpages: u64,
    /// What the kernel reads of a counter.
    pub counters: RssCounters,
    /// Base page size.
    pub page_size_bytes: u64,
}

/// Looks at processes in their order. KERNEL: mm/oom_kill.c, `select_bad_process` and
/// `oom_evaluate_task`: `points < oc->chosen_points` is passed over, so of equals the last one wins.
pub fn scan<'a>(members: &[Placed<'a>], scale: Scale) -> (Vec<Candidate<'a>>, Chosen) {
    let mut candidates = Vec::with_capacity(members.len());
    let mut aborted = None;
    for placed in members {
        let turn = turn(placed.task);
        if turn == Turn::Abort && aborted.is_none() {
            aborted = Some(candidates.len());
        }
        candidates.push(Candidate {
            task: placed.task,
            badness: badness(
                placed.task,
                scale.totalpages,
                scale.counters,
                scale.page_size_bytes,
            ),
            ineligible: match turn {
                Turn::Skip(reason) => Some(reason),
                Turn::Abort | Turn::First | Turn::Score => None,
            },
            origin: turn == Turn::First,
            cgroup_place: placed.cgroup_place,
            place_known: placed.place_known,
        });
    }
    let chosen = match aborted {
        Some(index) => Chosen::Aborted(index),
        None => last_of_the_best(candidates.iter().map(Candidate::points), &candidates),
    };
    (candidates, chosen)
}

/// The victim among `points`, one for each candidate.
pub fn last_of_the_best(points: impl Iterator<Item = i64>, candidates: &[Candidate<'_>]) -> Chosen {
    points
        .zip(candidates)
        .enumerate()
        .filter(|(_, (_, candidate))| candidate.is_eligible())
        // Of equal maxima the last one.
        .max_by_key(|(_, (points, _))| *points)
        .map_or(Chosen::Nobody, |(index, _)| Chosen::Victim(index))
}
