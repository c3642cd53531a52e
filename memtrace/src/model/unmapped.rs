//! Memory on the LRU lists that is neither mapped anonymous memory nor page cache.

use crate::input::CgroupSample;

/// What the lists have beside `anon` and `file`; `None` if a list is unknown. The sum of all of them,
/// since memory that was given back by `MADV_FREE` is anon on a file list, and what is locked is on
/// the unevictable one.
///
/// The lists count whole folios, `anon` and `file` the pages that are mapped or in a file: a huge page
/// of which a process has given back a part stays on its list whole, and charged, until the kernel
/// splits it under pressure (mm/huge_memory.c, `deferred_split_folio`; mm/rmap.c,
/// `__folio_remove_rmap`). The swap cache that nobody maps is the rest.
pub(super) fn on_lists_bytes(sample: &CgroupSample) -> Option<u64> {
    let stat = &sample.stat;
    let lists = [
        stat.inactive_anon?,
        stat.active_anon?,
        stat.inactive_file?,
        stat.active_file?,
        stat.unevictable?,
    ];
    let listed: u64 = lists.into_iter().fold(0, u64::saturating_add);
    Some(listed.saturating_sub(stat.anon?.saturating_add(stat.file?)))
}

/// The same without the swap cache, all of which is taken not to be mapped: the least that is
/// something else.
pub(super) fn beside_swap_cache_bytes(sample: &CgroupSample) -> Option<u64> {
    let swap_cache = sample.stat.swapcached.unwrap_or(0);
    Some(on_lists_bytes(sample)?.saturating_sub(swap_cache))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_page_given_back_in_part_is_on_the_lists_and_in_no_counter_of_pages() {
        // As 6.18 told it (v1): 64 MiB of huge pages, of each its first page is still mapped.
        let mut sample = CgroupSample::default();
        for (key, bytes) in [
            ("anon", 512_000),
            ("file", 4_096),
            ("inactive_anon", 67_485_696),
            ("active_anon", 4_096),
            ("inactive_file", 4_096),
            ("active_file", 0),
            ("unevictable", 0),
        ] {
            assert_eq!(on_lists_bytes(&sample), None, "{key}");
            assert!(sample.stat.set(key, bytes), "{key}");
        }
        assert_eq!(on_lists_bytes(&sample), Some(66_977_792));
        sample.stat.swapcached = Some(977_792);
        assert_eq!(beside_swap_cache_bytes(&sample), Some(66_000_000));
    }
}
