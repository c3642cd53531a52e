//! memtrace's BPF programs: one file a hook family, each with its twin in
//! `memtrace/src/kernel/hooks/`.
//!
//! Rules that hold everywhere here:
//! - A program writes only its own slots of a per-CPU map. From 7.2 on tracepoint programs are
//!   preemptible, so two different programs may interleave on one CPU; the same program may not
//!   (the kernel skips it and counts `recursion_misses`).
//! - Offsets are [`layout::Field`]s, never constants.
//! - A plain load needs a pointer that the verifier knows by BTF; everything else goes through
//!   `bpf_probe_read_kernel`, which a locked-down kernel refuses: then that part is pruned.
#![no_std]
#![no_main]
// The marks that userspace replaces by the kernel's layout are in instructions of their own.
#![feature(asm_experimental_arch)]

mod empty;
mod events;
mod exact;
mod filemap;
mod files;
mod flush;
mod folio;
mod layout;
mod lru;
mod memcg;
mod memory;
mod oom;
mod percpu;
mod readers;
mod reclaim;
mod runs;
mod samples;
mod shrink;
mod tasks;
mod workingset;

/// The kernel lets only GPL-compatible programs call the helpers used here.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
