//! Run merging: pages of one (memcg, file, task, kind) become one record.

use core::sync::atomic::{Ordering, compiler_fence};

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::map, maps::PerCpuArray};
use memtrace_ebpf::{
    hook::{Hook, HookStats},
    record::{RunKind, RunRecord, Tag},
    run::{RUN_SLOTS, RUN_TABLES, Run, RunTable},
};

use crate::{
    events::{EVENTS, header},
    files::{self, FileKey},
    folio::scalar,
    layout::layout,
    memcg,
    memory::{Memory, Typed},
    tasks,
};

/// One table a hook and CPU, 5.6 KiB each. Written by its hook, and by the flush program while the
/// hook is not at work (`busy`).
#[map]
static RUNS: PerCpuArray<RunTable> = PerCpuArray::with_max_entries(RUN_TABLES, 0);

/// This CPU's table of a hook.
#[inline(always)]
pub fn table(hook: u32) -> Option<&'static mut RunTable> {
    let table = RUNS.get_ptr_mut(hook)?;
    // SAFETY: per-CPU map memory lives as long as the program; see RUNS for who writes when.
    Some(unsafe { &mut *table })
}

/// Marks the table as being worked on. The fences keep the compiler from moving work on the table
/// out of the marks; on one CPU no more is needed.
#[inline(always)]
pub fn set_busy(table: &mut RunTable, busy: bool) {
    compiler_fence(Ordering::SeqCst);
    // SAFETY: an aligned u64 of an exclusively borrowed table.
    unsafe { core::ptr::write_volatile(&mut table.busy, u64::from(busy)) }
    compiler_fence(Ordering::SeqCst);
}

/// Pages of one folio, and what is known of them.
pub struct Pages {
    /// What happened.
    pub kind: RunKind,
    /// [`memtrace_ebpf::record::run_flags`].
    pub flags: u32,
    /// The process credited.
    pub tgid: u32,
    /// `address_space`, a pointer as the program's [`Memory`] wants it.
    pub mapping: *const u8,
    /// The same as a number.
    pub mapping_id: u64,
    /// The folio's owner word.
    pub memcg_data: u64,
    /// Base pages.
    pub pages: u64,
}

/// What must be equal for two folios to be of one run.
struct Key {
    mapping: u64,
    memcg_data: u64,
    target: u64,
    inode: u64,
    tgid: u32,
    kind_flags: u32,
}

impl Key {
    /// Adds a folio's pages to a run, if it is the key's.
    #[inline(always)]
    fn grow(&self, run: &mut Run, pages: u64) -> bool {
        let is_mine = run.mapping == self.mapping
            && run.memcg_data == self.memcg_data
            && run.target == self.target
            && run.inode == self.inode
            && run.tgid == self.tgid
            && run.kind_flags == self.kind_flags
            && run.pages != 0;
        if is_mine {
            run.pages += pages;
            run.folios += 1;
        }
        is_mine
    }
}

/// Adds a folio to its run. If both slots are taken by other runs, the older of them is sent first.
#[inline(always)]
pub fn add(table: &mut RunTable, stats: &mut HookStats, hook: Hook, pages: Pages) {
    add_for::<Typed>(table, stats, hook, pages, core::ptr::null());
}

/// As [`add`], for a program that reads the kernel's memory by `M`. `target` is the `mem_cgroup` on
/// whose behalf the pages were reclaimed, null if none.
#[inline(always)]
pub fn add_for<M: Memory>(
    table: &mut RunTable,
    stats: &mut HookStats,
    hook: Hook,
    pages: Pages,
    target: *const u8,
) {
    stats.pages_produced += pages.pages;
    // SAFETY: the mapping is a pointer as `M` wants it by the field's contract; null reads as 0.
    let (host, inode) = unsafe {
        if pages.mapping.is_null() {
            // The verifier must not see a load through what it knows to be no pointer.
            (core::ptr::null(), 0)
        } else {
            let host = M::load_pointer(pages.mapping, layout!(mapping_host));
            (host, M::load::<u64>(host, layout!(inode_ino)))
        }
    };
    let kind_flags = pages.kind as u32 | pages.flags << 16;
    let key = Key {
        mapping: pages.mapping_id,
        memcg_data: pages.memcg_data,
        // For most callers null by construction, which costs nothing then.
        target: match target.is_null() {
            true => 0,
            false => scalar(&mut table.scratch, target),
        },
        inode,
        tgid: pages.tgid,
        kind_flags,
    };
    if key.grow(
        &mut table.runs[table.last as usize % RUN_SLOTS],
        pages.pages,
    ) {
        return;
    }
    let hash = (pages.mapping_id ^ inode << 1 ^ u64::from(pages.tgid) << 7 ^ u64::from(kind_flags))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        >> 58;
    // Two slots a key: with one, two files of the same hash would evict each other page by page.
    let first = (hash as usize) % RUN_SLOTS;
    let second = (first + 1) % RUN_SLOTS;
    for slot in [first, second] {
        if key.grow(&mut table.runs[slot], pages.pages) {
            table.last = slot as u64;
            return;
        }
    }
    let (one, other) = (&table.runs[first], &table.runs[second]);
    let slot = if one.pages == 0 || (other.pages != 0 && one.first_ns <= other.first_ns) {
        first
    } else {
        second
    };
    table.last = slot as u64;
    let run = &mut table.runs[slot % RUN_SLOTS];
    if run.pages != 0 && !send(run, stats, hook as u32) {
        stats.pages_lost += run.pages;
    }
    // SAFETY: `host` came from the mapping.
    let file = unsafe { FileKey::of::<M>(host, inode) };
    *run = Run {
        mapping: pages.mapping_id,
        memcg_data: pages.memcg_data,
        target: key.target,
        inode,
        tgid: pages.tgid,
        kind_flags,
        pages: pages.pages,
        folios: 1,
        // SAFETY: the helper has no preconditions.
        first_ns: unsafe { bpf_ktime_get_ns() },
        memcg_id: memcg::charged(pages.memcg_data),
        // SAFETY: `target` is what `M` wants by this function's contract.
        target_memcg_id: unsafe { memcg::id::<M>(target) },
        device: file.device,
        generation: file.generation,
    };
    let host = scalar(&mut table.scratch, host);
    if host != 0 {
        files::name_once(&file, host, hook, stats);
    }
    if pages.tgid == tasks::current_tgid() {
        tasks::name_current_once(pages.tgid, stats);
    }
}

/// Sends a run; `false` if the ring buffer was full, and the run is as it was.
#[inline(always)]
pub fn send(run: &Run, stats: &mut HookStats, hook: u32) -> bool {
    let Some(mut entry) = EVENTS.reserve::<RunRecord>(0) else {
        stats.lost[Tag::Run as usize] += 1;
        return false;
    };
    entry.write(run.record(header(Tag::Run), hook));
    entry.submit(0);
    stats.sent[Tag::Run as usize] += 1;
    true
}
