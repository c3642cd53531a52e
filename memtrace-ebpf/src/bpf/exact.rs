//! Exact mode: every update of a memcg's counters, summed per cgroup and CPU.

use aya_ebpf::{
    macros::{btf_tracepoint, map},
    maps::PerCpuHashMap,
    programs::BtfTracePointContext,
};
use memtrace_ebpf::{
    exact::{COUNTERS, CounterFlow},
    hook::Hook,
    record::Tag,
};

use crate::{
    events::stats,
    layout::{enabled, layout},
    memcg,
    memory::Typed,
};

/// By cgroup id. Userspace gives it its size in exact mode; else it stays at one entry.
#[map]
static COUNTER_FLOWS: PerCpuHashMap<u64, CounterFlow> = PerCpuHashMap::with_max_entries(1, 0);

/// A counter of a memcg changes. Fires for the memcg that owns the pages, not for its ancestors;
/// very often, so the counters that nobody asked for leave first.
#[btf_tracepoint(function = "mod_memcg_lruvec_state")]
pub fn counter_update(ctx: BtfTracePointContext) -> i32 {
    let item = u64::from(ctx.arg::<u32>(1));
    // In the order of `COUNTERS`.
    let counter = if item == layout!(item_active_file).value() {
        0
    } else if item == layout!(item_inactive_file).value() {
        1
    } else if item == layout!(item_file).value() {
        2
    } else if item == layout!(item_anon).value() {
        3
    } else if item == layout!(item_shmem).value() {
        4
    } else if item == layout!(item_pagetables).value() {
        5
    } else if item == layout!(item_workingset_refault_file).value() {
        6
    } else if item == layout!(item_workingset_activate_file).value() {
        7
    } else {
        return 0;
    };
    let pages: i64 = if enabled!(counter_update_long) {
        ctx.arg(2)
    } else {
        i64::from(ctx.arg::<i32>(2))
    };
    // SAFETY: the first argument is the memcg.
    let memcg_id = unsafe { memcg::id::<Typed>(ctx.arg(0)) };
    if let Some(flow) = flow_of(memcg_id) {
        if pages < 0 {
            flow.out_pages[counter % COUNTERS.len()] += pages.unsigned_abs();
        } else {
            flow.in_pages[counter % COUNTERS.len()] += pages as u64;
        }
    } else if let Some(stats) = stats(Hook::CounterUpdate) {
        // More cgroups than the map holds: the sums are not exact any more, and `trust` says so.
        stats.lost[Tag::Run as usize] += 1;
    }
    0
}

#[inline(always)]
fn flow_of(memcg_id: u64) -> Option<&'static mut CounterFlow> {
    let flow = COUNTER_FLOWS.get_ptr_mut(&memcg_id).or_else(|| {
        let _ = COUNTER_FLOWS.insert(&memcg_id, &CounterFlow::default(), 1);
        COUNTER_FLOWS.get_ptr_mut(&memcg_id)
    })?;
    // SAFETY: this CPU's own value; nobody removes entries, and the kernel does not run this
    // program twice at once on one CPU.
    Some(unsafe { &mut *flow })
}
