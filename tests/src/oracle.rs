//! Which pages of a file are on the active list, asked of the kernel page by page through
//! `/proc/self/pagemap` and `/proc/kpageflags`: no tracing, so an independent witness. Classic LRU
//! only.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::Path,
    ptr::{self, NonNull},
};

use anyhow::{Context as _, ensure};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

/// Bits of `/proc/kpageflags` (include/uapi/linux/kernel-page-flags.h).
const ACTIVE: u64 = 1 << 6;
const COMPOUND_HEAD: u64 = 1 << 15;
const COMPOUND_TAIL: u64 = 1 << 16;
/// Bits of `/proc/PID/pagemap` (fs/proc/task_mmu.c).
const PRESENT: u64 = 1 << 63;
/// A page that was touched may be unmapped again at once, to be migrated.
const TRIES: u32 = 10;
const FRAME: u64 = (1 << 55) - 1;

/// The pages of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilePages {
    /// Pages.
    pub pages: u64,
    /// Those on the active list.
    pub active: u64,
    /// Folios of more than one page.
    pub large_folios: u64,
}

/// Looks at every page of a file that is wholly in the page cache. It is not disturbed by that:
/// the mapping is sequential, else unmapping would mark the pages accessed, and each page is
/// touched by a plain read, since populating marks large folios accessed.
pub fn file_pages(path: &Path, page_bytes: u64) -> anyhow::Result<FilePages> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let bytes = file.metadata()?.len();
    let mapping = Mapping::new(&file, bytes as usize)?;
    let pagemap = File::open("/proc/self/pagemap").context("opening /proc/self/pagemap")?;
    let kpageflags = File::open("/proc/kpageflags").context("opening /proc/kpageflags")?;
    let mut flags = Vec::new();
    for page in 0..bytes.div_ceil(page_bytes) {
        let mut entry = 0;
        for _ in 0..TRIES {
            let address = mapping.touch((page * page_bytes) as usize);
            entry = word(&pagemap, address as u64 / page_bytes).context("reading pagemap")?;
            if entry & PRESENT != 0 {
                break;
            }
        }
        ensure!(
            entry & PRESENT != 0,
            "page {page} of {} is not mapped",
            path.display()
        );
        flags.push(word(&kpageflags, entry & FRAME).context("reading kpageflags")?);
    }
    Ok(count(&flags))
}

/// Counts the pages of a file, in the order of the file. Flags of a tail page are those of its
/// head, which older kernels do not copy.
fn count(flags: &[u64]) -> FilePages {
    let mut counted = FilePages::default();
    let mut head = 0;
    for &own in flags {
        if own & COMPOUND_TAIL == 0 {
            head = own;
        }
        counted.pages += 1;
        counted.active += u64::from(head & ACTIVE != 0);
        counted.large_folios += u64::from(own & COMPOUND_HEAD != 0);
    }
    counted
}

fn word(file: &File, index: u64) -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, index * 8)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// A shared, sequential mapping of a file.
struct Mapping {
    start: NonNull<std::ffi::c_void>,
    bytes: usize,
}

impl Mapping {
    fn new(file: &File, bytes: usize) -> anyhow::Result<Self> {
        // SAFETY: the kernel chooses an address of its own, so no other memory is replaced.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                bytes,
                ProtFlags::READ,
                MapFlags::SHARED,
                file,
                0,
            )
        }
        .context("mapping the file")?;
        let start = NonNull::new(start).context("mapped at address 0")?;
        let mapping = Self { start, bytes };
        // SAFETY: the range is this mapping's, and MADV_SEQUENTIAL changes no contents.
        unsafe { madvise(start.as_ptr(), bytes, Advice::Sequential) }.context("MADV_SEQUENTIAL")?;
        Ok(mapping)
    }

    /// Reads a byte of the mapping, and returns its address.
    fn touch(&self, offset: usize) -> usize {
        assert!(offset < self.bytes, "inside the mapping");
        let address = self.start.as_ptr().cast::<u8>().wrapping_add(offset);
        // SAFETY: inside the mapping (asserted), which lives as long as `self` and is readable; no
        // case truncates a file that is mapped.
        unsafe { ptr::read_volatile(address) };
        address as usize
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from the mapping; addresses that were given out are numbers.
        let _ = unsafe { munmap(self.start.as_ptr(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_as_active_as_their_head() {
        let flags = [
            ACTIVE,
            0,
            COMPOUND_HEAD | ACTIVE,
            COMPOUND_TAIL,
            COMPOUND_TAIL,
            COMPOUND_HEAD,
            COMPOUND_TAIL | ACTIVE,
        ];
        assert_eq!(
            count(&flags),
            FilePages {
                pages: 7,
                active: 4,
                large_folios: 2
            }
        );
    }
}
