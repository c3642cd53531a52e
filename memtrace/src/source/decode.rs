//! From the bytes of the ring buffer to what the model consumes.
//!
//! A record is copied out only after its length was checked, so bytes of any origin are safe to
//! decode: what cannot be a record is a [`DecodeError`], for the caller to count as a loss.

pub mod oom;

use aya::Pod;
use memtrace_ebpf::record::{
    FileRecord, Header, ReclaimRecord, RunKind, RunRecord, ShrinkCounts, ShrinkKey, Tag,
    TaskRecord, file_flags, reclaim_flags, reclaim_kind, run_flags, shrink_kind,
};

use crate::{
    input::{
        FileEvent, FileId, Input, ReclaimCause, ReclaimEvent, ReclaimKind, RunEvent, ShrinkKind,
        ShrinkSum, TaskEvent,
    },
    kernel::callers::Callers,
};

/// Why bytes are not a record. Either the BPF object is not the one this program was built with,
/// or memtrace has a bug: the caller counts it and the answer says that events were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the record does.
    #[error("a {what} of {needed_bytes} bytes was announced, {got_bytes} came")]
    TooShort {
        /// The part that is missing bytes.
        what: &'static str,
        /// Its length.
        needed_bytes: usize,
        /// What was there.
        got_bytes: usize,
    },
    /// The header's tag is no [`Tag`].
    #[error("unknown tag {0}")]
    UnknownTag(u32),
    /// A run's kind is no [`RunKind`].
    #[error("unknown kind of run {0}")]
    UnknownRunKind(u32),
    /// A reclaim pass's kind is none of [`reclaim_kind`].
    #[error("unknown kind of reclaim {0}")]
    UnknownReclaimKind(u32),
    /// A reaping's phase is none of [`oom_reap_phase`](memtrace_ebpf::record::oom_reap_phase).
    #[error("unknown phase of reaping {0}")]
    UnknownReapPhase(u32),
}

/// Copies a `T` from the start of `bytes`, at any alignment; `None` if they are too few.
///
/// Streams without headers, such as the task iterator's `TaskSample`s, are read with this, one
/// `size_of::<T>()` after the other.
pub fn read_record<T: Pod>(bytes: &[u8]) -> Option<T> {
    let bytes = bytes.get(..size_of::<T>())?;
    // SAFETY: the slice is exactly as long as a `T`, `read_unaligned` asks for no alignment, and
    // every bit pattern of a `Pod` type is a value.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Decodes one record of the ring buffer that userspace read at `received_ns`
/// (`CLOCK_MONOTONIC`). Bytes beyond the record are ignored. `callers` names the functions that a
/// reclaim pass came from.
///
/// # Errors
/// If the bytes are no whole record of a known kind.
pub fn decode(bytes: &[u8], received_ns: u64, callers: &Callers) -> Result<Input, DecodeError> {
    let header: Header = fixed(bytes, "header")?;
    let tag = Tag::ALL
        .get(header.tag as usize)
        .ok_or(DecodeError::UnknownTag(header.tag))?;
    match tag {
        Tag::Run => run(&fixed(bytes, "run")?, received_ns).map(Input::Run),
        Tag::File => file(bytes).map(Input::File),
        Tag::Task => Ok(Input::Task(task(&fixed(bytes, "task")?))),
        Tag::Reclaim => reclaim(&fixed(bytes, "reclaim pass")?, callers).map(Input::Reclaim),
        Tag::Victim => {
            let record = fixed(bytes, "victim")?;
            Ok(Input::Victim(oom::victim(&record, received_ns)))
        }
        Tag::OomKill => Ok(Input::OomKill(oom::kill(&fixed(bytes, "OOM kill")?))),
        Tag::OomCandidate => {
            let candidate = oom::candidate(&fixed(bytes, "OOM candidate")?);
            Ok(Input::OomCandidate(Box::new(candidate)))
        }
        Tag::OomReap => oom::reap(&fixed(bytes, "reaping")?).map(Input::OomReap),
    }
}

fn fixed<T: Pod>(bytes: &[u8], what: &'static str) -> Result<T, DecodeError> {
    read_record(bytes).ok_or(DecodeError::TooShort {
        what,
        needed_bytes: size_of::<T>(),
        got_bytes: bytes.len(),
    })
}

/// Decodes a run that is at hand as a record already.
///
/// # Errors
/// If its kind is unknown.
pub fn run(record: &RunRecord, received_ns: u64) -> Result<RunEvent, DecodeError> {
    let kind = *RunKind::ALL
        .get(record.kind as usize)
        .ok_or(DecodeError::UnknownRunKind(record.kind))?;
    let id = FileId {
        device: record.device,
        inode: record.inode,
        generation: record.generation,
    };
    Ok(RunEvent {
        kind,
        first_ns: record.first_ns,
        sent_ns: record.header.sent_ns,
        received_ns,
        charged_cgroup_id: known(record.memcg_id),
        target_cgroup_id: known(record.target_memcg_id),
        // A System V segment may be inode 0 of its file system: its number is its id.
        file: (record.inode != 0 || record.device != 0).then_some(id),
        pid: (record.tgid != 0).then_some(record.tgid),
        task_certain: record.flags & run_flags::TASK_UNCERTAIN == 0,
        in_reclaim: record.flags & run_flags::IN_RECLAIM != 0,
        pages: record.pages,
        folios: record.folios,
    })
}

fn file(bytes: &[u8]) -> Result<FileEvent, DecodeError> {
    let record: FileRecord = fixed(bytes, "file")?;
    let after = &bytes[size_of::<FileRecord>()..];
    let names = after
        .get(..record.path_bytes as usize)
        .ok_or(DecodeError::TooShort {
            what: "path",
            needed_bytes: record.path_bytes as usize,
            got_bytes: after.len(),
        })?;
    let truncated = record.flags & file_flags::TRUNCATED != 0;
    Ok(FileEvent {
        id: FileId {
            device: record.device,
            inode: record.inode,
            generation: record.generation,
        },
        fs_path: join(names, truncated),
        fstype: text(&record.fstype),
        truncated,
        deleted: record.flags & file_flags::DELETED != 0,
    })
}

/// Joins dentry names, which come leaf first and NUL-ended, to a path.
///
/// The path is absolute if its root came along (`/`), or if it has parents and none is missing.
/// A name that is its own root (`memfd:x`, `SYSV00000000`, and `dev/zero`, which has a slash of
/// its own) stays as it is. No name at all, as block devices have none, gives an empty string.
fn join(names: &[u8], truncated: bool) -> String {
    let names = names.strip_suffix(b"\0").unwrap_or(names);
    if names.is_empty() {
        return String::new();
    }
    let mut names: Vec<_> = names.split(|&byte| byte == 0).collect();
    let rooted = names.pop_if(|name| *name == b"/").is_some();
    let absolute = rooted || (names.len() > 1 && !truncated);
    names.reverse();
    let path = names.join(&b'/');
    let path = String::from_utf8_lossy(&path);
    if absolute {
        format!("/{path}")
    } else {
        path.into_owned()
    }
}

fn task(record: &TaskRecord) -> TaskEvent {
    TaskEvent {
        pid: record.tgid,
        comm: text(&record.comm),
        cgroup_id: known(record.memcg_id),
        start_boottime_ns: record.start_boottime_ns,
        renamed: record.renamed != 0,
    }
}

fn reclaim(record: &ReclaimRecord, callers: &Callers) -> Result<ReclaimEvent, DecodeError> {
    let kind = match record.kind {
        reclaim_kind::DIRECT => ReclaimKind::Direct,
        reclaim_kind::MEMCG => ReclaimKind::Memcg,
        unknown => return Err(DecodeError::UnknownReclaimKind(unknown)),
    };
    let has = |flag| record.flags & flag != 0;
    let count = (record.caller_count as usize).min(record.callers.len());
    let cause = match kind {
        ReclaimKind::Direct => None,
        ReclaimKind::Memcg if has(reclaim_flags::PROACTIVE) => Some(ReclaimCause::Proactive),
        ReclaimKind::Memcg => callers.cause(&record.callers[..count]),
    };
    Ok(ReclaimEvent {
        kind,
        ended_ns: record.header.sent_ns,
        duration_ns: record.duration_ns,
        pid: record.tgid,
        tid: record.pid,
        order: record.order,
        task_cgroup_id: known(record.task_memcg_id),
        target_cgroup_id: known(record.target_memcg_id),
        reclaimed_pages: record.reclaimed_pages,
        cause,
        may_swap: has(reclaim_flags::OPTIONS_KNOWN).then_some(has(reclaim_flags::MAY_SWAP)),
    })
}

/// One entry of the map of shrunk lists, its CPUs summed.
///
/// # Errors
/// If its kind is unknown.
pub fn shrink(key: &ShrinkKey, counts: &[ShrinkCounts]) -> Result<ShrinkSum, DecodeError> {
    let sum = |of: fn(&ShrinkCounts) -> u64| counts.iter().map(of).sum();
    Ok(ShrinkSum {
        victim_cgroup_id: known(key.victim_memcg_id),
        target_cgroup_id: known(key.target_memcg_id),
        kind: match key.kind {
            shrink_kind::KSWAPD => ShrinkKind::Kswapd,
            shrink_kind::DIRECT => ShrinkKind::Direct,
            shrink_kind::MEMCG => ShrinkKind::Memcg,
            shrink_kind::PROACTIVE => ShrinkKind::Proactive,
            unknown => return Err(DecodeError::UnknownReclaimKind(unknown)),
        },
        calls: sum(|counts| counts.calls),
        scanned_pages: sum(|counts| counts.scanned_pages),
        reclaimed_pages: sum(|counts| counts.reclaimed_pages),
        duration_ns: sum(|counts| counts.duration_ns),
    })
}

/// The BPF side has no `Option`: it sends 0 for a cgroup it could not tell.
fn known(number: u64) -> Option<u64> {
    (number != 0).then_some(number)
}

/// A NUL-padded name. The kernel lets a name hold any byte, so what is not UTF-8 is replaced.
fn text(padded: &[u8]) -> String {
    let end = padded.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&padded[..end.unwrap_or(padded.len())]).into_owned()
}

#[cfg(test)]
mod tests;
