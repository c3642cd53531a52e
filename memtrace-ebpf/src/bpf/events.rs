//! The ring buffer, and the counters of what went into it.

use aya_ebpf::{
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use memtrace_ebpf::{
    hook::{HOOKS, Hook, HookStats},
    record::{Header, Tag},
    run::HookState,
};

/// Every record to userspace. Resized by the loader; written by all programs (the kernel locks it).
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// What each hook did on each CPU, and the run it is at: one slot a [`Hook`], written by that hook,
/// and by the flush program while the hook is not at work (`busy`).
#[map]
static STATES: PerCpuArray<HookState> = PerCpuArray::with_max_entries(HOOKS as u32, 0);

/// This CPU's state of a hook, by its number.
#[inline(always)]
pub fn state(hook: u32) -> Option<&'static mut HookState> {
    let state = STATES.get_ptr_mut(hook)?;
    // SAFETY: per-CPU map memory lives as long as the program; see STATES for who writes when, and
    // the kernel does not run a program twice at once on one CPU.
    Some(unsafe { &mut *state })
}

/// This CPU's counters of a hook.
#[inline(always)]
pub fn stats(hook: Hook) -> Option<&'static mut HookStats> {
    Some(&mut state(hook as u32)?.stats)
}

/// A header for a record that is sent now.
#[inline(always)]
pub fn header(tag: Tag) -> Header {
    Header {
        tag: tag as u32,
        // SAFETY: the helper has no preconditions.
        cpu: unsafe { bpf_get_smp_processor_id() },
        // SAFETY: the helper has no preconditions.
        sent_ns: unsafe { bpf_ktime_get_ns() },
    }
}

/// Sends one record; `false` if the ring buffer was full. Counts both in the hook's slot.
#[inline(always)]
pub fn send<T: Copy + 'static>(stats: &mut HookStats, tag: Tag, record: T) -> bool {
    let Some(mut entry) = EVENTS.reserve::<T>(0) else {
        stats.lost[tag as usize] += 1;
        return false;
    };
    entry.write(record);
    entry.submit(0);
    stats.sent[tag as usize] += 1;
    true
}

/// Bytes of the ring buffer that wait to be read.
#[inline(always)]
pub fn backlog_bytes() -> u64 {
    EVENTS.query(u64::from(aya_ebpf::bindings::BPF_RB_AVAIL_DATA))
}
