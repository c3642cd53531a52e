//! LRU hooks: pages that become active, and pages that enter the lists.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use memtrace_ebpf::{
    hook::Hook,
    readers::reader_table,
    record::{RunKind, run_flags},
    run::HookState,
};

use crate::{
    folio::{Folio, has_bit, scalar},
    layout::{layout, load_pointer},
    memory::Typed,
    readers::{self, NOBODY},
    runs, tasks, workingset,
};

/// Low bits of `folio.mapping`, one of which is set where it is an `anon_vma` and no `address_space`
/// (include/linux/page-flags.h, `PAGE_MAPPING_FLAGS`, `FOLIO_MAPPING_FLAGS` from 6.17).
const MAPPING_FLAGS: u64 = 3;

/// A file page moved to the active list. Fires at batch drain, in whichever task drains.
#[btf_tracepoint(function = "mm_lru_activate")]
pub fn lru_activate(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the tracepoint's only argument is the folio (the page before 5.16).
    let folio = unsafe { Folio::new(ctx.arg(0)) };
    runs::at_work(Hook::LruActivate, |state| activated(folio, state))
}

#[inline(always)]
fn activated(folio: Folio<Typed>, state: &mut HookState) {
    let flags = folio.flags();
    if has_bit(flags, layout!(pg_swapbacked)) {
        // Anonymous memory and tmpfs count as working set on either list.
        return;
    }
    let (mapping, index) = (folio.mapping(), folio.index());
    // A large folio does not wait in the batch (mm/swap.c, folio_may_be_lru_cached): the task that
    // activates it is the one that runs.
    let (tgid, certain) = if has_bit(flags, layout!(pg_head)) {
        (tasks::current_tgid(), true)
    } else {
        toucher(state, mapping, index)
    };
    let pages = runs::Pages {
        kind: RunKind::Activation,
        flags: uncertain_unless(certain),
        tgid,
        mapping,
        index,
        memcg_data: folio.memcg_data(),
        pages: folio.pages(flags, &mut state.scratch),
    };
    runs::add(state, Hook::LruActivate, &pages);
}

/// A page enters the LRU. Fires at batch drain.
#[btf_tracepoint(function = "mm_lru_insertion")]
pub fn lru_insertion(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the first argument is the folio (the page before 5.16).
    let folio = unsafe { Folio::new(ctx.arg(0)) };
    runs::at_work(Hook::LruInsertion, |state| inserted(folio, state))
}

#[inline(always)]
fn inserted(folio: Folio<Typed>, state: &mut HookState) {
    let flags = folio.flags();
    let is_swapbacked = has_bit(flags, layout!(pg_swapbacked));
    if !is_swapbacked && !has_bit(flags, layout!(pg_active)) {
        // On the inactive list it is not working set; `CacheAdd` tells who brought it.
        return;
    }
    let mapping = folio.mapping();
    let mapping_id = scalar(&mut state.scratch, mapping);
    let kind = if is_swapbacked {
        // Of anonymous memory: to follow it would read garbage, and a load that faults takes long.
        if mapping_id == 0 || mapping_id & MAPPING_FLAGS != 0 {
            return;
        }
        // Only a shmem inode points back to its mapping.
        // SAFETY: typed loads; a fault reads as 0.
        let back = unsafe {
            load_pointer(
                load_pointer(mapping, layout!(mapping_host)),
                layout!(inode_mapping),
            )
        };
        if back != mapping {
            return;
        }
        RunKind::ShmemInsertion
    } else {
        RunKind::InsertionActive
    };
    let index = folio.index();
    let refaulted_by = if matches!(kind, RunKind::InsertionActive) {
        workingset::take_refault(mapping_id, index)
    } else {
        None
    };
    let (kind, tgid, certain) = match (kind, refaulted_by) {
        (_, Some(tgid)) => (RunKind::RefaultInsertion, tgid, true),
        // tmpfs does not pass the add hook: whoever drains is the best there is.
        (RunKind::ShmemInsertion, None) => (kind, tasks::current_tgid(), false),
        (_, None) => {
            let (newest, scratch) = (&state.newest_read, &mut state.scratch);
            let touched =
                readers::touched(newest, reader_table::CACHE_ADD, scratch, mapping, index);
            match touched.page_by {
                NOBODY => (kind, tasks::current_tgid(), false),
                tgid => (kind, tgid, true),
            }
        }
    };
    let pages = runs::Pages {
        kind,
        flags: uncertain_unless(certain),
        tgid,
        mapping,
        index,
        memcg_data: folio.memcg_data(),
        pages: folio.pages(flags, &mut state.scratch),
    };
    runs::add(state, Hook::LruInsertion, &pages);
}

/// Who touched a page: the task that made it active, or the reader of this very page, on this CPU;
/// whoever touched its file last here (uncertain), else whoever runs (uncertain).
#[inline(always)]
fn toucher(state: &mut HookState, mapping: *const u8, index: u64) -> (u32, bool) {
    let (newest, scratch) = (&state.newest_read, &mut state.scratch);
    let touched = readers::touched(newest, reader_table::READ, scratch, mapping, index);
    if touched.page_by != NOBODY {
        return (touched.page_by, true);
    }
    let mut file_by = touched.file_by;
    // The kernel calls `workingset_activation` after it put the page into the batch (mm/swap.c,
    // `folio_mark_accessed`): the page that fills it is drained before, by the task itself.
    if file_by != NOBODY && newest.hook == Hook::WorkingsetActivation as u64 {
        file_by = tasks::current_tgid();
    }
    if let Some(newest) = readers::newest(reader_table::FAULT) {
        let touched = readers::touched(newest, reader_table::FAULT, scratch, mapping, index);
        if touched.page_by != NOBODY {
            return (touched.page_by, true);
        }
        if file_by == NOBODY {
            file_by = touched.file_by;
        }
    }
    // What a fault could have mapped was not touched for that: it tells of the file only.
    if file_by == NOBODY {
        file_by = readers::last(reader_table::MAP_PAGES, scalar(scratch, mapping));
    }
    if file_by == NOBODY {
        file_by = tasks::current_tgid();
    }
    (file_by, false)
}

#[inline(always)]
fn uncertain_unless(certain: bool) -> u32 {
    if certain {
        0
    } else {
        run_flags::TASK_UNCERTAIN
    }
}
