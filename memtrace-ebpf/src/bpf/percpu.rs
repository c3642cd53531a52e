//! Where each CPU's copy of a per-CPU variable is.

use aya_ebpf::{helpers::generated::bpf_map_lookup_percpu_elem, macros::map, maps::PerCpuArray};

use crate::{
    folio::scalar,
    layout::{layout, probe_at},
};

/// One value a CPU, which tells the way from a per-CPU pointer to the CPU's copy: its own address, that of
/// the map, and the per-CPU pointer that the map has to it. Each word is the same whoever writes it, so
/// anybody may, at any time.
#[map]
static PLACES: PerCpuArray<[u64; 3]> = PerCpuArray::with_max_entries(1, 0);

/// What must be added to a per-CPU pointer for the CPU's copy; `None` if there is no such CPU.
///
/// The kernel keeps it in `__per_cpu_offset`, whose address only kernels with CONFIG_KALLSYMS_ALL tell.
/// But a map has both: the pointer (`bpf_array.pptrs`), and what it leads to. The helper is there wherever
/// counters are per CPU (from 5.19; those from 6.2).
#[inline(always)]
pub fn offset(cpu: u32) -> Option<u64> {
    let key = 0u32;
    // SAFETY: a map and a key of its size.
    let value = unsafe {
        bpf_map_lookup_percpu_elem(
            (&raw const PLACES).cast_mut().cast(),
            (&raw const key).cast(),
            cpu,
        )
    };
    if value.is_null() {
        return None;
    }
    // SAFETY: map memory of this size lives as long as the program; its words are aligned, and have one
    // value whoever writes them.
    let [own, map, pointer] = unsafe { &mut *value.cast::<[u64; 3]>() };
    let address = scalar(own, value.cast_const().cast());
    if *pointer == 0 {
        let map = scalar(map, (&raw const PLACES).cast());
        *pointer = probe_at(map, layout!(array_pptrs));
    }
    Some(address.wrapping_sub(*pointer))
}
