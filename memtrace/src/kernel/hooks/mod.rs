//! Every signal memtrace uses, and the rungs on which it can be had, best first. One file a hook
//! family; its BPF programs are in the file of the same name in `memtrace-ebpf/src/bpf/`.

mod exact;
mod filemap;
mod lru;
mod oom;
mod reclaim;
mod tasks;

use memtrace_ebpf::hook::Hook;

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachPoint {
    /// A tracepoint, typed by BTF (from 5.5).
    TpBtf(&'static str),
    /// A kernel function's entry, by BPF trampoline (from 5.5).
    Fentry(&'static str),
    /// An iterator that userspace reads (from 5.8).
    Iter(&'static str),
}

impl AttachPoint {
    /// The kernel's name for it.
    pub fn target(self) -> &'static str {
        match self {
            Self::TpBtf(name) | Self::Fentry(name) | Self::Iter(name) => name,
        }
    }
}

impl std::fmt::Display for AttachPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TpBtf(name) => write!(f, "tp_btf/{name}"),
            Self::Fentry(name) => write!(f, "fentry/{name}"),
            Self::Iter(name) => write!(f, "iter/{name}"),
        }
    }
}

/// One way to have a signal.
#[derive(Clone, Copy, Debug)]
pub struct Rung {
    /// Where the program goes.
    pub attach: AttachPoint,
    /// Name of the BPF program.
    pub program: &'static str,
    /// The slot it counts in; the iterator has none.
    pub hook: Option<Hook>,
    /// Fields of [`Layout`](memtrace_ebpf::layout::Layout) without which it would read garbage.
    pub needs: &'static [&'static str],
}

/// Something memtrace wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Signal {
    /// In a few words.
    pub name: &'static str,
    /// Ways to have it, best first. The first that attaches is taken.
    pub rungs: &'static [Rung],
    /// What the answer loses without it.
    pub cost: &'static str,
    /// Another signal covers for it well enough that its absence is not worth a warning.
    pub optional: bool,
    /// Too costly to have unasked: the option that asks for it, and what it costs.
    pub opt_in: Option<&'static str>,
}

/// All signals, in the order in which `doctor` shows them.
pub fn signals() -> impl Iterator<Item = &'static Signal> {
    [
        lru::SIGNALS,
        filemap::SIGNALS,
        reclaim::SIGNALS,
        oom::SIGNALS,
        tasks::SIGNALS,
        exact::SIGNALS,
    ]
    .into_iter()
    .flatten()
}

/// What every program that starts runs must read: the folio, its file and its owner.
const FOLIO: &[&str] = &[
    "folio_flags",
    "folio_mapping",
    "folio_index",
    "folio_memcg_data",
    "pg_head",
    "pg_active",
    "pg_swapbacked",
    "mapping_host",
    "inode_ino",
    "inode_sb",
    "inode_generation",
    "inode_mapping",
    "sb_dev",
];
