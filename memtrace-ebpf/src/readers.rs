//! Who reads what, on each CPU: how a page that is activated at batch drain, in whichever task
//! happens to drain, finds the task that really read it (mm/swap.c, `folio_activate`).

use crate::{hook::Hook, shared};

/// Buckets of a table; a file has one, by a hash of its mapping, so that readers of other files
/// cannot push its reads out.
pub const READER_BUCKETS: usize = 16;
/// Reads a bucket keeps. The batch that delays an activation holds at most 31 folios
/// (`PAGEVEC_SIZE`), which tasks that take turns page by page on one file read in 31 reads.
pub const BUCKET_READS: usize = 32;

/// What fills a [`ReaderTable`]: the index of its table. Each hook writes only its own; of those that
/// share one, a kernel has one.
pub mod reader_table {
    /// `workingset_activation`, whoever made the page active, at the moment it did; where it is
    /// refused, `mm_filemap_get_pages`: read(2) and its kin.
    pub const READ: u32 = 0;
    /// `mm_filemap_fault`: a page fault that looked up its page.
    pub const FAULT: u32 = 1;
    /// `mm_filemap_map_pages`: a fault that mapped the pages around it.
    pub const MAP_PAGES: u32 = 2;
    /// `mm_filemap_add_to_page_cache`: whoever brought the page in.
    pub const CACHE_ADD: u32 = 3;
    /// How many there are.
    pub const COUNT: u32 = 4;
}

/// The hook in whose [`HookState`](crate::run::HookState) the newest read of a table is: the one that
/// asks for it, so that it finds it by the lookup of its own state. Written by the hook that fills the
/// table all the same.
pub const fn newest_with(table: u32) -> Hook {
    match table {
        reader_table::READ => Hook::LruActivate,
        reader_table::CACHE_ADD => Hook::LruInsertion,
        reader_table::FAULT => Hook::Fault,
        _ => Hook::MapPages,
    }
}

/// Pages that a process read one after the other: a sequential reader has one entry, however much
/// it reads.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Address of the `address_space`; 0 if the entry was never written.
    pub mapping: u64,
    /// Index of the first page in the file.
    pub first: u64,
    /// How many pages.
    pub pages: u32,
    /// The process.
    pub tgid: u32,
}
shared!(Read, 24);

impl Read {
    /// Whether the read was of this page.
    #[inline(always)]
    pub const fn has(&self, mapping: u64, index: u64) -> bool {
        self.mapping == mapping && index.wrapping_sub(self.first) < self.pages as u64
    }

    /// Whether a read of pages `first..=last` goes on where this one ended, or is the rest of it: a
    /// long read(2) comes in parts, each of which is told as "from here to the end".
    ///
    /// A read of pages in the middle is another read, else a reader that went over the whole file
    /// before would take every page that others read since.
    #[inline(always)]
    pub const fn goes_on_with(&self, mapping: u64, tgid: u32, first: u64, last: u64) -> bool {
        let from_start = first.wrapping_sub(self.first);
        self.mapping == mapping
            && self.tgid == tgid
            && (from_start == self.pages as u64
                || from_start != 0
                    && last.wrapping_sub(self.first).wrapping_add(1) == self.pages as u64)
    }

    /// Makes this read end with page `last`.
    #[inline(always)]
    pub const fn extend(&mut self, last: u64) {
        self.pages = last.wrapping_sub(self.first).wrapping_add(1) as u32;
    }
}

/// The last reads of some files, in a ring.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Place of the newest.
    pub newest: u64,
    /// The reads.
    pub reads: [Read; BUCKET_READS],
}
shared!(Bucket, 8 + 24 * BUCKET_READS);

impl Bucket {
    /// Takes a read in, and returns its place.
    #[inline(always)]
    pub fn note(&mut self, mapping: u64, tgid: u32, first: u64, last: u64) -> usize {
        let newest = self.newest as usize % BUCKET_READS;
        if self.reads[newest].goes_on_with(mapping, tgid, first, last) {
            self.reads[newest].extend(last);
            return newest;
        }
        // Two files of one bucket, read by turns: each goes on where it was.
        let before = newest.wrapping_sub(1) % BUCKET_READS;
        if self.reads[before].goes_on_with(mapping, tgid, first, last) {
            let mut extended = self.reads[before];
            extended.extend(last);
            self.reads[before] = self.reads[newest];
            self.reads[newest] = extended;
            return newest;
        }
        let next = newest.wrapping_add(1) % BUCKET_READS;
        self.reads[next] = Read {
            mapping,
            first,
            pages: last.wrapping_sub(first).wrapping_add(1) as u32,
            tgid,
        };
        self.newest = next as u64;
        next
    }
}

/// The read that was noted last by one hook on one CPU: a reader that goes on finds it without a search.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NewestRead {
    /// Turns a pointer into a scalar, as in [`HookState`](crate::run::HookState).
    pub scratch: u64,
    /// The process this hook saw last here: its name was sent already. 0 if it never saw one.
    pub named_tgid: u64,
    /// The [`Hook`] that writes the table; set with `named_tgid`.
    pub hook: u64,
    /// The read. Its entry in its bucket has all but the pages since, which it gets when another read is
    /// noted.
    pub read: Read,
    /// Where that entry is: bucket times [`BUCKET_READS`] plus place.
    pub place: u64,
}
shared!(NewestRead, 24 + 24 + 8);

impl NewestRead {
    /// A process touched pages `first..=last` of a file: whether that goes on where the last read was,
    /// and is noted. `mapping` is only compared.
    #[inline(always)]
    pub const fn goes_on(&mut self, mapping: u64, tgid: u32, first: u64, last: u64) -> bool {
        let goes_on = self.read.goes_on_with(mapping, tgid, first, last);
        if goes_on {
            self.read.extend(last);
        }
        goes_on
    }
}

/// What one hook knows of the readers on one CPU, but for the newest.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ReaderTable {
    /// By file.
    pub buckets: [Bucket; READER_BUCKETS],
}
shared!(ReaderTable, READER_BUCKETS * (8 + 24 * BUCKET_READS));

impl ReaderTable {
    /// Bucket of a file. The constant is 2^64 / golden ratio (Knuth, TAOCP 6.4).
    #[inline(always)]
    pub const fn bucket_of(mapping: u64) -> usize {
        (mapping.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize % READER_BUCKETS
    }

    /// Notes a read that does not go on where the newest was, and makes it the newest.
    #[inline(always)]
    pub fn note(
        &mut self,
        newest: &mut NewestRead,
        mapping: u64,
        tgid: u32,
        first: u64,
        last: u64,
    ) {
        let place = newest.place as usize;
        self.buckets[place / BUCKET_READS % READER_BUCKETS].reads[place % BUCKET_READS].pages =
            newest.read.pages;
        let number = Self::bucket_of(mapping);
        let bucket = &mut self.buckets[number];
        let place = bucket.note(mapping, tgid, first, last);
        newest.read = bucket.reads[place % BUCKET_READS];
        newest.place = (number * BUCKET_READS + place) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Read = Read {
        mapping: 7,
        first: 10,
        pages: 5,
        tgid: 42,
    };

    #[test]
    fn a_read_has_its_pages_and_no_others() {
        for (index, has) in [(9, false), (10, true), (14, true), (15, false)] {
            assert_eq!(READ.has(7, index), has, "{index}");
        }
        assert!(!READ.has(8, 10));
    }

    #[test]
    fn what_follows_goes_on_and_what_was_read_before_does_not() {
        assert!(READ.goes_on_with(7, 42, 15, 17));
        assert!(READ.goes_on_with(7, 42, 12, 14), "the rest of a long read");
        assert!(!READ.goes_on_with(7, 42, 10, 14), "the same read again");
        assert!(!READ.goes_on_with(7, 42, 12, 12), "in the middle");
        assert!(!READ.goes_on_with(7, 42, 16, 17), "a hole");
        assert!(!READ.goes_on_with(7, 43, 15, 17), "another process");
        assert!(!READ.goes_on_with(8, 42, 15, 17), "another file");
        let mut read = READ;
        read.extend(14);
        assert_eq!(read, READ);
        read.extend(17);
        assert_eq!(read.pages, 8);
    }

    const NOTHING: NewestRead = NewestRead {
        scratch: 0,
        named_tgid: 0,
        hook: 0,
        read: Read {
            mapping: 0,
            first: 0,
            pages: 0,
            tgid: 0,
        },
        place: 0,
    };

    const EMPTY: ReaderTable = ReaderTable {
        buckets: [Bucket {
            newest: 0,
            reads: [Read {
                mapping: 0,
                first: 0,
                pages: 0,
                tgid: 0,
            }; BUCKET_READS],
        }; READER_BUCKETS],
    };

    /// A table and its newest read, as the programs use them.
    struct Reads(ReaderTable, NewestRead);

    impl Reads {
        fn note(&mut self, mapping: u64, tgid: u32, first: u64, last: u64) {
            if !self.1.goes_on(mapping, tgid, first, last) {
                self.0.note(&mut self.1, mapping, tgid, first, last);
            }
        }
    }

    /// Reads in the table, the one that goes on instead of its entry.
    fn reads(Reads(table, newest): &Reads, mapping: u64) -> [(u64, u32); 2] {
        let bucket = ReaderTable::bucket_of(mapping);
        let mut found = [(0, 0); 2];
        let mut next = 0;
        for (place, read) in table.buckets[bucket].reads.iter().enumerate() {
            let is_newest = bucket * BUCKET_READS + place == newest.place as usize;
            let read = if is_newest { &newest.read } else { read };
            if read.mapping == mapping && read.pages > 0 {
                found[next] = (read.first, read.pages);
                next += 1;
            }
        }
        found
    }

    #[test]
    fn readers_by_turns_lose_no_page() {
        // The second file of the same bucket, and one of another.
        let same = (8..).find(|other| ReaderTable::bucket_of(*other) == ReaderTable::bucket_of(7));
        let other = (8..).find(|other| ReaderTable::bucket_of(*other) != ReaderTable::bucket_of(7));
        for second in [same.unwrap(), other.unwrap()] {
            let mut table = Reads(EMPTY, NOTHING);
            for page in 0..100 {
                table.note(7, 42, page, page);
                if page % 3 == 0 {
                    table.note(second, 43, page / 3, page / 3);
                }
            }
            assert_eq!(reads(&table, 7), [(0, 100), (0, 0)]);
            assert_eq!(reads(&table, second), [(0, 34), (0, 0)]);
        }
    }

    #[test]
    fn a_read_elsewhere_is_another_read() {
        let mut table = Reads(EMPTY, NOTHING);
        table.note(7, 42, 0, 3);
        table.note(7, 42, 4, 4);
        table.note(7, 42, 90, 91);
        let mut found = reads(&table, 7);
        found.sort_unstable();
        assert_eq!(found, [(0, 5), (90, 2)]);
    }
}
