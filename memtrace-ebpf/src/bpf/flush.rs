//! The flush program: sends runs that have aged. An idle CPU runs no hook, so userspace runs this
//! by `BPF_PROG_TEST_RUN`, on each CPU in turn.

use core::ffi::c_void;

use aya_ebpf::{helpers::bpf_ktime_get_ns, programs::RawTracePointContext};
use aya_log_ebpf::debug;
use memtrace_ebpf::{
    hook::{Hook, HookStats},
    run::{HookState, RUN_SLOTS, RunTable},
};

use crate::{
    events::{self, backlog_bytes, stats},
    runs,
};

/// Sends every run of this CPU and of the hook `args[1]` that began before `now - args[0]`. Returns
/// how many runs stay.
///
/// One table a call: the verifier walks through every slot, and would do so for every table.
///
/// The kernel disables preemption around a test run, or calls it from an interrupt on the CPU asked
/// for (net/bpf/test_run.c, `bpf_prog_test_run_raw_tp`): no hook starts while this works, and one
/// that was stopped in the middle has marked its state busy and is left alone.
// Not by aya's macro, which returns 0 whatever the function returns.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tracepoint")]
pub extern "C" fn flush(ctx: *mut c_void) -> i32 {
    let ctx = RawTracePointContext::new(ctx);
    let min_age_ns: u64 = ctx.arg(0);
    let hook: u32 = ctx.arg(1);
    let Some(stats) = stats(Hook::Flush) else {
        return -1;
    };
    // SAFETY: the helper has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let (Some(state), Some(table)) = (events::state(hook), runs::table(hook)) else {
        return -1;
    };
    let kept = flush_table(state, table, stats, hook, now_ns, min_age_ns);
    if kept != 0 {
        debug!(&ctx, "{} runs kept, {} bytes unread", kept, backlog_bytes());
    }
    kept as i32
}

/// Returns how many runs of the table stay.
#[inline(always)]
fn flush_table(
    state: &mut HookState,
    table: &mut RunTable,
    stats: &mut HookStats,
    hook: u32,
    now_ns: u64,
    min_age_ns: u64,
) -> u64 {
    // SAFETY: an aligned u64 of the state; volatile, since a hook may have been stopped at work.
    if unsafe { core::ptr::read_volatile(&state.busy) } != 0 {
        return 1;
    }
    state.put_back(table);
    // Counted in memory, not in a register: the verifier would follow each value on its own.
    let kept = &raw mut state.scratch;
    // SAFETY: an aligned u64 of the state, which is ours for now.
    unsafe { kept.write_volatile(0) };
    let mut slot = 0;
    while slot < RUN_SLOTS {
        let run = &mut table.runs[slot];
        if run.pages != 0 {
            let age_ns = now_ns.wrapping_sub(run.first_ns);
            if age_ns >= min_age_ns && runs::send(run, stats, hook) {
                run.pages = 0;
            } else {
                // SAFETY: as above.
                unsafe { kept.write_volatile(kept.read_volatile() + 1) };
            }
        }
        slot += 1;
    }
    // SAFETY: as above.
    unsafe { kept.read_volatile() }
}
