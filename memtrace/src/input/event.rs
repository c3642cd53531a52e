//! What the hooks reported, decoded.

use memtrace_ebpf::record::RunKind;
use serde::{Deserialize, Serialize};

/// A file, as the kernel tells files apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// `super_block.s_dev`, the kernel's `dev_t` (major << 20 | minor).
    pub device: u32,
    /// Inode number.
    pub inode: u64,
    /// Inode generation: tells a reused number from the file that had it before.
    pub generation: u32,
}

/// Pages of one (memcg, file, task, kind) on one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEvent {
    /// What happened to them.
    #[serde(with = "run_kind")]
    pub kind: RunKind,
    /// When the run began, `CLOCK_MONOTONIC`.
    pub first_ns: u64,
    /// When it was sent, `CLOCK_MONOTONIC`.
    pub sent_ns: u64,
    /// When userspace read it, `CLOCK_MONOTONIC`: with `sent_ns`, the delivery delay.
    pub received_ns: u64,
    /// Cgroup that owns (is charged for) the folios; `None` if uncharged or not readable.
    pub charged_cgroup_id: Option<u64>,
    /// Of an eviction: the cgroup that was short; `None` if the node was.
    #[serde(default)]
    pub target_cgroup_id: Option<u64>,
    /// The file; `None` if the folio had lost its mapping.
    pub file: Option<FileId>,
    /// The process that touched them; `None` if nobody is known.
    pub pid: Option<u32>,
    /// `false` if the process is a best guess.
    pub task_certain: bool,
    /// The task was reclaiming, so pages that left were evicted, not deleted.
    pub in_reclaim: bool,
    /// Base pages.
    pub pages: u64,
    /// Folios.
    pub folios: u64,
}

/// The name of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEvent {
    /// The file.
    pub id: FileId,
    /// Path from the root of its own file system (`/data/t.log`), or a bare name for files that
    /// were never in one (`memfd:cache`, `SYSV00000000`). Relative if `truncated`; empty if the
    /// kernel has no name for it (block devices) or would not tell.
    pub fs_path: String,
    /// File system type: `ext4`, `tmpfs`, ...
    pub fstype: String,
    /// The path lacks its first components.
    pub truncated: bool,
    /// No name in the file system any more.
    pub deleted: bool,
}

/// Where the target sees a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLocation {
    /// The file.
    pub id: FileId,
    /// Path in the target's mount namespace; `None` if it is mounted nowhere there.
    pub path: Option<String>,
    /// Path through an overlay mount of that namespace, when the overlay's upper or lower
    /// directory holds the file: in a container, whose root is an overlay, the path inside it.
    /// `path` is the same then, unless the layer itself is mounted there too.
    pub container_path: Option<String>,
    /// The path no longer leads to this file.
    pub deleted: bool,
}

/// The name of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEvent {
    /// Process id.
    pub pid: u32,
    /// Name of the thread group leader.
    pub comm: String,
    /// The process's own memory cgroup.
    pub cgroup_id: Option<u64>,
    /// When it started, ns since boot.
    pub start_boottime_ns: u64,
    /// It got this name just now: earlier names are out of date.
    pub renamed: bool,
}

/// Who asked for reclaim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReclaimKind {
    /// The node was short of memory.
    Direct,
    /// A cgroup was at its limit.
    Memcg,
}

/// Why a cgroup was reclaimed from: the function that called for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReclaimCause {
    /// A charge went over `memory.max` (v1: `memory.limit_in_bytes`).
    Max,
    /// Usage is over `memory.high`.
    High,
    /// Somebody wrote a lower limit.
    LimitWrite,
    /// Somebody asked for it: `memory.reclaim`, v1's `memory.force_empty`.
    Proactive,
}

/// A reclaim pass that a task waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReclaimEvent {
    /// Who asked.
    pub kind: ReclaimKind,
    /// When it ended, `CLOCK_MONOTONIC`.
    pub ended_ns: u64,
    /// How long the task waited.
    pub duration_ns: u64,
    /// The process that waited.
    pub pid: u32,
    /// The thread that waited.
    pub tid: u32,
    /// Allocation order that needed it.
    pub order: u32,
    /// The waiting task's memory cgroup.
    pub task_cgroup_id: Option<u64>,
    /// The cgroup reclaimed from; `None` where the kernel does not tell.
    pub target_cgroup_id: Option<u64>,
    /// Pages freed.
    pub reclaimed_pages: u64,
    /// Why; `None` for the node, and where the kernel's callers cannot be named.
    #[serde(default)]
    pub cause: Option<ReclaimCause>,
    /// It was allowed to swap; `None` where the kernel does not tell.
    #[serde(default)]
    pub may_swap: Option<bool>,
}

/// Who shrank a cgroup's lists, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ShrinkKind {
    /// The node's `kswapd`.
    Kswapd,
    /// A task, because the node was short.
    Direct,
    /// A task, because a cgroup was at a limit.
    Memcg,
    /// A task that wrote to `memory.reclaim`.
    Proactive,
}

/// A process and its cgroup, as an OOM record names them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedBy {
    /// Process id.
    pub pid: u32,
    /// Name; `None` if the hook gave a pid only.
    pub comm: Option<String>,
    /// Memory cgroup.
    pub cgroup_id: Option<u64>,
    /// When it started, `CLOCK_BOOTTIME`; `None` if the hook gave a pid only, and of triggers.
    #[serde(default)]
    pub start_boottime_ns: Option<u64>,
}

/// The OOM killer chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VictimEvent {
    /// When, `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// When userspace read it, `CLOCK_MONOTONIC`; `None` of old recordings.
    #[serde(default)]
    pub received_ns: Option<u64>,
    /// Who dies.
    pub victim: OwnedBy,
    /// Whose allocation ran out of memory.
    pub trigger: OwnedBy,
}

/// [`RunKind`] lives in the `no_std` crate, which knows no serde: its number is the format.
mod run_kind {
    use memtrace_ebpf::record::RunKind;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(kind: &RunKind, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(*kind as u32)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<RunKind, D::Error> {
        let number = u32::deserialize(from)?;
        RunKind::ALL
            .get(number as usize)
            .copied()
            .ok_or_else(|| D::Error::custom(format!("unknown kind of run: {number}")))
    }
}
