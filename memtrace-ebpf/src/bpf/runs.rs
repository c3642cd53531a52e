//! Run merging: pages of one (memcg, file, task, kind) become one record.

use core::sync::atomic::{Ordering, compiler_fence};

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::map, maps::PerCpuArray};
use memtrace_ebpf::{
    hook::{Hook, HookStats},
    record::{RunKind, RunRecord, Tag},
    run::{HookState, RUN_SLOTS, RUN_TABLES, Run, RunTable, doing},
};

use crate::{
    events::{self, EVENTS, header},
    files::{self, FileKey},
    folio::scalar,
    layout::layout,
    memcg,
    memory::{Memory, Typed},
    tasks,
};

/// One table a hook and CPU, 5.6 KiB each. Written by its hook, and by the flush program while the
/// hook is not at work ([`HookState::busy`]).
#[map]
static RUNS: PerCpuArray<RunTable> = PerCpuArray::with_max_entries(RUN_TABLES, 0);

/// This CPU's table of a hook, by its number.
#[inline(always)]
pub fn table(hook: u32) -> Option<&'static mut RunTable> {
    let table = RUNS.get_ptr_mut(hook)?;
    // SAFETY: per-CPU map memory lives as long as the program; see RUNS for who writes when.
    Some(unsafe { &mut *table })
}

/// Calls `work` with this CPU's state of a hook, which is marked as being worked on meanwhile.
#[inline(always)]
pub fn at_work(hook: Hook, work: impl FnOnce(&mut HookState)) -> i32 {
    if let Some(state) = events::state(hook as u32) {
        set_busy(state, true);
        work(state);
        set_busy(state, false);
    }
    0
}

/// The fences keep the compiler from moving work on the runs out of the marks; on one CPU no more is
/// needed.
#[inline(always)]
fn set_busy(state: &mut HookState, busy: bool) {
    compiler_fence(Ordering::SeqCst);
    // SAFETY: an aligned u64 of an exclusively borrowed state.
    unsafe { core::ptr::write_volatile(&mut state.busy, u64::from(busy)) }
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
    /// Index of the first page in the file.
    pub index: u64,
    /// The folio's owner word, a pointer of the same kind or a number.
    pub memcg_data: *const u8,
    /// Base pages.
    pub pages: u64,
}

/// Adds a folio to its run. If both slots are taken by other runs, the older of them is sent first.
#[inline(always)]
pub fn add(state: &mut HookState, hook: Hook, pages: &Pages) {
    add_for::<Typed>(state, hook, pages, None);
}

/// As [`add`], for a program that reads the kernel's memory by `M`. `target` is the `mem_cgroup` on
/// whose behalf the pages were reclaimed, null if none; `None` of a hook that never has one, and so need
/// not compare.
///
/// Pointers are only compared here: the verifier allows that, and their way to a number costs as much
/// as the comparison. What goes on in the file where the run stands is of the same file: its inode, two
/// loads away, is not asked. (The kernel would have had to take the inode away, to make another at the
/// same address, and to activate that one's page of just this number first, within the 20 ms that a run
/// is kept.)
#[inline(always)]
pub fn add_for<M: Memory>(
    state: &mut HookState,
    hook: Hook,
    pages: &Pages,
    target: Option<*const u8>,
) {
    state.stats.pages_produced += pages.pages;
    let kind_flags = pages.kind as u32 | pages.flags << 16;
    let current = &mut state.current;
    let is_alike = current.mapping == pages.mapping as u64
        && current.memcg_data == pages.memcg_data as u64
        && target.is_none_or(|target| current.target == target as u64)
        && current.doing() == doing(pages.tgid, kind_flags)
        && current.pages != 0;
    let goes_on = is_alike && state.next_index == pages.index;
    state.next_index = pages.index + pages.pages;
    if goes_on {
        current.pages += pages.pages;
        current.folios += 1;
        return;
    }
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
    if is_alike && current.inode == inode {
        current.pages += pages.pages;
        current.folios += 1;
        return;
    }
    let target = target.unwrap_or(core::ptr::null());
    let run = Run {
        mapping: scalar(&mut state.scratch, pages.mapping),
        memcg_data: scalar(&mut state.scratch, pages.memcg_data),
        // For most callers null by construction, which costs nothing then.
        target: match target.is_null() {
            true => 0,
            false => scalar(&mut state.scratch, target),
        },
        inode,
        tgid: pages.tgid,
        kind_flags,
        pages: pages.pages,
        folios: 1,
        ..Run::NONE
    };
    match table(hook as u32) {
        Some(table) => change::<M>(state, table, hook, run, host, target),
        None => state.stats.pages_lost += pages.pages,
    }
}

/// Makes another run the current one: that of the same key, or a new one.
#[inline(always)]
fn change<M: Memory>(
    state: &mut HookState,
    table: &mut RunTable,
    hook: Hook,
    mut run: Run,
    host: *const u8,
    target: *const u8,
) {
    state.put_back(table);
    let hash =
        (run.mapping ^ run.inode << 1 ^ u64::from(run.tgid) << 7 ^ u64::from(run.kind_flags))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            >> 58;
    // Two slots a key: with one, two files of the same hash would evict each other page by page.
    let first = (hash as usize) % RUN_SLOTS;
    let second = (first + 1) % RUN_SLOTS;
    for slot in [first, second] {
        let kept = &mut table.runs[slot];
        if kept.pages != 0 && kept.has_key_of(&run) {
            kept.pages += run.pages;
            kept.folios += 1;
            state.current = *kept;
            state.slot = slot as u64;
            return;
        }
    }
    let (one, other) = (&table.runs[first], &table.runs[second]);
    let slot = if one.pages == 0 || (other.pages != 0 && one.first_ns <= other.first_ns) {
        first
    } else {
        second
    };
    let evicted = &table.runs[slot];
    if evicted.pages != 0 && !send(evicted, &mut state.stats, hook as u32) {
        state.stats.pages_lost += evicted.pages;
    }
    // SAFETY: `host` came from the mapping.
    let file = unsafe { FileKey::of::<M>(host, run.inode) };
    // SAFETY: the helper has no preconditions.
    run.first_ns = unsafe { bpf_ktime_get_ns() };
    run.memcg_id = memcg::charged(run.memcg_data);
    // SAFETY: `target` is what `M` wants by this function's contract.
    run.target_memcg_id = unsafe { memcg::id::<M>(target) };
    run.device = file.device;
    run.generation = file.generation;
    table.runs[slot] = run;
    state.current = run;
    state.slot = slot as u64;
    let host = scalar(&mut state.scratch, host);
    if host != 0 {
        files::name_once(&file, host, hook, &mut state.stats);
    }
    if run.tgid == tasks::current_tgid() {
        tasks::name_current_once(run.tgid, &mut state.stats);
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
