//! Every kill is told once: what the kernel counts, held against what was reported. Pure.

use std::{cmp::Ordering, collections::BTreeMap};

/// A kill is reported some 150 ms after it is counted, or seconds on a machine that is out of breath
/// (`model::oom::kills`, `LOGGED_NS`); what nobody has told of after this time,
/// nobody will.
const PATIENCE_NS: u64 = 6_000_000_000;

/// One counter of kills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Account {
    /// Told of, or there before anybody watched.
    accounted: u64,
    /// Since when the kernel counts more.
    missing_since_ns: Option<u64>,
    /// What is missing was missing at the first look.
    before_start: bool,
    /// Since when it counts less: a death that was told of was no kill.
    ahead_since_ns: Option<u64>,
}

impl Account {
    fn settle(&mut self, count: u64, now_ns: u64) -> Option<u64> {
        let ripe = |since: &mut Option<u64>| {
            now_ns.saturating_sub(*since.get_or_insert(now_ns)) >= PATIENCE_NS
        };
        match count.cmp(&self.accounted) {
            Ordering::Equal => {
                (self.missing_since_ns, self.ahead_since_ns) = (None, None);
                self.before_start = false;
            }
            Ordering::Greater => {
                self.ahead_since_ns = None;
                return ripe(&mut self.missing_since_ns).then(|| count - self.accounted);
            }
            // As a rule it is counted in a moment.
            Ordering::Less => {
                self.missing_since_ns = None;
                if ripe(&mut self.ahead_since_ns) {
                    (self.accounted, self.ahead_since_ns) = (count, None);
                }
            }
        }
        None
    }
}

/// What a counter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counter {
    /// A cgroup's `oom_kill`, of `memory.events` or `memory.oom_control`.
    Cgroup(u64),
    /// The machine's.
    Node,
}

/// Kills that the kernel counted and nobody told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Untold {
    /// Whose counter shows them.
    pub(super) counter: Counter,
    /// How many.
    pub(super) kills: u64,
    /// They were there at the first look: no agent ran.
    pub(super) before_start: bool,
}

/// All counters.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    open: BTreeMap<Counter, Account>,
    /// As the last agent left them. A counter that is not among them began with 0 since then.
    inherited: Option<BTreeMap<Counter, u64>>,
    begun: bool,
}

impl Accounts {
    /// With what the last agent had accounted for, on this boot; `None` if there was none: then the
    /// counters as they are found are where it begins.
    pub(super) fn new(inherited: Option<BTreeMap<Counter, u64>>) -> Self {
        Self {
            open: BTreeMap::new(),
            inherited,
            begun: false,
        }
    }

    /// A kill was reported: it counts in each of these.
    pub(super) fn told(&mut self, counters: impl IntoIterator<Item = Counter>, kills: u64) {
        for counter in counters {
            match &self.inherited {
                // What is found at the first look has this kill in it.
                None => {
                    if let Some(account) = self.open.get_mut(&counter) {
                        account.accounted += kills;
                    }
                }
                Some(known) => {
                    let before = known.get(&counter).copied().unwrap_or(0);
                    let account = self.open.entry(counter).or_insert(Account {
                        accounted: before,
                        ..Account::default()
                    });
                    account.accounted += kills;
                }
            }
        }
    }

    /// The first look at all counters is over: one that shows up from now on began with 0.
    pub(super) fn begun(&mut self) {
        self.inherited.get_or_insert_default();
        self.begun = true;
    }

    /// Forgets cgroups that are not there.
    pub(super) fn keep(&mut self, is_there: impl Fn(u64) -> bool) {
        self.open.retain(|counter, _| match counter {
            Counter::Cgroup(id) => is_there(*id),
            Counter::Node => true,
        });
    }

    /// The kernel counts `count`. What is returned has not been told of for a while: it is to be
    /// reported now, and then [`told`](Self::told) of.
    pub(super) fn count(&mut self, counter: Counter, count: u64, now_ns: u64) -> Option<Untold> {
        let inherited = self.inherited.as_ref();
        let first_look = !self.begun;
        let account = self.open.entry(counter).or_insert_with(|| Account {
            before_start: first_look,
            accounted: match inherited {
                None => count,
                Some(known) => known.get(&counter).copied().unwrap_or(0).min(count),
            },
            ..Account::default()
        });
        let kills = account.settle(count, now_ns)?;
        Some(Untold {
            counter,
            kills,
            before_start: account.before_start,
        })
    }

    /// What is accounted for, to be kept for the next agent.
    pub(super) fn balances(&self) -> impl Iterator<Item = (Counter, u64)> {
        self.open
            .iter()
            .map(|(counter, account)| (*counter, account.accounted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Counter = Counter::Cgroup(7);
    const S: u64 = 1_000_000_000;

    #[test]
    fn a_kill_that_is_told_of_in_time_is_no_gap() {
        let mut accounts = Accounts::new(None);
        assert_eq!(accounts.count(A, 3, 0), None);
        assert_eq!(accounts.count(A, 4, S), None);
        accounts.told([A, Counter::Node], 1);
        assert_eq!(accounts.count(A, 4, 10 * S), None);
        // Told before it is counted.
        accounts.told([A], 1);
        assert_eq!(accounts.count(A, 4, 11 * S), None);
        assert_eq!(accounts.count(A, 5, 12 * S), None);
    }

    #[test]
    fn a_death_that_was_no_kill_hides_none() {
        let mut accounts = Accounts::new(None);
        accounts.count(A, 0, 0);
        accounts.told([A], 1);
        assert_eq!(accounts.count(A, 0, S), None);
        assert_eq!(accounts.count(A, 0, 8 * S), None);
        assert_eq!(accounts.count(A, 1, 9 * S), None);
        assert_eq!(
            accounts.count(A, 1, 15 * S).map(|untold| untold.kills),
            Some(1)
        );
    }

    #[test]
    fn what_nobody_tells_of_is_untold_once() {
        let mut accounts = Accounts::new(None);
        accounts.count(A, 0, 0);
        assert_eq!(accounts.count(A, 2, S), None);
        assert_eq!(accounts.count(A, 2, 6 * S), None);
        let untold = accounts.count(A, 3, 7 * S).unwrap();
        assert_eq!((untold.counter, untold.kills), (A, 3));
        accounts.told([A], untold.kills);
        assert_eq!(accounts.count(A, 3, 60 * S), None);
    }

    #[test]
    fn the_gap_between_two_agents() {
        let inherited = BTreeMap::from([(A, 5)]);
        let mut accounts = Accounts::new(Some(inherited));
        let made_since = Counter::Cgroup(8);
        for now in [0, 6 * S] {
            let untold = accounts.count(A, 7, now);
            assert_eq!(untold.map(|untold| untold.kills), (now > 0).then_some(2));
            let untold = accounts.count(made_since, 1, now);
            assert_eq!(untold.map(|untold| untold.kills), (now > 0).then_some(1));
        }
        let first = Accounts::new(None).count(A, 7, 0);
        assert_eq!(first, None);
    }

    #[test]
    fn a_cgroup_made_since_that_is_told_of_before_it_is_seen() {
        let mut accounts = Accounts::new(None);
        accounts.begun();
        accounts.told([A], 1);
        assert_eq!(accounts.count(A, 1, 0), None);
        assert_eq!(accounts.count(A, 1, 9 * S), None);
    }

    #[test]
    fn balances_are_what_was_told() {
        let mut accounts = Accounts::new(None);
        accounts.count(A, 4, 0);
        accounts.count(A, 6, S);
        accounts.told([A], 1);
        assert_eq!(accounts.balances().collect::<Vec<_>>(), [(A, 5)]);
        accounts.keep(|id| id != 7);
        assert_eq!(accounts.balances().count(), 0);
    }
}
