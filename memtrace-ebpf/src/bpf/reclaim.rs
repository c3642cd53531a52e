//! Reclaim hooks: how long tasks wait for memory to be freed.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::{btf_tracepoint, map},
    maps::HashMap,
    programs::BtfTracePointContext,
};
use memtrace_ebpf::{
    hook::Hook,
    record::{ReclaimRecord, Tag, reclaim_kind},
};

use crate::{
    events::{header, send, stats},
    layout::{layout, present},
    memcg,
    memory::Typed,
    tasks,
};

/// A pass that has begun.
#[repr(C)]
#[derive(Clone, Copy)]
struct Begun {
    time_ns: u64,
    target_memcg_id: u64,
    order: u64,
}

/// Passes under way, by thread: a task may move to another CPU while it waits. 8,192 threads can
/// reclaim at once; beyond that a pass goes unmeasured.
#[map]
static BEGUN: HashMap<u64, Begun> = HashMap::with_max_entries(8_192, 0);

/// The node is short of memory.
#[btf_tracepoint(function = "mm_vmscan_direct_reclaim_begin")]
pub fn direct_reclaim_begin(ctx: BtfTracePointContext) -> i32 {
    begin(&ctx, 0)
}

/// The pass is over.
#[btf_tracepoint(function = "mm_vmscan_direct_reclaim_end")]
pub fn direct_reclaim_end(ctx: BtfTracePointContext) -> i32 {
    end(Hook::DirectReclaimEnd, reclaim_kind::DIRECT, ctx.arg(0))
}

/// A cgroup is at its limit.
#[btf_tracepoint(function = "mm_vmscan_memcg_reclaim_begin")]
pub fn memcg_reclaim_begin(ctx: BtfTracePointContext) -> i32 {
    let mut target = 0;
    if present!(reclaim_begin_memcg_arg) {
        // From 7.1 on the third argument is the memcg; the branch is pruned before.
        // SAFETY: a BTF pointer to a mem_cgroup by the tracepoint's prototype.
        target = unsafe { memcg::id::<Typed>(ctx.arg(2)) };
    }
    begin(&ctx, target)
}

/// The pass is over.
#[btf_tracepoint(function = "mm_vmscan_memcg_reclaim_end")]
pub fn memcg_reclaim_end(ctx: BtfTracePointContext) -> i32 {
    end(Hook::MemcgReclaimEnd, reclaim_kind::MEMCG, ctx.arg(0))
}

#[inline(always)]
fn begin(ctx: &BtfTracePointContext, target_memcg_id: u64) -> i32 {
    // (order, gfp) to 7.0, (gfp, order, memcg) from 7.1 on.
    let order: i32 = if layout!(reclaim_begin_order_arg) == 1 {
        ctx.arg(1)
    } else {
        ctx.arg(0)
    };
    let begun = Begun {
        // SAFETY: the helper has no preconditions.
        time_ns: unsafe { bpf_ktime_get_ns() },
        target_memcg_id,
        order: order as u32 as u64,
    };
    let _ = BEGUN.insert(&bpf_get_current_pid_tgid(), &begun, 0);
    0
}

#[inline(always)]
fn end(hook: Hook, kind: u32, reclaimed_pages: u64) -> i32 {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: the entry is this thread's own; nobody else writes or removes it.
    let Some(begun) = (unsafe { BEGUN.get(&thread) }) else {
        return 0;
    };
    let header = header(Tag::Reclaim);
    let record = ReclaimRecord {
        header,
        kind,
        tgid: (thread >> 32) as u32,
        pid: thread as u32,
        order: begun.order as u32,
        task_memcg_id: memcg::of_current(),
        target_memcg_id: begun.target_memcg_id,
        duration_ns: header.sent_ns.wrapping_sub(begun.time_ns),
        reclaimed_pages,
    };
    let _ = BEGUN.remove(&thread);
    if let Some(stats) = stats(hook) {
        tasks::name_current_once(record.tgid, stats);
        send(stats, Tag::Reclaim, record);
    }
    0
}
