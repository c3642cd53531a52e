//! Where this kernel keeps what the BPF programs read: every field of [`Layout`] with the places it
//! may have, and the resolver that asks the kernel's BTF which one it is.
//!
//! A field that cannot be resolved stays [`ABSENT`] and keeps its reason, so that exactly the hooks
//! that need it are turned off. Nothing is guessed: a member whose size is not what the programs
//! load counts as missing too.

use memtrace_ebpf::layout::{ABSENT, Layout};

use super::btf::{Btf, lookup::LookupError};

/// How to find the value of one field.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// Byte offset of the first of `paths` that exists.
    Member {
        /// As [`Btf::member`] takes them, newest kernel first.
        paths: &'static [&'static str],
        /// Bytes that the programs load there; of an embedded struct or array, its size.
        bytes: u32,
    },
    /// As `Member`, but only where the member `given` exists too: it tells what the value means.
    MemberGiven {
        /// The member whose existence decides.
        given: &'static str,
        /// The member wanted.
        path: &'static str,
        /// Its size.
        bytes: u32,
    },
    /// Byte offset of a member of the second `struct page` of a compound page, counted from the
    /// first, and only where none of the members `unless` exists.
    SecondPage {
        /// The better members.
        unless: &'static [&'static str],
        /// The member of `struct page`.
        path: &'static str,
        /// Its size.
        bytes: u32,
    },
    /// An enumerator's value.
    Enumerator(&'static str),
    /// 1 where this enumerator exists, else 0; `among` must exist, to prove that the enumeration
    /// is described at all.
    HasEnumerator {
        /// The enumerator looked for.
        name: &'static str,
        /// A sibling that every kernel has.
        among: &'static str,
    },
    /// 1 where `path` exists, 0 where only `else_path` does.
    EitherMember {
        /// The member looked for.
        path: &'static str,
        /// What other kernels have in its place.
        else_path: &'static str,
    },
    /// The number of the first argument of a type, the same in all of these tracepoints.
    Argument {
        /// The tracepoints, of which at least one must exist.
        tracepoints: &'static [&'static str],
        /// As [`Btf::tracepoint_args`] names types.
        type_name: &'static str,
    },
    /// Which of several types an argument of a tracepoint has: its place in `type_names`.
    ArgumentType {
        /// The tracepoint.
        tracepoint: &'static str,
        /// Number of the argument.
        position: usize,
        /// As [`Btf::tracepoint_args`] names types.
        type_names: &'static [&'static str],
    },
    /// Byte offset of an embedded struct or array, whatever its size.
    Embedded(&'static str),
    /// Number of a flag's bit, counted from the start of its struct: byte `bit / 8`, bit `bit % 8`.
    Bit(&'static str),
    /// Which of several prototypes a function has, by position: what its arguments and its result
    /// are, and where, is decided by this one number.
    Prototype {
        /// The function.
        function: &'static str,
        /// As [`Btf::prototype`] writes them, oldest kernel first.
        forms: &'static [&'static str],
    },
    /// Not a matter of types: the caller finds out and sets it.
    Caller,
}

const fn member(bytes: u32, paths: &'static [&'static str]) -> Source {
    Source::Member { paths, bytes }
}

const fn prototype_of(function: &'static str, forms: &'static [&'static str]) -> Source {
    Source::Prototype { function, forms }
}

const OLD_FOLIO_NR_PAGES: &str = "folio._folio_nr_pages";
const NEW_FOLIO_NR_PAGES: &str = "folio._nr_pages";
const OBJCG_FOLIOS: &str = "obj_cgroup.is_root";

/// Every field of [`Layout`], once.
pub const TABLE: &[(&str, Source)] = &[
    (
        "folio_flags",
        member(
            8,
            &["folio.flags.f", "folio.flags", "page.flags.f", "page.flags"],
        ),
    ),
    (
        "folio_mapping",
        member(8, &["folio.mapping", "page.mapping"]),
    ),
    (
        "folio_index",
        member(8, &["folio.index", "page.index", "page.__folio_index"]),
    ),
    (
        "folio_memcg_data",
        member(
            8,
            &["folio.memcg_data", "page.memcg_data", "page.mem_cgroup"],
        ),
    ),
    (
        "folio_nr_pages",
        member(4, &[NEW_FOLIO_NR_PAGES, OLD_FOLIO_NR_PAGES]),
    ),
    (
        "page_compound_nr",
        Source::SecondPage {
            unless: &[NEW_FOLIO_NR_PAGES, OLD_FOLIO_NR_PAGES],
            path: "page.compound_nr",
            bytes: 4,
        },
    ),
    ("pg_head", Source::Enumerator("PG_head")),
    ("pg_active", Source::Enumerator("PG_active")),
    ("pg_swapbacked", Source::Enumerator("PG_swapbacked")),
    ("mapping_host", member(8, &["address_space.host"])),
    ("inode_ino", member(8, &["inode.i_ino"])),
    ("inode_mapping", member(8, &["inode.i_mapping"])),
    ("inode_sb", member(8, &["inode.i_sb"])),
    ("inode_generation", member(4, &["inode.i_generation"])),
    ("inode_nlink", member(4, &["inode.i_nlink"])),
    ("inode_dentry", member(8, &["inode.i_dentry.first"])),
    ("sb_dev", member(4, &["super_block.s_dev"])),
    ("sb_type", member(8, &["super_block.s_type"])),
    ("fstype_name", member(8, &["file_system_type.name"])),
    // Never loaded: list heads point at it, and the dentry is found by subtracting its offset.
    (
        "dentry_alias",
        member(16, &["dentry.d_u.d_alias", "dentry.d_alias"]),
    ),
    ("dentry_name", member(8, &["dentry.d_name.name"])),
    ("dentry_parent", member(8, &["dentry.d_parent"])),
    ("memcg_cgroup", member(8, &["mem_cgroup.css.cgroup"])),
    // Older kernels have the struct and the member too, but no LRU folio points there.
    (
        "objcg_memcg",
        Source::MemberGiven {
            given: OBJCG_FOLIOS,
            path: "obj_cgroup.memcg",
            bytes: 8,
        },
    ),
    ("cgroup_kn", member(8, &["cgroup.kn"])),
    ("kn_id", member(8, &["kernfs_node.id"])),
    ("task_cgroups", member(8, &["task_struct.cgroups"])),
    (
        "css_set_memory",
        member(8, &["css_set.subsys[memory_cgrp_id]"]),
    ),
    ("css_cgroup", member(8, &["cgroup_subsys_state.cgroup"])),
    ("task_tgid", member(4, &["task_struct.tgid"])),
    ("task_pid", member(4, &["task_struct.pid"])),
    ("task_flags", member(4, &["task_struct.flags"])),
    ("task_mm", member(8, &["task_struct.mm"])),
    ("task_signal", member(8, &["task_struct.signal"])),
    ("task_comm", member(16, &["task_struct.comm"])),
    (
        "task_group_leader",
        member(8, &["task_struct.group_leader"]),
    ),
    ("task_real_parent", member(8, &["task_struct.real_parent"])),
    (
        "task_start_boottime",
        member(8, &["task_struct.start_boottime"]),
    ),
    ("task_vfork_done", member(8, &["task_struct.vfork_done"])),
    (
        "task_thread_node",
        Source::Embedded("task_struct.thread_node"),
    ),
    (
        "signal_thread_head",
        Source::Embedded("signal_struct.thread_head"),
    ),
    ("signal_oom_mm", member(8, &["signal_struct.oom_mm"])),
    (
        "signal_oom_flag_origin",
        member(1, &["signal_struct.oom_flag_origin"]),
    ),
    (
        "signal_oom_score_adj",
        member(2, &["signal_struct.oom_score_adj"]),
    ),
    // An array of percpu_counter from 6.2, of atomic_long_t before.
    (
        "mm_rss_file",
        member(
            8,
            &[
                "mm_struct.rss_stat[MM_FILEPAGES].count",
                "mm_struct.rss_stat.count[MM_FILEPAGES].counter",
            ],
        ),
    ),
    (
        "mm_rss_anon",
        member(
            8,
            &[
                "mm_struct.rss_stat[MM_ANONPAGES].count",
                "mm_struct.rss_stat.count[MM_ANONPAGES].counter",
            ],
        ),
    ),
    (
        "mm_rss_swap",
        member(
            8,
            &[
                "mm_struct.rss_stat[MM_SWAPENTS].count",
                "mm_struct.rss_stat.count[MM_SWAPENTS].counter",
            ],
        ),
    ),
    (
        "mm_rss_shmem",
        member(
            8,
            &[
                "mm_struct.rss_stat[MM_SHMEMPAGES].count",
                "mm_struct.rss_stat.count[MM_SHMEMPAGES].counter",
            ],
        ),
    ),
    (
        "mm_pgtables_bytes",
        member(8, &["mm_struct.pgtables_bytes.counter"]),
    ),
    (
        "mm_flags",
        member(8, &["mm_struct.flags.__mm_flags", "mm_struct.flags"]),
    ),
    ("percpu_count", member(8, &["percpu_counter.count"])),
    ("percpu_counters", member(8, &["percpu_counter.counters"])),
    ("array_pptrs", Source::Embedded("bpf_array.pptrs")),
    ("possible_cpus", Source::Caller),
    ("probe_read", Source::Caller),
    (
        "rss_percpu",
        Source::EitherMember {
            path: "mm_struct.rss_stat[MM_FILEPAGES].count",
            else_path: "mm_struct.rss_stat.count[MM_FILEPAGES].counter",
        },
    ),
    (
        "current_task_btf",
        Source::HasEnumerator {
            name: "BPF_FUNC_get_current_task_btf",
            among: "BPF_FUNC_get_current_task",
        },
    ),
    (
        "reclaim_begin_memcg_arg",
        Source::Argument {
            tracepoints: &["mm_vmscan_memcg_reclaim_begin"],
            type_name: "struct mem_cgroup *",
        },
    ),
    (
        "reclaim_begin_order_arg",
        Source::Argument {
            tracepoints: &[
                "mm_vmscan_memcg_reclaim_begin",
                "mm_vmscan_direct_reclaim_begin",
            ],
            type_name: "int",
        },
    ),
    ("item_active_file", Source::Enumerator("NR_ACTIVE_FILE")),
    ("item_inactive_file", Source::Enumerator("NR_INACTIVE_FILE")),
    ("item_file", Source::Enumerator("NR_FILE_PAGES")),
    ("item_anon", Source::Enumerator("NR_ANON_MAPPED")),
    ("item_shmem", Source::Enumerator("NR_SHMEM")),
    ("item_pagetables", Source::Enumerator("NR_PAGETABLE")),
    (
        "item_workingset_refault_file",
        Source::Enumerator("WORKINGSET_REFAULT_FILE"),
    ),
    (
        "item_workingset_activate_file",
        Source::Enumerator("WORKINGSET_ACTIVATE_FILE"),
    ),
    (
        "counter_update_long",
        Source::ArgumentType {
            tracepoint: "mod_memcg_lruvec_state",
            position: 2,
            type_names: &["int", "long"],
        },
    ),
    (
        "activation_prototype",
        prototype_of(
            "workingset_activation",
            &["void (struct page *)", "void (struct folio *)"],
        ),
    ),
    (
        "refault_prototype",
        prototype_of(
            "workingset_refault",
            &[
                "void (struct page *, void *)",
                "void (struct folio *, void *)",
            ],
        ),
    ),
    (
        "eviction_prototype",
        prototype_of(
            "workingset_eviction",
            &[
                "void * (struct page *, struct mem_cgroup *)",
                "void * (struct folio *, struct mem_cgroup *)",
            ],
        ),
    ),
    (
        "memcg_reclaim_prototype",
        prototype_of(
            "try_to_free_mem_cgroup_pages",
            &[
                "unsigned long (struct mem_cgroup *, unsigned long, gfp_t, bool)",
                "unsigned long (struct mem_cgroup *, unsigned long, gfp_t, unsigned int)",
                "unsigned long (struct mem_cgroup *, unsigned long, gfp_t, unsigned int, int *)",
            ],
        ),
    ),
    (
        "shrink_lruvec_prototype",
        prototype_of(
            "shrink_lruvec",
            &["void (struct lruvec *, struct scan_control *)"],
        ),
    ),
    (
        "try_to_shrink_lruvec_prototype",
        prototype_of(
            "try_to_shrink_lruvec",
            &["bool (struct lruvec *, struct scan_control *)"],
        ),
    ),
    ("sc_target", member(8, &["scan_control.target_mem_cgroup"])),
    ("sc_nr_reclaimed", member(8, &["scan_control.nr_reclaimed"])),
    ("sc_nr_scanned", member(8, &["scan_control.nr_scanned"])),
    ("sc_proactive", Source::Bit("scan_control.proactive")),
    ("lruvec_pgdat", member(8, &["lruvec.pgdat"])),
    ("pgdat_kswapd", member(8, &["pglist_data.kswapd"])),
    ("node_memcg", member(8, &["mem_cgroup_per_node.memcg"])),
    (
        "node_lruvec",
        Source::Embedded("mem_cgroup_per_node.lruvec"),
    ),
    ("oc_memcg", member(8, &["oom_control.memcg"])),
    ("oc_gfp_mask", member(4, &["oom_control.gfp_mask"])),
    ("oc_order", member(4, &["oom_control.order"])),
    ("oc_totalpages", member(8, &["oom_control.totalpages"])),
    ("oc_chosen", member(8, &["oom_control.chosen"])),
    (
        "oc_chosen_points",
        member(8, &["oom_control.chosen_points"]),
    ),
    ("oc_constraint", member(4, &["oom_control.constraint"])),
    (
        "oom_kill_prototype",
        prototype_of("oom_kill_process", &["void (struct oom_control *, char *)"]),
    ),
    (
        "oom_evaluate_prototype",
        prototype_of("oom_evaluate_task", &["int (struct task_struct *, void *)"]),
    ),
    (
        "oom_badness_prototype",
        prototype_of(
            "oom_badness",
            &["long (struct task_struct *, unsigned long)"],
        ),
    ),
    (
        "mark_victim_task",
        Source::ArgumentType {
            tracepoint: "mark_victim",
            position: 0,
            type_names: &["int", "struct task_struct *"],
        },
    ),
];

/// A kernel's layout, and why parts of it are not known.
#[derive(Clone, Debug)]
pub struct ResolvedLayout {
    /// What the BPF programs are given.
    pub layout: Layout,
    /// Each field of the table that is [`ABSENT`], with the reason.
    pub missing: Vec<(&'static str, String)>,
}

impl ResolvedLayout {
    /// Asks BTF for every field. [`Source::Caller`] fields stay [`ABSENT`] without a reason.
    pub fn resolve(btf: &Btf<'_>) -> Self {
        let mut resolved = Self {
            layout: Layout::absent(),
            missing: Vec::new(),
        };
        for (field, source) in TABLE {
            match source.value(btf) {
                None => (),
                Some(Ok(value)) => _ = resolved.layout.set(field, value),
                Some(Err(reason)) => resolved.missing.push((field, reason)),
            }
        }
        // Without this the programs would take an obj_cgroup for a mem_cgroup.
        if btf.member(OBJCG_FOLIOS).is_ok() && resolved.layout.objcg_memcg == ABSENT {
            resolved.layout.folio_memcg_data = ABSENT;
            let reason = "folios are charged to an obj_cgroup whose memcg cannot be found";
            resolved.missing.push(("folio_memcg_data", reason.into()));
        }
        resolved
    }

    /// Why the first of `fields` that is missing is so, for a hook that needs them all; `None` if
    /// it has what it needs.
    pub fn missing(&self, fields: &[&str]) -> Option<String> {
        let reason = |field: &&str| self.missing.iter().find(|(name, _)| name == field);
        fields
            .iter()
            .find_map(reason)
            .map(|(field, reason)| format!("{field}: {reason}"))
    }
}

impl Source {
    /// The value on this kernel or why there is none; `None` if BTF is not where to look.
    fn value(&self, btf: &Btf<'_>) -> Option<Result<u32, String>> {
        Some(match *self {
            Self::Member { paths, bytes } => first_member(btf, paths, bytes),
            Self::MemberGiven { given, path, bytes } => btf
                .member(given)
                .map_err(reason)
                .and_then(|_| first_member(btf, &[path], bytes)),
            Self::SecondPage {
                unless,
                path,
                bytes,
            } => second_page(btf, unless, path, bytes),
            Self::Enumerator(name) => btf.enumerator(name).map_err(reason).and_then(|value| {
                let value = u32::try_from(value).ok().filter(|value| *value != ABSENT);
                value.ok_or_else(|| format!("`{name}` has a value that makes no sense"))
            }),
            Self::EitherMember { path, else_path } => match btf.member(path) {
                Ok(_) => Ok(1),
                Err(_) => btf.member(else_path).map(|_| 0).map_err(reason),
            },
            Self::HasEnumerator { name, among } => {
                btf.enumerator(among)
                    .map_err(reason)
                    .and_then(|_| match btf.enumerator(name) {
                        Ok(_) => Ok(1),
                        Err(LookupError::NoEnumerator(_)) => Ok(0),
                        Err(error) => Err(reason(error)),
                    })
            }
            Self::Argument {
                tracepoints,
                type_name,
            } => argument(btf, tracepoints, type_name),
            Self::ArgumentType {
                tracepoint,
                position,
                type_names,
            } => argument_type(btf, tracepoint, position, type_names),
            Self::Embedded(path) => btf
                .member(path)
                .map(|found| found.offset_bytes)
                .map_err(reason),
            Self::Bit(path) => bit(btf, path),
            Self::Prototype { function, forms } => prototype(btf, function, forms),
            Self::Caller => return None,
        })
    }
}

fn reason(error: LookupError) -> String {
    error.to_string()
}

fn first_member(btf: &Btf<'_>, paths: &[&str], bytes: u32) -> Result<u32, String> {
    let mut reasons = Vec::new();
    for path in paths {
        match btf.member(path) {
            // A renamed member is a new place to look, a changed one is not.
            Ok(found) if found.bits.is_some() => reasons.push(format!("`{path}` is a bitfield")),
            Ok(found) if found.size_bytes != bytes => reasons.push(format!(
                "`{path}` has {} bytes on this kernel, the programs expect {bytes}",
                found.size_bytes
            )),
            Ok(found) => return Ok(found.offset_bytes),
            Err(error) => reasons.push(reason(error)),
        }
    }
    Err(reasons.join("; "))
}

fn bit(btf: &Btf<'_>, path: &str) -> Result<u32, String> {
    let found = btf.member(path).map_err(reason)?;
    match found.bits {
        Some((bit, 1)) => Ok(8 * found.offset_bytes + u32::from(bit)),
        _ => Err(format!("`{path}` is not a single bit on this kernel")),
    }
}

fn second_page(btf: &Btf<'_>, unless: &[&str], path: &str, bytes: u32) -> Result<u32, String> {
    if let Some(better) = unless.iter().find(|path| btf.member(path).is_ok()) {
        return Err(format!("not needed: this kernel has `{better}`"));
    }
    let page_bytes = btf
        .struct_bytes("page")
        .ok_or("the size of `struct page` is unknown")?;
    Ok(page_bytes + first_member(btf, &[path], bytes)?)
}

fn argument(btf: &Btf<'_>, tracepoints: &[&str], type_name: &str) -> Result<u32, String> {
    let mut found = tracepoints.iter().filter_map(|tracepoint| {
        let args = btf.tracepoint_args(tracepoint)?;
        let position = args.iter().position(|arg| arg == type_name);
        Some(position.map(|position| position as u32).ok_or_else(|| {
            format!(
                "tracepoint {tracepoint} passes ({}), no `{type_name}`",
                args.join(", ")
            )
        }))
    });
    let none = || format!("this kernel has no tracepoint {}", tracepoints.join(", "));
    let first = found.next().ok_or_else(none)??;
    match found.find(|other| *other != Ok(first)) {
        None => Ok(first),
        Some(_) => Err(format!(
            "the tracepoints {} do not agree on `{type_name}`",
            tracepoints.join(", ")
        )),
    }
}

fn argument_type(
    btf: &Btf<'_>,
    tracepoint: &str,
    position: usize,
    type_names: &[&str],
) -> Result<u32, String> {
    let args = btf.tracepoint_args(tracepoint);
    let args = args.ok_or_else(|| format!("this kernel has no tracepoint {tracepoint}"))?;
    let found = type_names
        .iter()
        .position(|name| args.get(position).is_some_and(|arg| arg == name));
    let found = found.map(|found| found as u32);
    found.ok_or_else(|| {
        format!(
            "tracepoint {tracepoint} passes ({}), expected {} as argument {position}",
            args.join(", "),
            type_names.join(" or ")
        )
    })
}

fn prototype(btf: &Btf<'_>, function: &str, forms: &[&str]) -> Result<u32, String> {
    let found = btf
        .prototype(function)
        .ok_or_else(|| format!("this kernel has no function {function}"))?;
    let position = forms.iter().position(|form| *form == found);
    position.map(|position| position as u32).ok_or_else(|| {
        format!(
            "{function} is `{found}`, the programs know `{}`",
            forms.join("` and `")
        )
    })
}

#[cfg(test)]
pub(super) mod tests;
