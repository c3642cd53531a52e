//! How long tasks waited in reclaim, as its hooks tell, in the last minute.

use std::collections::{BTreeMap, VecDeque};

use crate::input::ReclaimEvent;

/// Names of the signals that tell (`kernel::hooks::reclaim`).
pub(super) const RECLAIM_SIGNALS: [&str; 2] = ["memcg reclaim", "direct reclaim"];
/// Waits are summed over this time.
const BUCKET_NS: u64 = 100_000_000;
/// How many such times are kept: a minute.
const BUCKETS: usize = 600;
/// Processes told apart at a time; the waits of more go to nobody.
const MAX_PROCESSES: usize = 256;

/// What one process, or several, waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Times that a task had to reclaim for itself.
    pub passes: u64,
    /// How long that took in all, ns.
    pub total_ns: u64,
}

impl Waits {
    fn add(&mut self, other: Self) {
        self.passes += other.passes;
        self.total_ns += other.total_ns;
    }
}

/// What the tasks of a domain waited in a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stalled {
    /// All of them.
    pub waits: Waits,
    /// The process that waited longest, its name if it is known, and its part; `None` if nobody
    /// waited.
    pub longest: Option<(u32, Option<String>, Waits)>,
}

/// Of one process in one cgroup; nobody's, where there were too many.
type Who = (Option<u64>, Option<u32>);

/// The last minute.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    /// Number of the time since boot, and who waited then; oldest first.
    buckets: VecDeque<(u64, BTreeMap<Who, Waits>)>,
}

impl Stalls {
    pub(super) fn learn(&mut self, event: &ReclaimEvent) {
        let number = event.ended_ns / BUCKET_NS;
        // CPUs hand their records over one after the other: one that is late counts now.
        if self.buckets.back().is_none_or(|(last, _)| *last < number) {
            self.buckets.push_back((number, BTreeMap::new()));
        }
        while self.buckets.len() > BUCKETS
            || (self.buckets.front()).is_some_and(|(first, _)| *first + (BUCKETS as u64) < number)
        {
            self.buckets.pop_front();
        }
        let Some((_, bucket)) = self.buckets.back_mut() else {
            return;
        };
        let known = (event.task_cgroup_id, Some(event.pid));
        let who = match bucket.len() < MAX_PROCESSES || bucket.contains_key(&known) {
            true => known,
            false => (event.task_cgroup_id, None),
        };
        bucket.entry(who).or_default().add(Waits {
            passes: 1,
            total_ns: event.duration_ns,
        });
    }

    /// The waits, from one instant to another, of processes in the cgroups that `within` says; whole
    /// tenths of a second.
    pub(super) fn between(
        &self,
        start_ns: u64,
        end_ns: u64,
        within: impl Fn(Option<u64>) -> bool,
        name: impl Fn(u32) -> Option<String>,
    ) -> Stalled {
        let numbers = start_ns / BUCKET_NS..=end_ns / BUCKET_NS;
        let mut by_process: BTreeMap<Option<u32>, Waits> = BTreeMap::new();
        for (_, bucket) in self.buckets.iter().filter(|(at, _)| numbers.contains(at)) {
            for ((_, pid), waits) in bucket.iter().filter(|((cgroup, _), _)| within(*cgroup)) {
                by_process.entry(*pid).or_default().add(*waits);
            }
        }
        let mut stalled = Stalled::default();
        for (pid, waits) in by_process {
            stalled.waits.add(waits);
            let most = stalled.longest.as_ref();
            if let Some(pid) = pid
                && most.is_none_or(|(.., most)| most.total_ns < waits.total_ns)
            {
                stalled.longest = Some((pid, name(pid), waits));
            }
        }
        stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::ReclaimKind;

    const MS: u64 = 1_000_000;

    fn wait(ended_ms: u64, pid: u32, cgroup: u64) -> ReclaimEvent {
        ReclaimEvent {
            kind: ReclaimKind::Memcg,
            ended_ns: ended_ms * MS,
            duration_ns: 2 * MS,
            pid,
            tid: pid,
            order: 0,
            task_cgroup_id: Some(cgroup),
            target_cgroup_id: None,
            reclaimed_pages: 32,
            cause: None,
            may_swap: None,
        }
    }

    #[test]
    fn waits_are_summed_by_process_in_a_domain_and_a_time() {
        let mut stalls = Stalls::default();
        for (ended_ms, pid, cgroup) in [(900, 1, 7), (1_000, 2, 7), (1_050, 2, 7), (1_060, 3, 8)] {
            stalls.learn(&wait(ended_ms, pid, cgroup));
        }
        let seven = |id: Option<u64>| id == Some(7);
        let name = |pid: u32| (pid == 2).then(|| "java".to_owned());
        let all = stalls.between(0, 2_000 * MS, seven, name);
        assert_eq!((all.waits.passes, all.waits.total_ns), (3, 6 * MS));
        let (pid, name, longest) = all.longest.unwrap();
        assert_eq!((pid, name.as_deref(), longest.passes), (2, Some("java"), 2));
        let first = stalls.between(0, 950 * MS, seven, |_| None);
        assert_eq!(first.waits.passes, 1);
        let none = stalls.between(0, 2_000 * MS, |_| false, |_| None);
        assert_eq!(none, Stalled::default());
    }

    #[test]
    fn it_stays_small() {
        let mut stalls = Stalls::default();
        for pass in 0..1_000_u64 {
            stalls.learn(&wait(500, pass as u32, 7));
        }
        assert!(stalls.buckets[0].1.len() <= MAX_PROCESSES + 1);
        let all = stalls.between(0, 2_000 * MS, |_| true, |_| None);
        assert_eq!(all.waits.passes, 1_000, "summed, not dropped");
        for second in 1..200 {
            stalls.learn(&wait(second * 1_000, 1, 7));
        }
        assert!(stalls.buckets.len() <= BUCKETS);
        let old = stalls.between(0, 1_000 * MS, |_| true, |_| None);
        assert_eq!(old.waits.passes, 0);
    }
}
