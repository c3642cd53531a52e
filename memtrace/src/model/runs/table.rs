//! The table of sums: the target's, and apart from them what concerns others.

use std::collections::BTreeMap;

use super::{RunKey, RunSum, heavy::HeavyHitters};
use crate::input::{FileId, RunEvent};

/// Pairs of a file and a process, with what happened to their pages, that are told apart. An hour of a
/// build has millions. Some 150 bytes each.
const PAIRS: usize = 16_384;
/// Files or processes, each summed over the others.
const SINGLES: usize = 8_192;
/// Cgroups that are told apart when neither is.
const CGROUPS: usize = 2_048;

/// What a sum no longer tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Summed {
    /// One process, many files.
    Files,
    /// One file, many processes.
    Processes,
    /// Many of both.
    Both,
}

impl Summed {
    /// The stable name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Processes => "processes",
            Self::Both => "both",
        }
    }
}

/// Room for what concerns neither the target nor its processes.
const OTHERS: usize = 2_048;

/// Runs summed by [`RunKey`], in a fixed order, in no more than some 5 MiB. Nothing is dropped: what
/// there is no room for is summed by file alone or by process alone, and in the end by cgroup alone.
///
/// What concerns others is apart: the hooks see the whole machine, and however busy that is, the target's
/// own rows stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunTable {
    own: Levels,
    others: Levels,
}

impl Default for RunTable {
    fn default() -> Self {
        Self {
            own: Levels::with_room(PAIRS, SINGLES, CGROUPS),
            others: Levels::with_room(OTHERS, OTHERS, OTHERS),
        }
    }
}

impl RunTable {
    /// Adds one run that concerns the target, or one that does not as far as is known.
    pub fn add(&mut self, run: &RunEvent, is_own: bool) {
        let levels = if is_own {
            &mut self.own
        } else {
            &mut self.others
        };
        levels.add(run);
    }

    /// Moves everything of `later` into this table. What keys may be short of adds up.
    pub fn merge(&mut self, later: &mut Self) {
        let Self { own, others } = std::mem::take(later);
        self.own.merge(own);
        self.others.merge(others);
    }

    /// Every sum: the target's pairs, then files or processes, then the rest, each in the order of its
    /// key; then the others' likewise. A key may be in both.
    pub fn iter(&self) -> impl Iterator<Item = (&RunKey, &RunSum)> {
        self.own.iter().chain(self.others.iter())
    }

    /// What a single sum of a file and a process of the target may be short of, in pages; it is in the
    /// sums of that file or that process, or in the rest. 0 while everything has room.
    pub fn short_pages(&self) -> u64 {
        self.own.short_pages()
    }
}

/// Three levels: by file and process; by one of both; by neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Levels {
    pairs: HeavyHitters<RunKey>,
    singles: HeavyHitters<RunKey>,
    rest: BTreeMap<RunKey, RunSum>,
    most_cgroups: usize,
}

impl Levels {
    /// Room for so many of each.
    pub(super) fn with_room(pairs: usize, singles: usize, cgroups: usize) -> Self {
        Self {
            pairs: HeavyHitters::new(pairs),
            singles: HeavyHitters::new(singles),
            rest: BTreeMap::new(),
            most_cgroups: cgroups,
        }
    }

    pub(super) fn add(&mut self, run: &RunEvent) {
        self.add_sum(
            RunKey::from(run),
            RunSum {
                pages: run.pages,
                folios: run.folios,
            },
        );
    }

    pub(super) fn merge(&mut self, later: Self) {
        let (pairs, short) = later.pairs.into_parts();
        self.pairs.widen(short);
        let (singles, short) = later.singles.into_parts();
        self.singles.widen(short);
        for (key, sum) in pairs.into_iter().chain(singles).chain(later.rest) {
            self.add_sum(key, sum);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&RunKey, &RunSum)> {
        (self.pairs.iter())
            .chain(self.singles.iter())
            .chain(&self.rest)
    }

    pub(super) fn short_pages(&self) -> u64 {
        self.pairs.short_pages()
    }

    fn add_sum(&mut self, key: RunKey, sum: RunSum) {
        match key.summed {
            None => {
                let given = self.pairs.add(key, sum);
                if !given.is_empty() {
                    self.add_singles(given);
                }
            }
            Some(Summed::Files | Summed::Processes) => self.add_single(key, sum),
            Some(Summed::Both) => self.add_rest(key, sum),
        }
    }

    /// Each goes to its file or to its process, to whichever there is more of.
    fn add_singles(&mut self, given: Vec<(RunKey, RunSum)>) {
        let mut by_file: BTreeMap<FileId, u64> = BTreeMap::new();
        let mut by_process: BTreeMap<u32, u64> = BTreeMap::new();
        for (key, sum) in &given {
            if let Some(file) = key.file {
                *by_file.entry(file).or_default() += sum.pages;
            }
            if let Some(pid) = key.pid {
                *by_process.entry(pid).or_default() += sum.pages;
            }
        }
        for (key, sum) in given {
            let of_file = key.file.and_then(|file| by_file.get(&file));
            let of_process = key.pid.and_then(|pid| by_process.get(&pid));
            let single = if of_file >= of_process {
                RunKey {
                    pid: None,
                    task_certain: true,
                    summed: Some(Summed::Processes),
                    ..key
                }
            } else {
                RunKey {
                    file: None,
                    summed: Some(Summed::Files),
                    ..key
                }
            };
            self.add_single(single, sum);
        }
    }

    fn add_single(&mut self, key: RunKey, sum: RunSum) {
        for (key, sum) in self.singles.add(key, sum) {
            self.add_rest(
                RunKey {
                    file: None,
                    pid: None,
                    task_certain: true,
                    summed: Some(Summed::Both),
                    ..key
                },
                sum,
            );
        }
    }

    fn add_rest(&mut self, key: RunKey, sum: RunSum) {
        let is_full = self.rest.len() >= self.most_cgroups && !self.rest.contains_key(&key);
        let key = if is_full {
            RunKey {
                charged_cgroup_id: None,
                target_cgroup_id: None,
                ..key
            }
        } else {
            key
        };
        self.rest.entry(key).or_default().add(sum);
    }
}
