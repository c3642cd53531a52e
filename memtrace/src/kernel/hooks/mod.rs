//! Every signal memtrace uses, and the rungs on which it can be had, best first. One file a hook
//! family; its BPF programs are in the file of the same name in `memtrace-ebpf/src/bpf/`.

mod exact;
mod filemap;
mod lru;
mod oom;
mod reclaim;
mod shrink;
mod tasks;
mod workingset;

use memtrace_ebpf::hook::Hook;

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachPoint {
    /// A tracepoint, typed by BTF (from 5.5).
    TpBtf(&'static str),
    /// A kernel function's entry, by BPF trampoline (from 5.5).
    Fentry(&'static str),
    /// A kernel function's return, by BPF trampoline: its arguments and its result (from 5.5).
    Fexit(&'static str),
    /// A kernel function's entry, by kprobe: where trampolines are not to be had. What it passes is
    /// untyped, and the programs know the registers of one architecture.
    Kprobe(&'static str),
    /// A kernel function's return, by kretprobe: its result, not its arguments.
    Kretprobe(&'static str),
    /// An iterator that userspace reads (from 5.8).
    Iter(&'static str),
}

impl AttachPoint {
    /// Whether its program reads the registers of one architecture.
    pub fn is_kprobe(self) -> bool {
        matches!(self, Self::Kprobe(_) | Self::Kretprobe(_))
    }

    /// The kernel's name for it.
    pub fn target(self) -> &'static str {
        match self {
            Self::TpBtf(name)
            | Self::Fentry(name)
            | Self::Fexit(name)
            | Self::Kprobe(name)
            | Self::Kretprobe(name)
            | Self::Iter(name) => name,
        }
    }
}

impl std::fmt::Display for AttachPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self {
            Self::TpBtf(_) => "tp_btf",
            Self::Fentry(_) => "fentry",
            Self::Fexit(_) => "fexit",
            Self::Kprobe(_) => "kprobe",
            Self::Kretprobe(_) => "kretprobe",
            Self::Iter(_) => "iter",
        };
        write!(f, "{kind}/{}", self.target())
    }
}

/// One program on one hook.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Where the program goes.
    pub attach: AttachPoint,
    /// Name of the BPF program.
    pub program: &'static str,
    /// The slot it counts in; the iterator has none.
    pub hook: Option<Hook>,
}

/// One way to have a signal.
#[derive(Clone, Copy, Debug)]
pub struct Rung {
    /// The programs, such as one at a function's entry and one at its return: all of them, or the
    /// rung is not taken.
    pub probes: &'static [Probe],
    /// Fields of [`Layout`](memtrace_ebpf::layout::Layout) without which they would read garbage.
    pub needs: &'static [&'static str],
}

impl Rung {
    /// Whether any of its programs is a kprobe.
    pub fn is_kprobe(&self) -> bool {
        self.probes.iter().any(|probe| probe.attach.is_kprobe())
    }
}

impl std::fmt::Display for Rung {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, probe) in self.probes.iter().enumerate() {
            let separator = if index == 0 { "" } else { " + " };
            write!(f, "{separator}{}", probe.attach)?;
        }
        Ok(())
    }
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

/// Names of the signals that tell of OOM kills, and of who waited for memory before.
pub const OOM_SIGNALS: &[&str] = &[
    oom::VICTIM,
    oom::KILL,
    oom::CANDIDATES,
    oom::REAPER,
    reclaim::MEMCG,
    reclaim::DIRECT,
];

/// Those of them that an explanation has no use for: it tells that a process was killed, not why that
/// one. Their programs are among the largest.
pub const OOM_REPORT_SIGNALS: &[&str] = &[oom::KILL, oom::CANDIDATES, oom::REAPER];

/// Name of the signal that is the iterator over all processes.
pub const TASK_SCAN: &str = "task scan";

/// All signals, in the order in which `doctor` shows them.
pub fn signals() -> impl Iterator<Item = &'static Signal> {
    [
        lru::SIGNALS,
        workingset::SIGNALS,
        filemap::SIGNALS,
        reclaim::SIGNALS,
        shrink::SIGNALS,
        oom::SIGNALS,
        tasks::SIGNALS,
        exact::SIGNALS,
    ]
    .into_iter()
    .flatten()
}

const fn probe(attach: AttachPoint, program: &'static str, hook: Hook) -> Probe {
    Probe {
        attach,
        program,
        hook: Some(hook),
    }
}

/// [`FOLIO`] and one field more.
const fn folio_and(field: &'static str) -> [&'static str; FOLIO.len() + 1] {
    let mut all = [field; FOLIO.len() + 1];
    let mut index = 0;
    while index < FOLIO.len() {
        all[index] = FOLIO[index];
        index += 1;
    }
    all
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
