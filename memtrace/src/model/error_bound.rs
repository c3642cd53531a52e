//! How large the residual of a ledger may honestly be.

use super::unmapped;
use crate::input::{CgroupSample, StatError};

/// The parts of the bound on `abs(unexplained)`, in bytes.
///
/// Per sample, the kernel promises `usage = anon + file + kernel + sock + hugetlb`, and what the lists have
/// beside them (`unmapped.rs`), only up to:
///
/// - **stock**: usage is charged 64 pages at a time, and what a CPU has not used yet sits in its
///   stock (mm/memcontrol.c, `MEMCG_CHARGE_BATCH`, `consume_stock`). Usage is too high by 0 to
///   `stock_pages` at either end, so the *change* is off by at most `stock_pages`, once.
/// - **stat**: `memory.stat` is flushed only when enough updates are pending
///   (`memcg_vmstats_needs_flush`). Its sum may be off either way at either end: twice.
/// - **skew**: usage is read before and after `memory.stat`; what moved in between may be in one
///   and not in the other. At either end `abs(second usage - first usage)`. Memory that was both
///   charged and freed between the two reads does not show here.
/// - **swapcache**: pages in the swap cache that nobody maps are in usage, but neither in anon nor
///   in file; how many of `swapcached` that are is not told. 0 to `swapcached` at either end, so
///   the change is off by at most the larger of the two. 0 without swap. Before 5.12 the node's whole
///   swap cache stands for the cgroup's, which is not counted. But all of it is on the LRU lists, so it
///   is no more than these have beside anon and file (`unmapped.rs`), up to their lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorBound {
    /// Per-CPU charge stocks.
    pub stock_bytes: u64,
    /// Statistics not flushed yet, both ends.
    pub stat_bytes: u64,
    /// What moved while the files were read, both ends.
    pub skew_bytes: u64,
    /// Unmapped swap cache.
    pub swapcache_bytes: u64,
}

impl ErrorBound {
    /// The bound for the window between two samples; `None` if usage could not be read twice at
    /// both ends, since then the skew is unknown.
    pub fn between(
        before: &CgroupSample,
        after: &CgroupSample,
        error: StatError,
        page_size_bytes: u64,
    ) -> Option<Self> {
        let swapcached = |sample: &CgroupSample| {
            let counted = sample.stat.swapcached.unwrap_or(0);
            let listed = unmapped::on_lists_bytes(sample)
                .map(|bytes| bytes.saturating_add(error.stat_pages * page_size_bytes));
            listed.map_or(counted, |listed| listed.min(counted))
        };
        Some(Self {
            stock_bytes: error.stock_pages * page_size_bytes,
            stat_bytes: 2 * error.stat_pages * page_size_bytes,
            skew_bytes: skew_bytes(before)? + skew_bytes(after)?,
            swapcache_bytes: swapcached(before).max(swapcached(after)),
        })
    }

    /// The bound.
    pub fn total_bytes(&self) -> u64 {
        let Self {
            stock_bytes,
            stat_bytes,
            skew_bytes,
            swapcache_bytes,
        } = self;
        stock_bytes + stat_bytes + skew_bytes + swapcache_bytes
    }
}

fn skew_bytes(sample: &CgroupSample) -> Option<u64> {
    Some(sample.usage_bytes?.abs_diff(sample.usage_after_bytes?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: StatError = StatError {
        stock_pages: 128,
        stat_pages: 254,
        counter_pages: 254,
    };

    fn sample(usage: u64, again: Option<u64>, swapcached: u64) -> CgroupSample {
        let mut sample = CgroupSample {
            usage_bytes: Some(usage),
            usage_after_bytes: again,
            ..CgroupSample::default()
        };
        sample.stat.swapcached = Some(swapcached);
        sample
    }

    #[test]
    fn every_part_counts_as_often_as_it_can_go_wrong() {
        let bound = ErrorBound::between(
            &sample(1000, Some(900), 7),
            &sample(2000, Some(2050), 5),
            ERROR,
            4096,
        )
        .unwrap();
        assert_eq!(bound.stock_bytes, 128 * 4096);
        assert_eq!(bound.stat_bytes, 2 * 254 * 4096);
        assert_eq!(bound.skew_bytes, 150);
        assert_eq!(bound.swapcache_bytes, 7);
        assert_eq!(bound.total_bytes(), (128 + 508) * 4096 + 157);
    }

    #[test]
    fn the_lists_have_room_for_no_more_swap_cache() {
        const MIB: u64 = 1 << 20;
        // The node has 500 MiB in its swap cache, this cgroup 3 MiB on its lists.
        let mut end = sample(0, Some(0), 500 * MIB);
        let lag = ERROR.stat_pages * 4096;
        let bytes = |end: &CgroupSample| {
            let bound = ErrorBound::between(end, end, ERROR, 4096);
            bound.unwrap().swapcache_bytes
        };
        assert_eq!(bytes(&end), 500 * MIB);
        for (key, mib) in [
            ("anon", 20),
            ("file", 40),
            ("inactive_anon", 18),
            ("active_anon", 10),
            ("inactive_file", 25),
            ("active_file", 10),
            ("unevictable", 0),
        ] {
            assert!(end.stat.set(key, mib * MIB), "{key}");
        }
        assert_eq!(bytes(&end), 3 * MIB + lag);
        // What moved while the lists were read never makes it negative.
        end.stat.anon = Some(90 * MIB);
        assert_eq!(bytes(&end), lag);
        end.stat.swapcached = Some(7);
        assert_eq!(bytes(&end), 7);
        end.stat.swapcached = None;
        assert_eq!(bytes(&end), 0);
    }

    #[test]
    fn an_unknown_skew_makes_the_bound_unknown() {
        let known = sample(1000, Some(1000), 0);
        let unknown = sample(1000, None, 0);
        assert_eq!(ErrorBound::between(&known, &unknown, ERROR, 4096), None);
    }
}
