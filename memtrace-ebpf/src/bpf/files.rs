//! Files: identity by plain loads, and the name from the dentry, once per file.

use aya_ebpf::{
    helpers::generated::{bpf_probe_read_kernel_str, bpf_ringbuf_output},
    macros::map,
    maps::{LruHashMap, PerCpuArray},
};
use memtrace_ebpf::{
    hook::{HOOKS, Hook, HookStats},
    record::{FileRecord, PATH_BYTES, PATH_NAME_BYTES, Tag, file_flags},
};

use crate::{
    events::{EVENTS, header},
    layout::{enabled, layout, present, probe_at},
    memory::Memory,
};

/// Dentries walked towards the root before a path counts as truncated.
const PATH_DEPTH: u32 = 40;

/// What the kernel tells files apart by.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FileKey {
    /// `inode.i_ino`
    pub inode: u64,
    /// `super_block.s_dev`
    pub device: u32,
    /// `inode.i_generation`
    pub generation: u32,
}

/// Files whose name was sent. 16,384 files of 24 bytes; a file that falls out is named again.
/// Written by every hook that starts runs, through map helpers, which are safe against each other.
#[map]
static FILES: LruHashMap<FileKey, u64> = LruHashMap::with_max_entries(16_384, 0);

/// Room to build a record: the fixed part and the names, with one longest name to spare.
#[repr(C)]
struct NameScratch {
    record: FileRecord,
    names: [u8; PATH_BYTES + PATH_NAME_BYTES],
}

/// One scratch a hook and CPU: programs of different hooks may interleave.
#[map]
static NAMES: PerCpuArray<NameScratch> = PerCpuArray::with_max_entries(HOOKS as u32, 0);

impl FileKey {
    /// Reads device and generation of an inode whose number is known already; 0 of none.
    ///
    /// # Safety
    /// `host` must be an inode, as `M` wants its pointers.
    #[inline(always)]
    pub unsafe fn of<M: Memory>(host: *const u8, inode: u64) -> Self {
        if host.is_null() {
            return Self {
                inode,
                device: 0,
                generation: 0,
            };
        }
        // SAFETY: as the caller promises.
        unsafe {
            Self {
                inode,
                device: M::load(M::load_pointer(host, layout!(inode_sb)), layout!(sb_dev)),
                generation: M::load(host, layout!(inode_generation)),
            }
        }
    }
}

/// Sends the name of a file, unless it was sent before. `host` is the inode's address.
#[inline(always)]
pub fn name_once(key: &FileKey, host: u64, hook: Hook, stats: &mut HookStats) {
    if !enabled!(probe_read) || !present!(dentry_name) {
        return;
    }
    // SAFETY: the value is only tested for presence.
    if unsafe { FILES.get(key) }.is_some() {
        return;
    }
    let node: u64 = probe_at(host, layout!(inode_dentry));
    if node == 0 {
        // No dentry at the moment: try again with the next run of this file.
        return;
    }
    let Some(scratch) = NAMES.get_ptr_mut(hook as u32) else {
        return;
    };
    // SAFETY: per-CPU map memory; only this hook uses this slot.
    let scratch = unsafe { &mut *scratch };
    let sb: u64 = probe_at(host, layout!(inode_sb));
    let fstype: u64 = probe_at(sb, layout!(sb_type));
    let nlink: u32 = probe_at(host, layout!(inode_nlink));
    scratch.record = FileRecord {
        header: header(Tag::File),
        inode: key.inode,
        device: key.device,
        generation: key.generation,
        fstype: [0; 16],
        flags: if nlink == 0 { file_flags::DELETED } else { 0 },
        path_bytes: 0,
    };
    let name: u64 = probe_at(fstype, layout!(fstype_name));
    // SAFETY: the destination has the stated size; the helper checks the source.
    unsafe {
        bpf_probe_read_kernel_str(
            scratch.record.fstype.as_mut_ptr().cast(),
            16,
            name as *const _,
        );
    }
    walk(scratch, node.wrapping_sub(layout!(dentry_alias).value()));
    // path_bytes is at most PATH_BYTES + PATH_NAME_BYTES by the walk; the verifier wants to see it.
    let bytes = size_of::<FileRecord>() as u64
        + u64::from(scratch.record.path_bytes).min((PATH_BYTES + PATH_NAME_BYTES) as u64);
    // SAFETY: `bytes` is at most the size of the scratch, which is initialised map memory.
    let failed = unsafe {
        bpf_ringbuf_output(
            (&raw const EVENTS).cast_mut().cast(),
            (&raw mut *scratch).cast(),
            bytes,
            0,
        )
    };
    if failed == 0 {
        stats.sent[Tag::File as usize] += 1;
        let _ = FILES.insert(key, &header(Tag::File).sent_ns, 0);
    } else {
        stats.lost[Tag::File as usize] += 1;
    }
}

/// Copies the names from `dentry` up to the root of its file system.
#[inline(always)]
fn walk(scratch: &mut NameScratch, mut dentry: u64) {
    let mut used = 0u64;
    let mut depth = 0;
    while depth < PATH_DEPTH {
        if used >= PATH_BYTES as u64 {
            break;
        }
        let parent: u64 = probe_at(dentry, layout!(dentry_parent));
        let name: u64 = probe_at(dentry, layout!(dentry_name));
        // SAFETY: `used` is below PATH_BYTES and the array has PATH_NAME_BYTES to spare.
        let copied = unsafe {
            bpf_probe_read_kernel_str(
                scratch.names.as_mut_ptr().add(used as usize).cast(),
                PATH_NAME_BYTES as u32,
                name as *const _,
            )
        };
        if copied <= 0 {
            break;
        }
        used += copied as u64;
        if parent == dentry || parent == 0 {
            scratch.record.path_bytes = used as u32;
            return;
        }
        dentry = parent;
        depth += 1;
    }
    scratch.record.path_bytes = used as u32;
    scratch.record.flags |= file_flags::TRUNCATED;
}
