//! Page-cache hooks: pages that come and go, and who reads them.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use memtrace_ebpf::{
    hook::Hook,
    readers::reader_table,
    record::{RunKind, run_flags},
    run::RunTable,
};

use crate::{
    events::stats,
    folio::{Folio, has_bit, scalar},
    layout::layout,
    memory::Typed,
    readers, runs, tasks,
};

/// A file page enters the page cache; the current task brings it. Not fired for tmpfs.
#[btf_tracepoint(function = "mm_filemap_add_to_page_cache")]
pub fn cache_add(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the only argument is the folio (the page before 5.16).
    let folio = unsafe { Folio::new(ctx.arg(0)) };
    if let Some(table) = runs::table(Hook::CacheAdd as u32) {
        runs::set_busy(table, true);
        added(folio, table);
        runs::set_busy(table, false);
    }
    0
}

#[inline(always)]
fn added(folio: Folio<Typed>, table: &mut RunTable) {
    let flags = folio.flags();
    let memcg_data = folio.memcg_data(&mut table.scratch);
    if memcg_data == 0 {
        // hugetlb, which no memcg pays for here.
        return;
    }
    let Some(stats) = stats(Hook::CacheAdd) else {
        return;
    };
    let mapping = folio.mapping();
    if let Some(readers) = readers::table(reader_table::CACHE_ADD) {
        let index = folio.index();
        readers::note(readers, Hook::CacheAdd, mapping, index, index);
    }
    let pages = folio.pages(flags, &mut table.scratch);
    let mapping_id = scalar(&mut table.scratch, mapping);
    runs::add(
        table,
        stats,
        Hook::CacheAdd,
        runs::Pages {
            kind: RunKind::CacheAdd,
            flags: 0,
            tgid: tasks::current_tgid(),
            mapping,
            mapping_id,
            memcg_data,
            pages,
        },
    );
}

/// A page leaves the page cache, tmpfs included; its mapping and owner are still there.
#[btf_tracepoint(function = "mm_filemap_delete_from_page_cache")]
pub fn cache_delete(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the only argument is the folio (the page before 5.16).
    let folio = unsafe { Folio::new(ctx.arg(0)) };
    if let Some(table) = runs::table(Hook::CacheDelete as u32) {
        runs::set_busy(table, true);
        deleted(folio, table);
        runs::set_busy(table, false);
    }
    0
}

#[inline(always)]
fn deleted(folio: Folio<Typed>, table: &mut RunTable) {
    let flags = folio.flags();
    let memcg_data = folio.memcg_data(&mut table.scratch);
    if memcg_data == 0 {
        return;
    }
    let Some(stats) = stats(Hook::CacheDelete) else {
        return;
    };
    let kind = if has_bit(flags, layout!(pg_swapbacked)) {
        RunKind::ShmemDelete
    } else if has_bit(flags, layout!(pg_active)) {
        RunKind::CacheDeleteActive
    } else {
        RunKind::CacheDeleteInactive
    };
    let mapping = folio.mapping();
    let mapping_id = scalar(&mut table.scratch, mapping);
    let pages = folio.pages(flags, &mut table.scratch);
    runs::add(
        table,
        stats,
        Hook::CacheDelete,
        runs::Pages {
            kind,
            flags: if tasks::current_reclaims() {
                run_flags::IN_RECLAIM
            } else {
                0
            },
            tgid: tasks::current_tgid(),
            mapping,
            mapping_id,
            memcg_data,
            pages,
        },
    );
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
    if let Some(table) = readers::table(table) {
        readers::note(table, hook, mapping, first, last);
    }
    0
}
