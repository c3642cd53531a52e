//! Who reads what, on each CPU: how a page that is activated at batch drain, in whichever task
//! happens to drain, finds the task that really read it (mm/swap.c, `folio_activate`).

use crate::shared;

/// Exact entries a CPU keeps, in sets of two. The batch that delays an activation holds at most 31
/// folios (`PAGEVEC_SIZE`), so 256 leaves room for reads that activate nothing. Two a set, of which
/// the older is replaced: a fast reader's run of pages fills each set once, and a slow reader's page
/// that still waits in the batch is not lost.
pub const READER_SLOTS: usize = 256;
/// Sets of two.
pub const READER_SETS: usize = READER_SLOTS / 2;
/// Most entries one read writes: a call of `filemap_get_pages` returns at most 31 folios.
pub const READER_RANGE: u64 = 64;
/// Files of which a CPU remembers the last reader.
pub const LAST_READER_SLOTS: usize = 64;

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

/// A page and the process that read it last on this CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Address of the `address_space`.
    pub mapping: u64,
    /// Page index in the file.
    pub index: u64,
    /// The process.
    pub tgid: u32,
    /// Low bits of [`ReaderTable::clock`] when it was written: tells which of a set is older.
    pub written: u32,
}
shared!(Reader, 24);

/// A file and the process that touched it last on this CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastReader {
    /// Address of the `address_space`.
    pub mapping: u64,
    /// The process.
    pub tgid: u64,
}
shared!(LastReader, 16);

/// What one hook knows of the readers on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ReaderTable {
    /// Turns a pointer into a scalar, as in [`RunTable`](crate::run::RunTable).
    pub scratch: u64,
    /// The process this hook saw last here: its name was sent already.
    pub named_tgid: u64,
    /// Counts the reads noted.
    pub clock: u64,
    /// By page, the two of a set side by side.
    pub exact: [Reader; READER_SLOTS],
    /// By file.
    pub last: [LastReader; LAST_READER_SLOTS],
}
shared!(ReaderTable, 24 + 24 * READER_SLOTS + 16 * LAST_READER_SLOTS);
