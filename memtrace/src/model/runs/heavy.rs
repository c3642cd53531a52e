//! Sums of the keys that have most, and of them only: the Misra-Gries summary.
//!
//! J. Misra and D. Gries, "Finding repeated elements" (1982), with weights, and merged as in P. Agarwal
//! and others, "Mergeable summaries" (2012). When there are too many keys, the weight that half of them
//! have at least is taken from each; those that have no more than that go. So a key that has much stays,
//! and is short by no more than was taken in all.

use std::collections::BTreeMap;

use super::RunSum;

/// At most so many sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeavyHitters<K> {
    sums: BTreeMap<K, RunSum>,
    most: usize,
    /// What one key may be short of, in pages: everything that was ever taken from each.
    short_pages: u64,
}

impl<K: Copy + Ord> HeavyHitters<K> {
    /// Keeps up to `most` keys, at least two.
    pub(super) fn new(most: usize) -> Self {
        Self {
            sums: BTreeMap::new(),
            most: most.max(2),
            short_pages: 0,
        }
    }

    /// Adds to a key. What no longer has room comes back: what was taken from each key.
    pub(super) fn add(&mut self, key: K, sum: RunSum) -> Vec<(K, RunSum)> {
        self.sums.entry(key).or_default().add(sum);
        if self.sums.len() > self.most {
            self.make_room()
        } else {
            Vec::new()
        }
    }

    /// What one key may be short of at most. With `n` pages added in all and room for `most` keys it is
    /// no more than `n / (most / 2 + 1)`: each time, at least so many keys gave as much.
    pub(super) fn short_pages(&self) -> u64 {
        self.short_pages
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &RunSum)> {
        self.sums.iter()
    }

    /// Every sum, and what they may be short of.
    pub(super) fn into_parts(self) -> (BTreeMap<K, RunSum>, u64) {
        (self.sums, self.short_pages)
    }

    /// The sums of another summary may be short by so much.
    pub(super) fn widen(&mut self, short_pages: u64) {
        self.short_pages = self.short_pages.saturating_add(short_pages);
    }

    fn make_room(&mut self) -> Vec<(K, RunSum)> {
        let mut pages: Vec<u64> = self.sums.values().map(|sum| sum.pages).collect();
        let kept = self.most / 2;
        // At least `kept + 1` keys have this or more, so no more than `kept` have more.
        let (_, taken, _) = pages.select_nth_unstable_by(kept, |one, other| other.cmp(one));
        let taken = *taken;
        self.short_pages = self.short_pages.saturating_add(taken);
        let mut given = Vec::new();
        self.sums.retain(|key, sum| {
            if sum.pages <= taken {
                given.push((*key, *sum));
                return false;
            }
            if taken > 0 {
                given.push((*key, sum.split_off(taken)));
            }
            true
        });
        given
    }
}
