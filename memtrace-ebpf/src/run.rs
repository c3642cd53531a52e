//! The run table: where pages of one (memcg, file, task, kind) are merged before they are sent.

use crate::{
    record::{Header, RunRecord},
    shared,
};

/// Hooks with a run table: the first so many of [`Hook`](crate::hook::Hook), by their numbers.
pub const RUN_TABLES: u32 = 6;

/// Slots of one hook's table on one CPU. One slot would not merge when a task alternates between
/// two files; 64 did in every case tried.
pub const RUN_SLOTS: usize = 64;

/// A run that is still growing. The first six fields are its key.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Address of the `address_space`: identity only, never sent.
    pub mapping: u64,
    /// The folio's `memcg_data`: identity only, never sent.
    pub memcg_data: u64,
    /// Address of the `mem_cgroup` on whose behalf the pages were reclaimed; 0 for none. Identity
    /// only, never sent.
    pub target: u64,
    /// `inode.i_ino`: with the mapping's address, which the kernel may reuse, it names the file.
    pub inode: u64,
    /// The process credited.
    pub tgid: u32,
    /// [`RunKind`](crate::record::RunKind) in the low 16 bits, [`run_flags`](crate::record::run_flags) above.
    pub kind_flags: u32,
    /// Pages so far; 0 means that the slot is free.
    pub pages: u64,
    /// Folios so far.
    pub folios: u64,
    /// When it began, `CLOCK_MONOTONIC`.
    pub first_ns: u64,
    /// Cgroup id of the charged memcg, resolved once when the run began.
    pub memcg_id: u64,
    /// Cgroup id of `target`.
    pub target_memcg_id: u64,
    /// `super_block.s_dev`.
    pub device: u32,
    /// `inode.i_generation`.
    pub generation: u32,
}
shared!(Run, 88);

impl Run {
    /// The run as it is sent: without the addresses. `hook` is the table it was in.
    #[inline(always)]
    pub const fn record(&self, header: Header, hook: u32) -> RunRecord {
        RunRecord {
            header,
            kind: self.kind_flags & 0xffff,
            flags: self.kind_flags >> 16,
            tgid: self.tgid,
            hook,
            memcg_id: self.memcg_id,
            target_memcg_id: self.target_memcg_id,
            inode: self.inode,
            device: self.device,
            generation: self.generation,
            pages: self.pages,
            folios: self.folios,
            first_ns: self.first_ns,
        }
    }
}

/// One hook's runs on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RunTable {
    /// Not 0 while the hook is at work. From 7.2 on it can be preempted there, and the flush
    /// program, run on the same CPU, must then leave the table alone until next time.
    pub busy: u64,
    /// Turns a pointer into a scalar: the verifier refuses arithmetic on typed pointers, and LLVM
    /// undoes a plain cast.
    pub scratch: u64,
    /// The slot that grew last: what goes on finds it without a search.
    pub last: u64,
    /// The slots, found by a hash of the key.
    pub runs: [Run; RUN_SLOTS],
}
shared!(RunTable, 24 + 88 * RUN_SLOTS);
