//! Who reads what: written where the reader runs, asked where its page is activated.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use memtrace_ebpf::{
    hook::Hook,
    readers::{BUCKET_READS, NewestRead, ReaderTable, newest_with, reader_table},
};

use crate::{
    events::{state, stats},
    folio::scalar,
    tasks,
};

/// One table a writing hook and CPU. The hook of the table writes, the LRU hooks read; on 7.2 they
/// may read an entry half written, which can at worst credit one page to the reader before.
#[map]
static READERS: PerCpuArray<ReaderTable> = PerCpuArray::with_max_entries(reader_table::COUNT, 0);

/// This CPU's table.
#[inline(always)]
fn table(index: u32) -> Option<&'static mut ReaderTable> {
    let table = READERS.get_ptr_mut(index)?;
    // SAFETY: per-CPU map memory lives as long as the program; one hook writes each table.
    Some(unsafe { &mut *table })
}

/// This CPU's newest read of a table.
#[inline(always)]
pub fn newest(index: u32) -> Option<&'static mut NewestRead> {
    Some(&mut state(newest_with(index) as u32)?.newest_read)
}

/// The current task touched pages `first..=last` of a file, as `hook` saw.
#[inline(always)]
pub fn note(index: u32, hook: Hook, mapping: *const u8, first: u64, last: u64) {
    let Some(newest) = newest(index) else {
        return;
    };
    let tgid = tasks::current_tgid();
    if newest.goes_on(mapping as u64, tgid, first, last) {
        return;
    }
    if newest.named_tgid != u64::from(tgid) {
        newest.named_tgid = u64::from(tgid);
        newest.hook = hook as u64;
        if let Some(stats) = stats(hook) {
            tasks::name_current_once(tgid, stats);
        }
    }
    if let Some(table) = table(index) {
        let mapping = scalar(&mut newest.scratch, mapping);
        table.note(newest, mapping, tgid, first, last);
    }
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

/// Who touched a page, by the table given and its newest read. One that its hook never wrote on this CPU
/// is not searched: that takes longer than all else an activation does.
#[inline(always)]
pub fn touched(
    newest: &NewestRead,
    index: u32,
    scratch: &mut u64,
    mapping: *const u8,
    page: u64,
) -> Touched {
    // Most go on where the last one was: a pointer is compared as it is, which the verifier allows.
    if newest.read.has(mapping as u64, page) {
        return Touched {
            page_by: newest.read.tgid,
            file_by: newest.read.tgid,
        };
    }
    let nobody = Touched {
        page_by: NOBODY,
        file_by: NOBODY,
    };
    if newest.named_tgid == 0 {
        return nobody;
    }
    let Some(table) = table(index) else {
        return nobody;
    };
    let mapping = scalar(scratch, mapping);
    let bucket = &table.buckets[ReaderTable::bucket_of(mapping)];
    let place = bucket.newest as usize;
    let mut age = 0;
    // Nothing but the one comparison in the loop: the verifier walks every turn of it.
    while age < BUCKET_READS {
        let read = &bucket.reads[place.wrapping_sub(age) % BUCKET_READS];
        if read.has(mapping, page) {
            return Touched {
                page_by: read.tgid,
                file_by: read.tgid,
            };
        }
        age += 1;
    }
    Touched {
        page_by: NOBODY,
        file_by: last_of(table, mapping),
    }
}

/// The process that touched a file last, or [`NOBODY`] if that was not the last file of its bucket,
/// by the table given.
#[inline(always)]
pub fn last(index: u32, mapping: u64) -> u32 {
    table(index).map_or(NOBODY, |table| last_of(table, mapping))
}

#[inline(always)]
fn last_of(table: &ReaderTable, mapping: u64) -> u32 {
    let bucket = &table.buckets[ReaderTable::bucket_of(mapping)];
    let last = &bucket.reads[bucket.newest as usize % BUCKET_READS];
    if last.mapping == mapping && last.pages != 0 {
        last.tgid
    } else {
        NOBODY
    }
}
