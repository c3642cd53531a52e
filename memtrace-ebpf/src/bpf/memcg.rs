//! Memory cgroups: from what the kernel keeps in a folio or a task to a cgroup id.

use aya_ebpf::helpers::bpf_get_current_task;

use crate::{
    layout::{layout, present, probe_at},
    memory::Memory,
};

/// Cgroup id of the memcg that a folio is charged to; 0 if it is charged to none.
///
/// The low three bits of `memcg_data` are flags (include/linux/memcontrol.h, `page_memcg_data_flags`
/// and later names); LRU folios have none of them set, but the mask costs nothing.
#[inline(always)]
pub fn charged(memcg_data: u64) -> u64 {
    let mut memcg = memcg_data & !7;
    if memcg == 0 {
        return 0;
    }
    if present!(objcg_memcg) {
        memcg = probe_at(memcg, layout!(objcg_memcg));
    }
    cgroup_id(probe_at(memcg, layout!(memcg_cgroup)))
}

/// Cgroup id of a `struct mem_cgroup`; 0 if the pointer is null.
///
/// # Safety
/// `memcg` must be a pointer as `M` wants it.
#[inline(always)]
pub unsafe fn id<M: Memory>(memcg: *const u8) -> u64 {
    if memcg.is_null() {
        return 0;
    }
    // SAFETY: as the caller promises; the members are typed from there.
    unsafe {
        let cgroup = M::load_pointer(memcg, layout!(memcg_cgroup));
        M::load(M::load_pointer(cgroup, layout!(cgroup_kn)), layout!(kn_id))
    }
}

/// Cgroup id of a task's own memory cgroup; 0 if it cannot be read.
#[inline(always)]
pub fn of_task(task: u64) -> u64 {
    if !present!(css_set_memory) {
        return 0;
    }
    let css_set: u64 = probe_at(task, layout!(task_cgroups));
    let css: u64 = probe_at(css_set, layout!(css_set_memory));
    cgroup_id(probe_at(css, layout!(css_cgroup)))
}

/// Cgroup id of the current task's memory cgroup.
#[inline(always)]
pub fn of_current() -> u64 {
    // SAFETY: the helper has no preconditions.
    of_task(unsafe { bpf_get_current_task() })
}

/// `kernfs_node.id` of a cgroup: the inode number of its directory.
#[inline(always)]
fn cgroup_id(cgroup: u64) -> u64 {
    if cgroup == 0 {
        return 0;
    }
    let node: u64 = probe_at(cgroup, layout!(cgroup_kn));
    probe_at(node, layout!(kn_id))
}
