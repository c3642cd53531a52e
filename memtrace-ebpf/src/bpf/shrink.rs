//! Shrinking one cgroup's lists on one node (mm/vmscan.c): who gave pages, on whose behalf, and how
//! many. Summed up here: reclaim under pressure calls this thousands of times a second.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_F_NO_PREALLOC, BPF_NOEXIST},
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_ktime_get_ns},
    macros::{fentry, fexit, kprobe, kretprobe, map},
    maps::{HashMap, PerCpuHashMap},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use memtrace_ebpf::{
    hook::Hook,
    record::{ShrinkCounts, ShrinkKey, Tag, shrink_kind},
};

use crate::{
    events::stats,
    layout::{layout, present},
    memcg,
    memory::{Memory, Probed, Typed},
};

/// Sums by victim, target, kind and function; read by userspace with each sample. 4,096 pairs of
/// cgroups of 32 bytes a CPU, taken when needed; when it is full, calls are counted as lost. Each
/// function's return writes its own entries.
#[map]
static SHRINKS: PerCpuHashMap<ShrinkKey, ShrinkCounts> =
    PerCpuHashMap::with_max_entries(4_096, BPF_F_NO_PREALLOC);

/// A call under way.
#[repr(C)]
#[derive(Clone, Copy)]
struct Shrinking {
    key: ShrinkKey,
    /// Address of the `scan_control`.
    control: u64,
    time_ns: u64,
    scanned_pages: u64,
    reclaimed_pages: u64,
    /// The [`Hook`] whose return ends it.
    ends: u64,
}

/// Calls under way, by thread: `shrink_lruvec` may sleep.
#[map]
static SHRINKING: HashMap<u64, Shrinking> = HashMap::with_max_entries(8_192, 0);

/// The lists of one cgroup on one node are about to be shrunk.
#[fentry(function = "shrink_lruvec")]
pub fn shrink_enter(ctx: FEntryContext) -> i32 {
    enter::<Typed>(Hook::ShrinkReturn, ctx.arg(0), ctx.arg(1))
}

/// And have been.
#[fexit(function = "shrink_lruvec")]
pub fn shrink_return(ctx: FExitContext) -> i32 {
    leave::<Typed>(Hook::ShrinkReturn, Some(ctx.arg(1)))
}

/// MGLRU's reclaim for the node comes here without passing `shrink_lruvec` (from 6.12).
#[fentry(function = "try_to_shrink_lruvec")]
pub fn shrink_generations_enter(ctx: FEntryContext) -> i32 {
    enter::<Typed>(Hook::ShrinkGenerationsReturn, ctx.arg(0), ctx.arg(1))
}

/// And back.
#[fexit(function = "try_to_shrink_lruvec")]
pub fn shrink_generations_return(ctx: FExitContext) -> i32 {
    leave::<Typed>(Hook::ShrinkGenerationsReturn, Some(ctx.arg(1)))
}

/// The same without trampolines.
#[kprobe(function = "shrink_lruvec")]
pub fn shrink_enter_kprobe(ctx: ProbeContext) -> u32 {
    match (ctx.arg(0), ctx.arg(1)) {
        (Some(lruvec), Some(control)) => {
            enter::<Probed>(Hook::ShrinkReturn, lruvec, control) as u32
        }
        _ => 0,
    }
}

/// And back.
#[kretprobe(function = "shrink_lruvec")]
pub fn shrink_return_kretprobe(_ctx: RetProbeContext) -> u32 {
    leave::<Probed>(Hook::ShrinkReturn, None) as u32
}

/// The same without trampolines.
#[kprobe(function = "try_to_shrink_lruvec")]
pub fn shrink_generations_enter_kprobe(ctx: ProbeContext) -> u32 {
    match (ctx.arg(0), ctx.arg(1)) {
        (Some(lruvec), Some(control)) => {
            enter::<Probed>(Hook::ShrinkGenerationsReturn, lruvec, control) as u32
        }
        _ => 0,
    }
}

/// And back.
#[kretprobe(function = "try_to_shrink_lruvec")]
pub fn shrink_generations_return_kretprobe(_ctx: RetProbeContext) -> u32 {
    leave::<Probed>(Hook::ShrinkGenerationsReturn, None) as u32
}

/// `ends` is the hook at the function's return. A cgroup's own reclaim under MGLRU passes both
/// functions: the inner one is left out.
#[inline(always)]
fn enter<M: Memory>(ends: Hook, lruvec: *const u8, control: *const u8) -> i32 {
    // SAFETY: the pointers are as `M` wants them by the functions' prototypes.
    let begun = unsafe {
        let target = M::load_pointer(control, layout!(sc_target));
        Shrinking {
            key: ShrinkKey {
                victim_memcg_id: victim(lruvec),
                target_memcg_id: memcg::id::<M>(target),
                kind: kind::<M>(lruvec, control, target),
                function: u32::from(matches!(ends, Hook::ShrinkGenerationsReturn)),
            },
            control: control as u64,
            // SAFETY: the helper has no preconditions.
            time_ns: bpf_ktime_get_ns(),
            scanned_pages: M::load(control, layout!(sc_nr_scanned)),
            reclaimed_pages: M::load(control, layout!(sc_nr_reclaimed)),
            ends: ends as u64,
        }
    };
    let flags = if matches!(ends, Hook::ShrinkGenerationsReturn) {
        BPF_NOEXIST
    } else {
        BPF_ANY
    };
    let _ = SHRINKING.insert(&bpf_get_current_pid_tgid(), &begun, u64::from(flags));
    0
}

/// Cgroup id of the memcg that a lruvec belongs to: it is embedded in a `mem_cgroup_per_node`, to
/// which only arithmetic leads, which the verifier lets no typed pointer do.
#[inline(always)]
fn victim(lruvec: *const u8) -> u64 {
    let node = (core::hint::black_box(lruvec as u64)).wrapping_sub(layout!(node_lruvec).value());
    // SAFETY: any address will do.
    unsafe { memcg::id::<Probed>(Probed::load_pointer(node as *const u8, layout!(node_memcg))) }
}

/// Why this reclaim is done.
///
/// # Safety
/// The pointers must be as `M` wants them.
#[inline(always)]
unsafe fn kind<M: Memory>(lruvec: *const u8, control: *const u8, target: *const u8) -> u32 {
    if !target.is_null() {
        if !present!(sc_proactive) {
            return shrink_kind::MEMCG;
        }
        // SAFETY: as the caller promises.
        let byte: u8 = unsafe { M::load(control, layout!(sc_proactive).value() / 8) };
        if byte & (1 << (layout!(sc_proactive).value() % 8)) != 0 {
            return shrink_kind::PROACTIVE;
        }
        return shrink_kind::MEMCG;
    }
    // SAFETY: as the caller promises. Zones and the lists of all nodes' zones lie before the member
    // (171,320 bytes on Debian's 5.10): farther away than the offset of a load can say.
    let kswapd: u64 = unsafe {
        M::load(
            M::load_pointer(lruvec, layout!(lruvec_pgdat)),
            layout!(pgdat_kswapd).value(),
        )
    };
    // SAFETY: the helper has no preconditions.
    if kswapd == unsafe { bpf_get_current_task() } {
        shrink_kind::KSWAPD
    } else {
        shrink_kind::DIRECT
    }
}

/// `control` where the program is given it.
#[inline(always)]
fn leave<M: Memory>(hook: Hook, control: Option<*const u8>) -> i32 {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: the entry is this thread's own; nobody else writes or removes it.
    let Some(begun) = (unsafe { SHRINKING.get(&thread) }) else {
        return 0;
    };
    if begun.ends != hook as u64 {
        return 0;
    }
    let begun = *begun;
    let _ = SHRINKING.remove(&thread);
    let control = control.unwrap_or(begun.control as *const u8);
    // SAFETY: an argument, or the address of one for a probe.
    let (scanned_pages, reclaimed_pages): (u64, u64) = unsafe {
        (
            M::load(control, layout!(sc_nr_scanned)),
            M::load(control, layout!(sc_nr_reclaimed)),
        )
    };
    let zero = ShrinkCounts::default();
    let _ = SHRINKS.insert(&begun.key, &zero, u64::from(BPF_NOEXIST));
    let Some(counts) = SHRINKS.get_ptr_mut(&begun.key) else {
        if let Some(stats) = stats(hook) {
            stats.lost[Tag::Reclaim as usize] += 1;
        }
        return 0;
    };
    // SAFETY: per-CPU map memory lives as long as the program; only this hook writes this entry.
    let counts = unsafe { &mut *counts };
    counts.calls += 1;
    counts.scanned_pages += scanned_pages.wrapping_sub(begun.scanned_pages);
    counts.reclaimed_pages += reclaimed_pages.wrapping_sub(begun.reclaimed_pages);
    // SAFETY: the helper has no preconditions.
    counts.duration_ns += unsafe { bpf_ktime_get_ns() }.wrapping_sub(begun.time_ns);
    0
}
