//! Who reads what, on each CPU: how a page that is activated at batch drain, in whichever task
//! happens to drain, finds the task that really read it (mm/swap.c, `folio_activate`).

use crate::shared;

/// Buckets of a table; a file has one, by a hash of its mapping, so that readers of other files
/// cannot push its reads out.
pub const READER_BUCKETS: usize = 16;
/// Reads a bucket keeps. The batch that delays an activation holds at most 31 folios
/// (`PAGEVEC_SIZE`), which tasks that take turns page by page on one file read in 31 reads.
pub const BUCKET_READS: usize = 32;

/// Who fills a [`ReaderTable`]: the index of its table. Each hook writes only its own.
pub mod reader_table {
    /// `mm_filemap_get_pages`: read(2) and its kin.
    pub const GET_PAGES: u32 = 0;
    /// `mm_filemap_fault`: a page fault that looked up its page.
    pub const FAULT: u32 = 1;
    /// `mm_filemap_map_pages`: a fault that mapped the pages around it.
    pub const MAP_PAGES: u32 = 2;
    /// `mm_filemap_add_to_page_cache`: whoever brought the page in.
    pub const CACHE_ADD: u32 = 3;
    /// `workingset_activation`: whoever made the page active, at the moment it did.
    pub const ACTIVATION: u32 = 4;
    /// How many there are.
    pub const COUNT: u32 = 5;
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

    /// This read with pages up to `last`.
    #[inline(always)]
    pub const fn extended(self, last: u64) -> Self {
        Self {
            pages: last.wrapping_sub(self.first).wrapping_add(1) as u32,
            ..self
        }
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

/// What one hook knows of the readers on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ReaderTable {
    /// Turns a pointer into a scalar, as in [`RunTable`](crate::run::RunTable).
    pub scratch: u64,
    /// The process this hook saw last here: its name was sent already.
    pub named_tgid: u64,
    /// By file.
    pub buckets: [Bucket; READER_BUCKETS],
}
shared!(ReaderTable, 16 + READER_BUCKETS * (8 + 24 * BUCKET_READS));

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
        assert_eq!(READ.extended(17).pages, 8);
        assert_eq!(READ.extended(14), READ);
    }
}
