//! New cgroups with a limit, found without a snapshot of the machine: a container may outgrow its
//! limit within a second.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::lookout::cpu_time;
use crate::{
    cgroup::{Census, Hierarchy, Visit, has_limit, oom_memory, walk},
    input::OomMemory,
};

/// A limit is written after the cgroup is made: it is looked for this long.
const YOUNG: Duration = Duration::from_secs(2);
/// How often it is asked whether cgroups came or went, and whether the young have a limit.
const ASK: Duration = Duration::from_millis(50);
/// A walk rests so many times its cost, in CPU time: thousands of cgroups take 10 ms and more, and where
/// containers come and go all the time each would ask for another.
const REST: u32 = 9;

/// A cgroup that came and has a limit.
pub(super) struct Arrival {
    pub(super) id: u64,
    pub(super) directory: PathBuf,
    pub(super) memory: OomMemory,
}

/// Finds them.
pub(super) struct Arrivals {
    census: Option<Census>,
    asked: Option<Instant>,
    /// Cgroups came or went since the last walk.
    changed: bool,
    /// The last walk, and what it took.
    walked: Option<(Instant, Duration)>,
    known: BTreeSet<u64>,
    /// Without a limit so far, and since when they are known. At the first look that is all of them:
    /// a limit may be written between the first snapshot and the second.
    young: Vec<(u64, PathBuf, Instant)>,
}

impl Arrivals {
    pub(super) fn new(hierarchy: &Hierarchy) -> Self {
        let census = Census::open(hierarchy);
        Self {
            // New cgroups are then found with the next snapshot.
            census: census
                .inspect_err(|error| log::warn!("new cgroups are found late: {error}"))
                .ok()
                .flatten(),
            asked: None,
            changed: false,
            walked: None,
            known: BTreeSet::new(),
            young: Vec::new(),
        }
    }

    /// Those at or below `top` that came since the last call, if it is time to look.
    pub(super) fn look(&mut self, hierarchy: &Hierarchy, top: &Path) -> Vec<Arrival> {
        let Some(census) = &mut self.census else {
            return Vec::new();
        };
        if self.asked.is_some_and(|at| at.elapsed() < ASK) {
            return Vec::new();
        }
        let now = Instant::now();
        self.asked = Some(now);
        self.changed |= census.changed().unwrap_or(false);
        let rested = |(at, cost): (Instant, Duration)| at.elapsed() >= cost * REST;
        if self.changed && self.walked.is_none_or(rested) {
            self.changed = false;
            let before = cpu_time();
            let mut ids = BTreeSet::new();
            // What vanishes meanwhile is no arrival.
            let _ = walk(top, |directory, id| {
                ids.insert(id);
                if !self.known.contains(&id) {
                    self.young.push((id, directory.to_owned(), now));
                }
                Visit::Descend
            });
            self.known = ids;
            self.walked = Some((now, cpu_time().saturating_sub(before)));
        }
        let mut arrived = Vec::new();
        self.young.retain(|(id, directory, since)| {
            let version = hierarchy.version();
            let limited = has_limit(version, directory);
            // It may go between the two.
            if limited && let Ok(memory) = oom_memory(version, directory) {
                arrived.push(Arrival {
                    id: *id,
                    directory: directory.clone(),
                    memory,
                });
            }
            !limited && since.elapsed() < YOUNG
        });
        arrived
    }
}
