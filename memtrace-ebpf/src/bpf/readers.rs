//! Who reads what: written where the reader runs, asked where its page is activated.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use memtrace_ebpf::{
    hook::Hook,
    readers::{BUCKET_READS, ReaderTable, reader_table},
};

use crate::{events::stats, folio::scalar, tasks};

/// One table a writing hook and CPU. The hook of the table writes, the LRU hooks read; on 7.2 they
/// may read an entry half written, which can at worst credit one page to the reader before.
#[map]
static READERS: PerCpuArray<ReaderTable> = PerCpuArray::with_max_entries(reader_table::COUNT, 0);

/// This CPU's table.
#[inline(always)]
pub fn table(index: u32) -> Option<&'static mut ReaderTable> {
    let table = READERS.get_ptr_mut(index)?;
    // SAFETY: per-CPU map memory lives as long as the program; one hook writes each table.
    Some(unsafe { &mut *table })
}

/// The current task touched pages `first..=last` of a file, as `hook` saw.
#[inline(always)]
pub fn note(table: &mut ReaderTable, hook: Hook, mapping: *const u8, first: u64, last: u64) {
    let tgid = tasks::current_tgid();
    if table.goes_on(mapping as u64, tgid, first, last) {
        return;
    }
    if table.named_tgid != u64::from(tgid) {
        table.named_tgid = u64::from(tgid);
        table.hook = hook as u64;
        if let Some(stats) = stats(hook) {
            tasks::name_current_once(tgid, stats);
        }
    }
    let mapping = scalar(&mut table.scratch, mapping);
    table.note_other(mapping, tgid, first, last);
}

/// No process. Not an `Option`: of a `None` the compiler leaves the number undefined, and may copy
/// it, which the verifier refuses (`R4 !read_ok`, seen on 6.12).
pub const NOBODY: u32 = u32::MAX;

/// Who touched a page, by one table.
pub struct Touched {
    /// The process that touched this very page last on this CPU, or [`NOBODY`].
    pub page_by: u32,
    /// The process that touched the file last on this CPU, if no other file of its bucket was
    /// touched since; else [`NOBODY`].
    pub file_by: u32,
}

/// Who touched a page, by the table given. One that its hook never wrote on this CPU is not searched:
/// that takes longer than all else an activation does.
#[inline(always)]
pub fn touched(table: &ReaderTable, scratch: &mut u64, mapping: *const u8, index: u64) -> Touched {
    // Most go on where the last one was: a pointer is compared as it is, which the verifier allows.
    if table.current.has(mapping as u64, index) {
        return Touched {
            page_by: table.current.tgid,
            file_by: table.current.tgid,
        };
    }
    if table.named_tgid == 0 {
        return Touched {
            page_by: NOBODY,
            file_by: NOBODY,
        };
    }
    let mapping = scalar(scratch, mapping);
    let bucket = &table.buckets[ReaderTable::bucket_of(mapping)];
    let newest = bucket.newest as usize;
    let mut age = 0;
    // Nothing but the one comparison in the loop: the verifier walks every turn of it.
    while age < BUCKET_READS {
        let read = &bucket.reads[newest.wrapping_sub(age) % BUCKET_READS];
        if read.has(mapping, index) {
            return Touched {
                page_by: read.tgid,
                file_by: read.tgid,
            };
        }
        age += 1;
    }
    Touched {
        page_by: NOBODY,
        file_by: last(table, mapping),
    }
}

/// The process that touched a file last, or [`NOBODY`] if that was not the last file of its bucket,
/// by the table given.
#[inline(always)]
pub fn last(table: &ReaderTable, mapping: u64) -> u32 {
    let bucket = &table.buckets[ReaderTable::bucket_of(mapping)];
    let last = &bucket.reads[bucket.newest as usize % BUCKET_READS];
    if last.mapping == mapping && last.pages != 0 {
        last.tgid
    } else {
        NOBODY
    }
}
