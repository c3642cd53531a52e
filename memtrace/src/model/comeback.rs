//! Would it come back? The working set at one instant, by what pressure could do with it.

use super::unmapped;
use crate::input::CgroupSample;

/// A working set split by what would happen to it if the cgroup ran into its limit. The parts sum
/// up to the working set, in bytes.
///
/// `memory.stat` does not say how much of active_file is dirty, so all that is dirty or under
/// writeback is taken to be active: what is promised `now` is the least that is clean. Protection
/// (`memory.min`, `memory.low`) does not count: it holds against pressure from above, not against
/// the cgroup's own limit (mm/memcontrol.c, `mem_cgroup_calculate_protection`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comeback {
    /// Clean page cache: dropped at once.
    pub now_bytes: u64,
    /// Dirty page cache, or page cache on its way to disk: dropped once it is there.
    pub after_writeback_bytes: u64,
    /// Anonymous memory and shmem that fit into the swap there is.
    pub to_swap_bytes: u64,
    /// What shrinkers may free, as far as it is not in use: slab (on v1, which does not tell it apart,
    /// all kernel memory), and what nobody maps any more of huge pages.
    pub perhaps_bytes: u64,
    /// Everything else: what there is no swap for, what is locked, kernel memory.
    pub stays_bytes: u64,
}

impl Comeback {
    /// Splits the working set of a sample; `None` if the sample does not know what it takes.
    pub fn of(sample: &CgroupSample) -> Option<Self> {
        let stat = &sample.stat;
        let mut left_bytes = sample.working_set_bytes()?;
        // What several counters, read one after the other, promise too much is not there.
        let mut take = |bytes: u64| {
            let taken = bytes.min(left_bytes);
            left_bytes -= taken;
            taken
        };
        let active = stat.active_file?;
        let unclean = stat.file_dirty?.saturating_add(stat.file_writeback?);
        let after_writeback_bytes = take(unclean.min(active));
        let now_bytes = take(active.saturating_sub(unclean));
        // Locked memory is on the unevictable list, so these two lists are what swap could take.
        let unmapped_bytes = unmapped::beside_swap_cache_bytes(sample).unwrap_or(0);
        let swappable = stat.inactive_anon?.saturating_add(stat.active_anon?);
        let swappable = swappable.saturating_sub(unmapped_bytes);
        let to_swap_bytes = take(swappable.min(sample.swap_available_bytes?));
        let slab_bytes = stat.slab_reclaimable.or(sample.kmem_bytes);
        let perhaps_bytes = take(slab_bytes.unwrap_or(0).saturating_add(unmapped_bytes));
        Some(Self {
            now_bytes,
            after_writeback_bytes,
            to_swap_bytes,
            perhaps_bytes,
            stays_bytes: left_bytes,
        })
    }

    /// The working set again.
    pub fn total_bytes(&self) -> u64 {
        self.now_bytes
            + self.after_writeback_bytes
            + self.to_swap_bytes
            + self.perhaps_bytes
            + self.stays_bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn sample(usage: u64, figures: &[(&str, u64)], swap: u64) -> CgroupSample {
        let mut sample = CgroupSample {
            usage_bytes: Some(usage),
            swap_available_bytes: Some(swap),
            ..CgroupSample::default()
        };
        for key in [
            "inactive_file",
            "active_file",
            "file_dirty",
            "file_writeback",
            "inactive_anon",
            "active_anon",
        ] {
            sample.stat.set(key, 0);
        }
        for (key, bytes) in figures {
            assert!(sample.stat.set(key, *bytes), "{key}");
        }
        sample
    }

    #[test]
    fn each_kind_of_memory_has_its_fate() {
        let figures = [
            ("inactive_file", 50 * MIB),
            ("active_file", 100 * MIB),
            ("file_dirty", 7 * MIB),
            ("file_writeback", 3 * MIB),
            ("inactive_anon", 40 * MIB),
            ("active_anon", 20 * MIB),
            ("slab_reclaimable", 5 * MIB),
            ("unevictable", 2 * MIB),
        ];
        let comeback = |swap| Comeback::of(&sample(227 * MIB, &figures, swap)).unwrap();
        let without_swap = Comeback {
            now_bytes: 90 * MIB,
            after_writeback_bytes: 10 * MIB,
            to_swap_bytes: 0,
            perhaps_bytes: 5 * MIB,
            stays_bytes: 72 * MIB,
        };
        assert_eq!(comeback(0), without_swap);
        let some = comeback(30 * MIB);
        assert_eq!((some.to_swap_bytes, some.stays_bytes), (30 * MIB, 42 * MIB));
        let enough = comeback(1 << 40);
        assert_eq!(
            (enough.to_swap_bytes, enough.stays_bytes),
            (60 * MIB, 12 * MIB)
        );
    }

    #[test]
    fn unknown_is_not_promised() {
        let mut unknown = sample(100 * MIB, &[("active_file", 50 * MIB)], 0);
        assert!(Comeback::of(&unknown).is_some());
        unknown.swap_available_bytes = None;
        assert_eq!(Comeback::of(&unknown), None);
    }

    proptest! {
        #[test]
        fn the_parts_are_the_working_set(
            usage in 0..1_u64 << 40, inactive in 0..1_u64 << 40, active in 0..1_u64 << 40,
            dirty in 0..1_u64 << 40, anon in 0..1_u64 << 40, swap in any::<u64>(),
        ) {
            let figures = [
                ("inactive_file", inactive),
                ("active_file", active),
                ("file_dirty", dirty),
                ("active_anon", anon),
            ];
            let sample = sample(usage, &figures, swap);
            let comeback = Comeback::of(&sample).unwrap();
            prop_assert_eq!(Some(comeback.total_bytes()), sample.working_set_bytes());
        }
    }
}
