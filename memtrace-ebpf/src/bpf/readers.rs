//! Who reads what: written where the reader runs, asked where its page is activated.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use memtrace_ebpf::{
    hook::HookStats,
    readers::{
        LAST_READER_SLOTS, LastReader, READER_RANGE, READER_SETS, Reader, ReaderTable, reader_table,
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

/// The set of a page. A sum, not an exclusive or: LLVM would take the remainder of each operand
/// first, and verifiers up to 6.1 lose the bounds of an exclusive or.
#[inline(always)]
fn set(index: u64, hash: u64) -> usize {
    (index.wrapping_add(hash) as usize) % READER_SETS
}

#[inline(always)]
fn is_of(reader: &Reader, mapping: u64, index: u64) -> bool {
    reader.mapping == mapping && reader.index == index
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
    table.clock += 1;
    let written = table.clock as u32;
    let mut index = first;
    let mut count = 0;
    while count < READER_RANGE {
        let set = set(index, hash);
        let (one, other) = (&table.exact[2 * set], &table.exact[2 * set + 1]);
        let takes_one = is_of(one, mapping, index)
            || !is_of(other, mapping, index)
                && one.written.wrapping_sub(written) <= other.written.wrapping_sub(written);
        table.exact[2 * set + usize::from(!takes_one)] = Reader {
            mapping,
            index,
            tgid,
            written,
        };
        if index >= last {
            break;
        }
        index += 1;
        count += 1;
    }
}

/// The process that touched this very page last on this CPU, by the table given.
#[inline(always)]
pub fn exact(table: &ReaderTable, mapping: u64, index: u64) -> Option<u32> {
    let set = set(index, spread(mapping));
    let (one, other) = (&table.exact[2 * set], &table.exact[2 * set + 1]);
    if is_of(one, mapping, index) {
        Some(one.tgid)
    } else if is_of(other, mapping, index) {
        Some(other.tgid)
    } else {
        None
    }
}

/// The process that touched this file last on this CPU, by the table given.
#[inline(always)]
pub fn last(table: &ReaderTable, mapping: u64) -> Option<u32> {
    let last = &table.last[(spread(mapping) as usize) % LAST_READER_SLOTS];
    (last.mapping == mapping).then_some(last.tgid as u32)
}
