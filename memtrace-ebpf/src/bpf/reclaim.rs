//! Reclaim hooks: how long tasks wait for memory to be freed.

use core::hint::black_box;

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns, generated::bpf_get_stack},
    macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe, map},
    maps::HashMap,
    programs::{BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use memtrace_ebpf::{
    hook::Hook,
    record::{RECLAIM_CALLERS, ReclaimRecord, Tag, reclaim_flags, reclaim_kind},
};

use crate::{
    events::{header, send, stats},
    layout::{layout, present},
    memcg,
    memory::{Probed, Typed},
    tasks,
};

/// `MEMCG_RECLAIM_MAY_SWAP` and `MEMCG_RECLAIM_PROACTIVE` (include/linux/swap.h).
const MEMCG_RECLAIM_MAY_SWAP: u32 = 1 << 1;
const MEMCG_RECLAIM_PROACTIVE: u32 = 1 << 2;

/// A pass that has begun.
#[repr(C)]
#[derive(Clone, Copy)]
struct Begun {
    time_ns: u64,
    target_memcg_id: u64,
    order: u32,
    flags: u32,
    caller_bytes: i64,
    callers: [u64; RECLAIM_CALLERS],
}

/// Passes under way, by thread: a task may move to another CPU while it waits. 8,192 threads can
/// reclaim at once; beyond that a pass goes unmeasured.
#[map]
static BEGUN: HashMap<u64, Begun> = HashMap::with_max_entries(8_192, 0);

/// The node is short of memory.
#[btf_tracepoint(function = "mm_vmscan_direct_reclaim_begin")]
pub fn direct_reclaim_begin(ctx: BtfTracePointContext) -> i32 {
    begin(&ctx, 0, order(&ctx), 0)
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
    begin(&ctx, target, order(&ctx), 0)
}

/// The pass is over.
#[btf_tracepoint(function = "mm_vmscan_memcg_reclaim_end")]
pub fn memcg_reclaim_end(ctx: BtfTracePointContext) -> i32 {
    end(Hook::MemcgReclaimEnd, reclaim_kind::MEMCG, ctx.arg(0))
}

/// A cgroup is at its limit, or somebody wants it smaller: which cgroup, and how.
#[fentry(function = "try_to_free_mem_cgroup_pages")]
pub fn memcg_reclaim_enter(ctx: FEntryContext) -> i32 {
    // SAFETY: a BTF pointer to a mem_cgroup by the function's prototype.
    let target = unsafe { memcg::id::<Typed>(ctx.arg(0)) };
    begin(&ctx, target, 0, options(ctx.arg(3)))
}

/// The pass is over.
#[fexit(function = "try_to_free_mem_cgroup_pages")]
pub fn memcg_reclaim_return(ctx: FExitContext) -> i32 {
    // The result comes after the last argument. Without the black boxes LLVM would make one load of
    // two, at an offset that verifiers up to 6.18 take for arithmetic on the context.
    let reclaimed_pages = if layout!(memcg_reclaim_prototype).value() == 2 {
        black_box(ctx.arg(5))
    } else {
        black_box(ctx.arg(4))
    };
    end(
        Hook::MemcgReclaimReturn,
        reclaim_kind::MEMCG,
        reclaimed_pages,
    )
}

/// The same without a trampoline.
#[kprobe(function = "try_to_free_mem_cgroup_pages")]
pub fn memcg_reclaim_enter_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(memcg), Some(options_word)) = (ctx.arg(0), ctx.arg(3)) {
        // SAFETY: any address will do.
        let target = unsafe { memcg::id::<Probed>(memcg) };
        begin(&ctx, target, 0, options(options_word));
    }
    0
}

/// The pass is over.
#[kretprobe(function = "try_to_free_mem_cgroup_pages")]
pub fn memcg_reclaim_return_kretprobe(ctx: RetProbeContext) -> u32 {
    end(Hook::MemcgReclaimReturn, reclaim_kind::MEMCG, ctx.ret()) as u32
}

/// [`reclaim_flags`] from the fourth argument: `bool may_swap`, from 6.1 on a mask of options.
#[inline(always)]
fn options(word: u32) -> u32 {
    let (may_swap, proactive) = if layout!(memcg_reclaim_prototype).value() == 0 {
        (word & 1 != 0, false)
    } else {
        (
            word & MEMCG_RECLAIM_MAY_SWAP != 0,
            word & MEMCG_RECLAIM_PROACTIVE != 0,
        )
    };
    let mut flags = reclaim_flags::OPTIONS_KNOWN;
    if may_swap {
        flags |= reclaim_flags::MAY_SWAP;
    }
    if proactive {
        flags |= reclaim_flags::PROACTIVE;
    }
    flags
}

/// The allocation's order: (order, gfp) to 7.0, (gfp, order, memcg) from 7.1 on.
#[inline(always)]
fn order(ctx: &BtfTracePointContext) -> u32 {
    if layout!(reclaim_begin_order_arg).value() == 1 {
        ctx.arg(1)
    } else {
        ctx.arg(0)
    }
}

#[inline(always)]
fn begin(ctx: &impl EbpfContext, target_memcg_id: u64, order: u32, flags: u32) -> i32 {
    let mut begun = Begun {
        time_ns: 0,
        target_memcg_id,
        order,
        flags,
        caller_bytes: 0,
        callers: [0; RECLAIM_CALLERS],
    };
    // SAFETY: the helper writes at most the stated size, which is that of the array.
    begun.caller_bytes = unsafe {
        bpf_get_stack(
            ctx.as_ptr(),
            begun.callers.as_mut_ptr().cast(),
            size_of_val(&begun.callers) as u32,
            0,
        )
    };
    // Now: walking the stack takes microseconds, which no task waits for memory.
    // SAFETY: the helper has no preconditions.
    begun.time_ns = unsafe { bpf_ktime_get_ns() };
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
        order: begun.order,
        task_memcg_id: memcg::of_current(),
        target_memcg_id: begun.target_memcg_id,
        duration_ns: header.sent_ns.wrapping_sub(begun.time_ns),
        reclaimed_pages,
        flags: begun.flags,
        caller_count: (begun.caller_bytes.max(0) / 8) as u32,
        callers: begun.callers,
    };
    let _ = BEGUN.remove(&thread);
    if let Some(stats) = stats(hook) {
        tasks::name_current_once(record.tgid, stats);
        send(stats, Tag::Reclaim, record);
    }
    0
}
