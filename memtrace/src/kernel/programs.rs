//! The compiled BPF object that travels in the binary.

use aya::include_bytes_aligned;

/// Built from `memtrace-ebpf` by `cargo xtask ebpf`, and committed so that users need only stable
/// Rust. `memtrace.bpf.json` beside it says from which sources and with which tools.
pub static OBJECT: &[u8] = include_bytes_aligned!("../../bpf/memtrace.bpf.o");

/// Maps of the object, by the names the programs give them.
pub mod map {
    /// Ring buffer of all records.
    pub const EVENTS: &str = "EVENTS";
    /// Per-CPU [`HookState`](memtrace_ebpf::run::HookState) of each hook.
    pub const STATES: &str = "STATES";
    /// Per-CPU [`ShrinkCounts`](memtrace_ebpf::record::ShrinkCounts) by
    /// [`ShrinkKey`](memtrace_ebpf::record::ShrinkKey).
    pub const SHRINKS: &str = "SHRINKS";
    /// Per-CPU [`CounterFlow`](memtrace_ebpf::exact::CounterFlow)s, by cgroup id.
    pub const COUNTER_FLOWS: &str = "COUNTER_FLOWS";
    /// Per-CPU [`RunTable`](memtrace_ebpf::run::RunTable)s.
    pub const RUNS: &str = "RUNS";
}
