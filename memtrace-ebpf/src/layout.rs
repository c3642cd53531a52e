//! What the BPF programs must know of this kernel's data structures. Rust cannot emit CO-RE
//! relocations, so the programs bear a [`mark`] where a field belongs, and userspace, which reads the
//! offsets from the kernel's BTF, puts the value there before loading. So the verifier takes each field
//! as a constant, and a branch on [`ABSENT`] is pruned before it is checked.

use crate::shared;

/// The kernel has no such member. Never 0: offset 0 is a valid offset.
pub const ABSENT: u32 = u32::MAX;

/// How an instruction says which field belongs in it: one of these plus the field's place in
/// [`Layout::FIELDS`].
pub mod mark {
    /// As the offset of a load (`BPF_LDX | BPF_MEM`). No structure of ours is as long.
    pub const LOAD: i16 = 0x7000;
    /// As the 64-bit constant of a `BPF_LD | BPF_IMM | BPF_DW`: for the value. The high half is
    /// "mtrV", which no program has any other use for.
    pub const VALUE: u64 = 0x6d74_7256 << 32;
    /// The same, "mtrB", for a word with the bit of that number.
    pub const BIT: u64 = 0x6d74_7242 << 32;
}

macro_rules! layout {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Byte offsets, bit numbers and switches, each [`ABSENT`] until it is set.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Layout {
            $($(#[$doc])* pub $name: u32,)*
        }

        impl Layout {
            /// The names of all fields, in order.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($name)),*];

            /// The values of all fields, in order.
            pub fn values(&self) -> [u32; Self::FIELDS.len()] {
                [$(self.$name),*]
            }

            /// Nothing known.
            pub const fn absent() -> Self {
                Self { $($name: ABSENT,)* }
            }

            /// The value of a field by its name; `None` if there is no such field.
            pub fn get(&self, field: &str) -> Option<u32> {
                match field {
                    $(stringify!($name) => Some(self.$name),)*
                    _ => None,
                }
            }

            /// Sets a field by its name; `false` if there is no such field.
            pub fn set(&mut self, field: &str, value: u32) -> bool {
                match field {
                    $(stringify!($name) => self.$name = value,)*
                    _ => return false,
                }
                true
            }
        }
        shared!(Layout, 4 * Layout::FIELDS.len());
    };
}

layout! {
    /// `folio.flags` (`page.flags` before 5.16, `folio.flags.f` from 6.18), unsigned long.
    folio_flags,
    /// `folio.mapping`.
    folio_mapping,
    /// `folio.index`, unsigned long.
    folio_index,
    /// `folio.memcg_data` (`page.mem_cgroup` on 5.10).
    folio_memcg_data,
    /// `folio._nr_pages` (`_folio_nr_pages` to 6.12), u32, valid on large folios only.
    folio_nr_pages,
    /// 5.10 and 5.15: `page[1].compound_nr` from the head page, u32.
    page_compound_nr,
    /// Bit number of `PG_head`.
    pg_head,
    /// Bit number of `PG_active`.
    pg_active,
    /// Bit number of `PG_swapbacked`.
    pg_swapbacked,
    /// `address_space.host`.
    mapping_host,
    /// `inode.i_ino`, 8 bytes (unsigned long, u64 from 7.1).
    inode_ino,
    /// `inode.i_mapping`.
    inode_mapping,
    /// `inode.i_sb`.
    inode_sb,
    /// `inode.i_generation`, u32.
    inode_generation,
    /// `inode.i_nlink`, u32.
    inode_nlink,
    /// `inode.i_dentry.first`.
    inode_dentry,
    /// `super_block.s_dev`, u32.
    sb_dev,
    /// `super_block.s_type`.
    sb_type,
    /// `file_system_type.name`.
    fstype_name,
    /// `dentry.d_alias` inside `dentry.d_u`.
    dentry_alias,
    /// `dentry.d_name.name`.
    dentry_name,
    /// `dentry.d_parent`.
    dentry_parent,
    /// `mem_cgroup.css.cgroup`.
    memcg_cgroup,
    /// `obj_cgroup.memcg`, only where a folio's `memcg_data` points to an obj_cgroup (from 7.1).
    objcg_memcg,
    /// `cgroup.kn`.
    cgroup_kn,
    /// `kernfs_node.id`, u64: the cgroup id.
    kn_id,
    /// `task_struct.cgroups`.
    task_cgroups,
    /// `css_set.subsys[memory_cgrp_id]`.
    css_set_memory,
    /// `cgroup_subsys_state.cgroup`.
    css_cgroup,
    /// `task_struct.tgid`, i32.
    task_tgid,
    /// `task_struct.pid`, i32.
    task_pid,
    /// `task_struct.flags`, u32.
    task_flags,
    /// `task_struct.mm`.
    task_mm,
    /// `task_struct.signal`.
    task_signal,
    /// `task_struct.comm`.
    task_comm,
    /// `task_struct.group_leader`.
    task_group_leader,
    /// `task_struct.real_parent`.
    task_real_parent,
    /// `task_struct.start_boottime`, u64.
    task_start_boottime,
    /// `task_struct.vfork_done`.
    task_vfork_done,
    /// `task_struct.thread_node`, embedded.
    task_thread_node,
    /// `signal_struct.thread_head`, embedded: the list of a process's threads.
    signal_thread_head,
    /// `signal_struct.oom_mm`.
    signal_oom_mm,
    /// `signal_struct.oom_flag_origin`, bool.
    signal_oom_flag_origin,
    /// `signal_struct.oom_score_adj`, i16.
    signal_oom_score_adj,
    /// `mm_struct.rss_stat`, counter of `MM_FILEPAGES`, s64.
    mm_rss_file,
    /// `mm_struct.rss_stat`, counter of `MM_ANONPAGES`, s64.
    mm_rss_anon,
    /// `mm_struct.rss_stat`, counter of `MM_SWAPENTS`, s64.
    mm_rss_swap,
    /// `mm_struct.rss_stat`, counter of `MM_SHMEMPAGES`, s64.
    mm_rss_shmem,
    /// `mm_struct.pgtables_bytes`, s64.
    mm_pgtables_bytes,
    /// `mm_struct.flags`, unsigned long (`flags.__mm_flags` from 6.18).
    mm_flags,
    /// `percpu_counter.count`, s64.
    percpu_count,
    /// `percpu_counter.counters`, a per-CPU pointer to s32.
    percpu_counters,
    /// `bpf_array.pptrs`: per-CPU pointers to a map's values.
    array_pptrs,
    /// How many CPUs this machine may ever have (`nr_cpu_ids`).
    possible_cpus,
    /// Switch, 1 where the rss counters are percpu_counters (from 6.2), 0 where they are atomics, in
    /// an array of a typedef that verifiers of that time do not let a plain load into.
    rss_percpu,
    /// Switch, 1 where `bpf_probe_read_kernel` is allowed (not under lockdown=confidentiality).
    probe_read,
    /// Switch, 1 where the helper `bpf_get_current_task_btf` exists (from 5.11).
    current_task_btf,
    /// Argument number of `memcg` in the memcg reclaim tracepoints' begin (from 7.1).
    reclaim_begin_memcg_arg,
    /// Argument number of `order` in the reclaim tracepoints' begin: 0, from 7.1 on 1.
    reclaim_begin_order_arg,
    /// `NR_ACTIVE_FILE` of `enum node_stat_item`.
    item_active_file,
    /// `NR_INACTIVE_FILE`.
    item_inactive_file,
    /// `NR_FILE_PAGES`.
    item_file,
    /// `NR_ANON_MAPPED`.
    item_anon,
    /// `NR_SHMEM`.
    item_shmem,
    /// `NR_PAGETABLE`.
    item_pagetables,
    /// `WORKINGSET_REFAULT_FILE`.
    item_workingset_refault_file,
    /// `WORKINGSET_ACTIVATE_FILE`.
    item_workingset_activate_file,
    /// Switch, 1 where `mod_memcg_lruvec_state` passes a long (from 7.1), 0 where an int.
    counter_update_long,
    /// Prototype of `workingset_activation`: 0 `(struct page *)`, 1 `(struct folio *)`.
    activation_prototype,
    /// Prototype of `workingset_refault`: 0 `(struct page *, shadow)`, 1 `(struct folio *, shadow)`.
    refault_prototype,
    /// Prototype of `workingset_eviction`: 0 `(struct page *, target memcg)`, 1 with a folio.
    eviction_prototype,
    /// Prototype of `try_to_free_mem_cgroup_pages`: 0 `(memcg, pages, gfp, bool may_swap)`,
    /// 1 `(memcg, pages, gfp, options)` (6.1), 2 with `int *swappiness` last (from 6.12).
    memcg_reclaim_prototype,
    /// Prototype of `shrink_lruvec`: 0 `(struct lruvec *, struct scan_control *)`.
    shrink_lruvec_prototype,
    /// Prototype of `try_to_shrink_lruvec`: 0 as that of `shrink_lruvec`.
    try_to_shrink_lruvec_prototype,
    /// `scan_control.target_mem_cgroup`.
    sc_target,
    /// `scan_control.nr_reclaimed`, unsigned long.
    sc_nr_reclaimed,
    /// `scan_control.nr_scanned`, unsigned long.
    sc_nr_scanned,
    /// `scan_control.proactive`, its bit counted from the start of the struct (from 5.19).
    sc_proactive,
    /// `lruvec.pgdat`.
    lruvec_pgdat,
    /// `pglist_data.kswapd`, the node's reclaiming thread.
    pgdat_kswapd,
    /// `mem_cgroup_per_node.memcg`.
    node_memcg,
    /// `mem_cgroup_per_node.lruvec`, embedded.
    node_lruvec,
    /// `oom_control.memcg`, null if the node ran out.
    oc_memcg,
    /// `oom_control.gfp_mask`, u32.
    oc_gfp_mask,
    /// `oom_control.order`, i32; -1 for sysrq-f.
    oc_order,
    /// `oom_control.totalpages`, unsigned long.
    oc_totalpages,
    /// `oom_control.chosen`.
    oc_chosen,
    /// `oom_control.chosen_points`, long.
    oc_chosen_points,
    /// `oom_control.constraint`, enum oom_constraint.
    oc_constraint,
    /// Prototype of `oom_kill_process`: 0 `(struct oom_control *, message)`.
    oom_kill_prototype,
    /// Prototype of `oom_evaluate_task`: 0 `(struct task_struct *, void *)`.
    oom_evaluate_prototype,
    /// Prototype of `oom_badness`: 0 `(struct task_struct *, totalpages)`.
    oom_badness_prototype,
    /// Switch, 1 where `mark_victim` passes a `task_struct *`, 0 where it passes a pid.
    mark_victim_task,
}
