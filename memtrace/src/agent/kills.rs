//! Kills, counted by who died and whose limit it was. Pure.

use std::collections::BTreeMap;

use super::Labels;
use crate::model::oom::{Foretold, Held, Limit, Owner};

/// Label sets with kills that are kept; the one that died first of all goes for a new one.
const MAX_LABELS: usize = 4_096;

/// Whose limit it was, seen from the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitOwner {
    /// Its own cgroup's.
    Own,
    /// One above it.
    Ancestor,
    /// The machine's.
    Node,
    /// Nobody could tell.
    Unknown,
}

impl LimitOwner {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Own, Self::Ancestor, Self::Node, Self::Unknown];

    /// Stable name, for labels.
    pub fn id(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Ancestor => "ancestor",
            Self::Node => "node",
            Self::Unknown => "unknown",
        }
    }

    /// Of what a report says.
    pub(super) fn of(limit: Option<&Limit>) -> Self {
        match limit.map(|limit| limit.owner) {
            Some(Owner::Own) => Self::Own,
            Some(Owner::Ancestor) => Self::Ancestor,
            Some(Owner::Node) => Self::Node,
            Some(Owner::Cgroup) | None => Self::Unknown,
        }
    }
}

/// Kills by [`LimitOwner::ALL`].
pub type KillCounts = [u64; 4];

/// How predictions did, and what nobody told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeKills {
    /// All kills, by whose limit it was.
    pub by_owner: KillCounts,
    /// Predictions that were right, tied, wrong, and kills without one.
    pub foretold: [u64; 4],
    /// Kills that the kernel counted and no hook or log told of.
    pub untold: u64,
}

impl NodeKills {
    /// Names of [`NodeKills::foretold`]'s places.
    pub const OUTCOMES: [&'static str; 4] = ["right", "tie", "wrong", "none"];
}

/// All kills since the agent started.
#[derive(Debug, Default)]
pub(super) struct Kills {
    pub(super) node: NodeKills,
    /// (when the last was counted, how many).
    by_labels: BTreeMap<Labels, (u64, KillCounts)>,
}

impl Kills {
    /// `processes` died at once by one decision.
    pub(super) fn count(
        &mut self,
        labels: Option<Labels>,
        owner: LimitOwner,
        processes: u64,
        now_ns: u64,
    ) {
        let place = owner as usize;
        self.node.by_owner[place] += processes;
        let Some(labels) = labels else {
            return;
        };
        if self.by_labels.len() >= MAX_LABELS && !self.by_labels.contains_key(&labels) {
            let oldest = self.by_labels.iter().min_by_key(|(_, (at, _))| *at);
            if let Some(oldest) = oldest.map(|(labels, _)| labels.clone()) {
                self.by_labels.remove(&oldest);
            }
        }
        let (at, counts) = self.by_labels.entry(labels).or_default();
        *at = now_ns;
        counts[place] += processes;
    }

    /// How the prediction for the limit, or else the one for now, did.
    pub(super) fn judge(&mut self, foretold: Option<&Foretold>) {
        let held = foretold.map(|foretold| {
            let last = foretold.at_limit.as_ref().unwrap_or(&foretold.now);
            last.held
        });
        let place = match held {
            Some(Held::Right) => 0,
            Some(Held::Tie) => 1,
            Some(Held::Wrong(_)) => 2,
            None => 3,
        };
        self.node.foretold[place] += 1;
    }

    /// Label sets with kills, also of those that are gone.
    pub(super) fn by_labels(&self) -> impl Iterator<Item = (&Labels, KillCounts)> {
        self.by_labels
            .iter()
            .map(|(labels, (_, counts))| (labels, *counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pod: usize) -> Labels {
        Labels {
            namespace: "shop".to_owned(),
            pod: format!("web-{pod}"),
            container: "app".to_owned(),
        }
    }

    #[test]
    fn counts_outlive_containers_and_are_bounded() {
        let mut kills = Kills::default();
        kills.count(Some(labels(0)), LimitOwner::Own, 3, 0);
        for pod in 1..=MAX_LABELS {
            kills.count(Some(labels(pod)), LimitOwner::Node, 1, pod as u64);
        }
        assert_eq!(kills.by_labels().count(), MAX_LABELS);
        assert!(kills.by_labels().all(|(known, _)| *known != labels(0)));
        kills.count(None, LimitOwner::Unknown, 1, 9);
        assert_eq!(kills.node.by_owner, [3, 0, MAX_LABELS as u64, 1]);
    }
}
