use std::collections::BTreeMap;

use memtrace_ebpf::record::RunKind;
use proptest::prelude::*;

use super::{table::Levels, *};
use crate::model::testing;

/// A run of so many pages of a file, by a process.
fn run(inode: u64, pid: u32, pages: u64) -> RunEvent {
    RunEvent {
        pages,
        folios: pages,
        ..testing::run(RunKind::Activation, inode, pid, 1)
    }
}

fn sum_by<K: Ord>(table: &Levels, of: impl Fn(&RunKey) -> K) -> BTreeMap<K, u64> {
    let mut sums = BTreeMap::new();
    for (key, sum) in table.iter() {
        *sums.entry(of(key)).or_default() += sum.pages;
    }
    sums
}

#[test]
fn what_has_room_is_exact() {
    let mut table = Levels::with_room(100, 10, 10);
    for file in 0..10 {
        for pid in 0..10 {
            table.add(&run(file, pid, 3));
            table.add(&run(file, pid, 4));
        }
    }
    assert_eq!(table.iter().count(), 100);
    assert!(
        table
            .iter()
            .all(|(key, sum)| key.summed.is_none() && sum.pages == 7)
    );
    assert_eq!(table.short_pages(), 0);
}

#[test]
fn a_large_file_stands_out_of_a_hundred_thousand_small_ones() {
    let mut table = Levels::with_room(1_000, 500, 10);
    for litter in 0..100_000 {
        table.add(&run(1_000 + litter, 7, 1));
        if litter % 10 == 0 {
            table.add(&run(1, 4711, 64));
        }
    }
    let large = sum_by(&table, |key| (key.file.map(|file| file.inode), key.pid));
    let found = large[&(Some(1), Some(4711))];
    assert!(found <= 640_000 && found >= 640_000 - table.short_pages());
    // Each small file had one page, so nothing can be short by much more than the times there was no
    // room, of which each took one page.
    assert!(
        table.short_pages() <= 100_000 / 500 + 1,
        "{}",
        table.short_pages()
    );
    // The process that littered is known with all it did, but what is still told by file.
    let of_litterer = sum_by(&table, |key| key.pid);
    assert_eq!(of_litterer[&Some(7)], 100_000);
}

#[test]
fn a_header_that_a_thousand_compilers_read_is_known_by_its_name() {
    let mut table = Levels::with_room(1_000, 500, 10);
    for compiler in 0..20_000 {
        table.add(&run(1, 10_000 + compiler, 5));
        table.add(&run(1_000 + u64::from(compiler), 10_000 + compiler, 1));
    }
    let by_file = sum_by(&table, |key| key.file.map(|file| file.inode));
    // A little of it is in the rest, since there are more processes than are kept.
    assert!(
        (99_000..=100_000).contains(&by_file[&Some(1)]),
        "{by_file:?}"
    );
    let summed = table
        .iter()
        .find(|(key, _)| key.summed == Some(Summed::Processes))
        .unwrap();
    assert_eq!(summed.0.file.unwrap().inode, 1);
}

#[test]
fn a_busy_machine_takes_nothing_from_the_target() {
    let mut table = RunTable::default();
    for file in 0..20_000 {
        table.add(&run(file, 7, 1), false);
    }
    table.add(&run(1, 4711, 5), true);
    assert_eq!(table.short_pages(), 0);
    let mut later = RunTable::default();
    later.add(&run(1, 4711, 6), true);
    table.merge(&mut later);
    let own = table.iter().find(|(key, _)| key.pid == Some(4711)).unwrap();
    assert_eq!(own.1.pages, 11);
    let all: u64 = table.iter().map(|(_, sum)| sum.pages).sum();
    assert_eq!(all, 20_011);
    assert!(table.iter().count() < 5_000);
}

proptest! {
    /// No page is lost or made up; no pair has more than it should, or less by more than is said; what
    /// is said is within the promise; and there are never more sums than there is room for.
    #[test]
    fn the_bounds_hold(
        runs in prop::collection::vec((0..40_u64, 0..30_u32, 0..200_u64), 0..600),
        split in 0..600_usize,
        pairs in 2..40_usize,
        singles in 2..20_usize,
    ) {
        let mut table = Levels::with_room(pairs, singles, 4);
        let mut later = Levels::with_room(pairs, singles, 4);
        let mut truth: BTreeMap<(u64, u32), u64> = BTreeMap::new();
        for (index, (file, pid, pages)) in runs.iter().enumerate() {
            let into = if index < split { &mut table } else { &mut later };
            into.add(&run(*file, *pid, *pages));
            *truth.entry((*file, *pid)).or_default() += pages;
        }
        let promised = |table: &Levels| {
            let all: u64 = table.iter().map(|(_, sum)| sum.pages).sum();
            all / (pairs as u64 / 2 + 1)
        };
        prop_assert!(table.short_pages() <= promised(&table));
        prop_assert!(later.short_pages() <= promised(&later));
        table.merge(later);
        let all: u64 = truth.values().sum();
        let (pages, folios) = table.iter().fold((0, 0), |(pages, folios), (_, sum)| {
            (pages + sum.pages, folios + sum.folios)
        });
        prop_assert_eq!((pages, folios), (all, all));
        prop_assert!(table.short_pages() <= all / (pairs as u64 / 2 + 1));
        let found = sum_by(&table, |key| {
            let pair = key.file.map(|file| file.inode).zip(key.pid);
            pair.filter(|_| key.summed.is_none())
        });
        for (pair, pages) in &truth {
            let found = found.get(&Some(*pair)).copied().unwrap_or(0);
            prop_assert!(found <= *pages);
            prop_assert!(found + table.short_pages() >= *pages);
        }
        let count = |summed: fn(&RunKey) -> bool| table.iter().filter(|(key, _)| summed(key)).count();
        prop_assert!(count(|key| key.summed.is_none()) <= pairs);
        prop_assert!(count(|key| key.summed == Some(Summed::Both)) <= 5);
        prop_assert!(table.iter().count() <= pairs + singles + 5);
    }
}
