//! Working-set hooks (mm/workingset.c): pages made active, pages that reclaim evicts, and pages that
//! come back after it did. They run in the task concerned, and say on whose behalf.

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::bpf_get_current_pid_tgid,
    macros::{fentry, fexit, kprobe, kretprobe, map},
    maps::{HashMap, LruHashMap},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use memtrace_ebpf::{
    hook::Hook,
    readers::reader_table,
    record::{RunKind, run_flags},
};

use crate::{
    folio::{Folio, has_bit, scalar},
    layout::layout,
    memory::Memory,
    readers, runs, tasks,
};

/// A page of a file.
#[repr(C)]
#[derive(Clone, Copy)]
struct PageKey {
    /// Address of the `address_space`.
    mapping: u64,
    /// Page index in the file.
    index: u64,
}

/// Pages that a refault made active and that wait in a batch for their list, and the process whose
/// refault it was. 4,096: some 100 CPUs' full batches; the oldest fall out, and are then insertions of
/// unknown origin. Written by the refault hook, emptied by the insertion hook, both through helpers.
#[map]
static REFAULTED: LruHashMap<PageKey, u32> = LruHashMap::with_max_entries(4_096, 0);

/// Folios in `workingset_refault`, by thread, for a return probe, which is not given the arguments.
#[map]
static REFAULTING: HashMap<u64, u64> = HashMap::with_max_entries(8_192, 0);

/// A file page is about to become active, in the task that made it so (its only caller is
/// `folio_mark_accessed`). It may be queued for long before `mm_lru_activate` fires.
#[fentry(function = "workingset_activation")]
pub fn workingset_activation(ctx: FEntryContext) -> i32 {
    // SAFETY: the only argument is the folio (the page before 5.16).
    activating(unsafe { Folio::new(ctx.arg(0)) })
}

/// The same without a trampoline.
#[kprobe(function = "workingset_activation")]
pub fn workingset_activation_kprobe(ctx: ProbeContext) -> u32 {
    ctx.arg(0)
        .map_or(0, |folio| activating(Folio::at(folio)) as u32)
}

#[inline(always)]
fn activating<M: Memory>(folio: Folio<M>) -> i32 {
    let (index, mapping) = (folio.index(), folio.mapping());
    let hook = Hook::WorkingsetActivation;
    readers::note(reader_table::READ, hook, mapping, index, index);
    0
}

/// A page that was evicted is back; whether it is active is decided by now.
#[fexit(function = "workingset_refault")]
pub fn workingset_refault(ctx: FExitContext) -> i32 {
    // SAFETY: the first argument is the folio (the page before 5.16).
    refaulted(unsafe { Folio::new(ctx.arg(0)) })
}

/// The same without a trampoline: the entry keeps the folio for the return.
#[kprobe(function = "workingset_refault")]
pub fn workingset_refault_enter(ctx: ProbeContext) -> u32 {
    if let Some(folio) = ctx.arg::<u64>(0) {
        let _ = REFAULTING.insert(&bpf_get_current_pid_tgid(), &folio, u64::from(BPF_ANY));
    }
    0
}

/// The return.
#[kretprobe(function = "workingset_refault")]
pub fn workingset_refault_return(_ctx: RetProbeContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: the entry is this thread's own; nobody else writes or removes it.
    let Some(folio) = (unsafe { REFAULTING.get(&thread) }).copied() else {
        return 0;
    };
    let _ = REFAULTING.remove(&thread);
    refaulted(Folio::at(folio as *const u8)) as u32
}

#[inline(always)]
fn refaulted<M: Memory>(folio: Folio<M>) -> i32 {
    let flags = folio.flags();
    if has_bit(flags, layout!(pg_swapbacked)) {
        // Swapped in: working set on either list.
        return 0;
    }
    runs::at_work(Hook::WorkingsetRefault, |state| {
        let (mapping, index) = (folio.mapping(), folio.index());
        let tgid = tasks::current_tgid();
        let kind = if has_bit(flags, layout!(pg_active)) {
            let mapping = scalar(&mut state.scratch, mapping);
            let _ = REFAULTED.insert(&PageKey { mapping, index }, &tgid, u64::from(BPF_ANY));
            RunKind::RefaultActivated
        } else {
            RunKind::Refault
        };
        let pages = runs::Pages {
            kind,
            flags: 0,
            tgid,
            mapping,
            index,
            memcg_data: folio.memcg_data(),
            pages: folio.pages(flags, &mut state.scratch),
        };
        runs::add_for::<M>(state, Hook::WorkingsetRefault, &pages, None);
    })
}

/// Whose refault made this page active, if one did; asked once, when the page reaches its list.
#[inline(always)]
pub fn take_refault(mapping: u64, index: u64) -> Option<u32> {
    let page = PageKey { mapping, index };
    // SAFETY: a copy of one aligned word.
    let tgid = unsafe { REFAULTED.get(&page) }.copied()?;
    let _ = REFAULTED.remove(&page);
    Some(tgid)
}

/// Reclaim evicts a page; its file and its owner are still known.
#[fentry(function = "workingset_eviction")]
pub fn workingset_eviction(ctx: FEntryContext) -> i32 {
    // SAFETY: the first argument is the folio (the page before 5.16).
    evicted(unsafe { Folio::new(ctx.arg(0)) }, ctx.arg(1))
}

/// The same without a trampoline.
#[kprobe(function = "workingset_eviction")]
pub fn workingset_eviction_kprobe(ctx: ProbeContext) -> u32 {
    match (ctx.arg(0), ctx.arg(1)) {
        (Some(folio), Some(target)) => evicted(Folio::at(folio), target) as u32,
        _ => 0,
    }
}

/// `target` is the memcg that was short, null if the node was.
#[inline(always)]
fn evicted<M: Memory>(folio: Folio<M>, target: *const u8) -> i32 {
    runs::at_work(Hook::WorkingsetEviction, |state| {
        let flags = folio.flags();
        // What goes to swap has no file any more: an anonymous folio's mapping is no address_space.
        let (kind, mapping) = if has_bit(flags, layout!(pg_swapbacked)) {
            (RunKind::SwapEviction, core::ptr::null())
        } else {
            (RunKind::Eviction, folio.mapping())
        };
        let pages = runs::Pages {
            kind,
            flags: run_flags::IN_RECLAIM,
            tgid: tasks::current_tgid(),
            mapping,
            index: folio.index(),
            memcg_data: folio.memcg_data(),
            pages: folio.pages(flags, &mut state.scratch),
        };
        runs::add_for::<M>(state, Hook::WorkingsetEviction, &pages, Some(target));
    })
}
