//! Who reads what: written where the reader runs, asked where its page is activated.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use memtrace_ebpf::{
    hook::HookStats,
    readers::{
        LAST_READER_SLOTS, LastReader, READER_RANGE, READER_SLOTS, Reader, ReaderTable,
        reader_table,
    },
};

use crate::{folio::scalar, tasks};

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

/// A hash of an address, for both tables. The constant is 2^64 / golden ratio (Knuth, TAOCP 6.4).
#[inline(always)]
fn spread(mapping: u64) -> u64 {
    mapping.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56
}

/// The current task touched pages `first..=last` of a file.
#[inline(always)]
pub fn note(
    table: &mut ReaderTable,
    stats: &mut HookStats,
    mapping: *const u8,
    first: u64,
    last: u64,
) {
    let tgid = tasks::current_tgid();
    if table.named_tgid != u64::from(tgid) {
        table.named_tgid = u64::from(tgid);
        tasks::name_current_once(tgid, stats);
    }
    let mapping = scalar(&mut table.scratch, mapping);
    let hash = spread(mapping);
    let last_reader = &mut table.last[(hash as usize) % LAST_READER_SLOTS];
    *last_reader = LastReader {
        mapping,
        tgid: u64::from(tgid),
    };
    let mut index = first;
    let mut written = 0;
    while written < READER_RANGE {
        table.exact[((index ^ hash) as usize) % READER_SLOTS] = Reader {
            mapping,
            index,
            tgid: u64::from(tgid),
        };
        if index >= last {
            break;
        }
        index += 1;
        written += 1;
    }
}

/// The process that touched this very page last on this CPU, by the table given.
#[inline(always)]
pub fn exact(table: &ReaderTable, mapping: u64, index: u64) -> Option<u32> {
    let reader = &table.exact[((index ^ spread(mapping)) as usize) % READER_SLOTS];
    (reader.mapping == mapping && reader.index == index).then_some(reader.tgid as u32)
}

/// The process that touched this file last on this CPU, by the table given.
#[inline(always)]
pub fn last(table: &ReaderTable, mapping: u64) -> Option<u32> {
    let last = &table.last[(spread(mapping) as usize) % LAST_READER_SLOTS];
    (last.mapping == mapping).then_some(last.tgid as u32)
}
