//! Page-cache hooks: pages that come and go, and who reads them.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use memtrace_ebpf::{
    hook::Hook,
    readers::reader_table,
    record::{RunKind, run_flags},
    run::HookState,
};

use crate::{
    folio::{Folio, has_bit},
    layout::layout,
    memory::Typed,
    readers, runs, tasks,
};

/// A file page enters the page cache; the current task brings it. Not fired for tmpfs.
#[btf_tracepoint(function = "mm_filemap_add_to_page_cache")]
pub fn cache_add(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the only argument is the folio (the page before 5.16).
    let folio = unsafe { Folio::new(ctx.arg(0)) };
    runs::at_work(Hook::CacheAdd, |state| added(folio, state))
}

#[inline(always)]
fn added(folio: Folio<Typed>, state: &mut HookState) {
    let flags = folio.flags();
    let memcg_data = folio.memcg_data();
    if memcg_data.is_null() {
        // hugetlb, which no memcg pays for here.
        return;
    }
    let (mapping, index) = (folio.mapping(), folio.index());
    readers::note(
        reader_table::CACHE_ADD,
        Hook::CacheAdd,
        mapping,
        index,
        index,
    );
    let pages = runs::Pages {
        kind: RunKind::CacheAdd,
        flags: 0,
        tgid: tasks::current_tgid(),
        mapping,
        index,
        memcg_data,
        pages: folio.pages(flags, &mut state.scratch),
    };
    runs::add(state, Hook::CacheAdd, &pages);
}

/// A page leaves the page cache, tmpfs included; its mapping and owner are still there.
#[btf_tracepoint(function = "mm_filemap_delete_from_page_cache")]
pub fn cache_delete(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the only argument is the folio (the page before 5.16).
    let folio = unsafe { Folio::new(ctx.arg(0)) };
    runs::at_work(Hook::CacheDelete, |state| deleted(folio, state))
}

#[inline(always)]
fn deleted(folio: Folio<Typed>, state: &mut HookState) {
    let flags = folio.flags();
    let memcg_data = folio.memcg_data();
    if memcg_data.is_null() {
        return;
    }
    let kind = if has_bit(flags, layout!(pg_swapbacked)) {
        RunKind::ShmemDelete
    } else if has_bit(flags, layout!(pg_active)) {
        RunKind::CacheDeleteActive
    } else {
        RunKind::CacheDeleteInactive
    };
    let pages = runs::Pages {
        kind,
        flags: if tasks::current_reclaims() {
            run_flags::IN_RECLAIM
        } else {
            0
        },
        tgid: tasks::current_tgid(),
        mapping: folio.mapping(),
        index: folio.index(),
        memcg_data,
        pages: folio.pages(flags, &mut state.scratch),
    };
    runs::add(state, Hook::CacheDelete, &pages);
}

/// read(2) looked up pages `index..=last`.
#[btf_tracepoint(function = "mm_filemap_get_pages")]
pub fn get_pages(ctx: BtfTracePointContext) -> i32 {
    note(
        Hook::GetPages,
        reader_table::READ,
        ctx.arg(0),
        ctx.arg(1),
        ctx.arg(2),
    )
}

/// A page fault looked up the page at `index`.
#[btf_tracepoint(function = "mm_filemap_fault")]
pub fn fault(ctx: BtfTracePointContext) -> i32 {
    let index = ctx.arg(1);
    note(Hook::Fault, reader_table::FAULT, ctx.arg(0), index, index)
}

/// A page fault mapped the cached pages around it.
#[btf_tracepoint(function = "mm_filemap_map_pages")]
pub fn map_pages(ctx: BtfTracePointContext) -> i32 {
    // The range is what could be mapped, not what was: the file's last toucher, and one page.
    let first = ctx.arg(1);
    note(
        Hook::MapPages,
        reader_table::MAP_PAGES,
        ctx.arg(0),
        first,
        first,
    )
}

#[inline(always)]
fn note(hook: Hook, table: u32, mapping: *const u8, first: u64, last: u64) -> i32 {
    readers::note(table, hook, mapping, first, last);
    0
}
