//! The run table: where pages of one (memcg, file, task, kind) are merged before they are sent.

use crate::{
    hook::HookStats,
    readers::NewestRead,
    record::{Header, RunRecord, Tag},
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

/// A process and what it does, [`Run::tgid`] and [`Run::kind_flags`], as one word: compared at every page.
#[inline(always)]
pub const fn doing(tgid: u32, kind_flags: u32) -> u64 {
    tgid as u64 | (kind_flags as u64) << 32
}

impl Run {
    /// No run.
    pub const NONE: Self = Self {
        mapping: 0,
        memcg_data: 0,
        target: 0,
        inode: 0,
        tgid: 0,
        kind_flags: 0,
        pages: 0,
        folios: 0,
        first_ns: 0,
        memcg_id: 0,
        target_memcg_id: 0,
        device: 0,
        generation: 0,
    };

    /// Whether two runs are one: pages of the same cgroup, file, task and kind.
    #[inline(always)]
    pub const fn has_key_of(&self, other: &Self) -> bool {
        self.mapping == other.mapping
            && self.memcg_data == other.memcg_data
            && self.target == other.target
            && self.inode == other.inode
            && self.tgid == other.tgid
            && self.kind_flags == other.kind_flags
    }

    /// Who does what, in one word.
    #[inline(always)]
    pub const fn doing(&self) -> u64 {
        doing(self.tgid, self.kind_flags)
    }

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

/// One hook's runs on one CPU, found by a hash of the key.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RunTable {
    /// The slots.
    pub runs: [Run; RUN_SLOTS],
}
shared!(RunTable, 88 * RUN_SLOTS);

/// What a hook needs at every event, on one CPU: small, and apart from the table, so that the event
/// that goes on where the last one was finds all of it by one lookup and without a search.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HookState {
    /// What the hook did.
    pub stats: HookStats,
    /// Not 0 while the hook is at work. From 7.2 on it can be preempted there, and the flush
    /// program, run on the same CPU, must then leave its runs alone until next time.
    pub busy: u64,
    /// Turns a pointer into a scalar: the verifier refuses arithmetic on typed pointers, and LLVM
    /// undoes a plain cast.
    pub scratch: u64,
    /// Index in the file of the page after the one that came last.
    pub next_index: u64,
    /// The slot of `current`.
    pub slot: u64,
    /// The run that grew last. Its slot has all but the pages and folios since, which it gets when
    /// another run grows.
    pub current: Run,
    /// What the hook asks of the readers: written by theirs, see
    /// [`newest_with`](crate::readers::newest_with).
    pub newest_read: NewestRead,
}
shared!(HookState, 16 + 16 * Tag::COUNT + 32 + 88 + 56);

impl HookState {
    /// Gives the current run's slot what came since, and makes none the current one.
    #[inline(always)]
    pub const fn put_back(&mut self, table: &mut RunTable) {
        if self.current.pages != 0 {
            let slot = &mut table.runs[self.slot as usize % RUN_SLOTS];
            slot.pages = self.current.pages;
            slot.folios = self.current.folios;
            self.current.pages = 0;
        }
    }
}
