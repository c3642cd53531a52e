//! Page-cache work.

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
    ptr,
};

use anyhow::Context as _;
use rustix::{
    fs::Advice,
    mm::{MapFlags, ProtFlags, mmap, munmap},
    param::page_size,
};
use serde_json::json;

use crate::processes::hold;

/// Writes `bytes` zeros in writes of `chunk` bytes, and syncs, so that no page stays dirty, unless
/// they are to.
pub(crate) fn write(path: &Path, bytes: u64, chunk: usize, dirty: bool) -> anyhow::Result<()> {
    let mut file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    let zeros = vec![0; chunk];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(chunk as u64) as usize;
        file.write_all(&zeros[..now])
            .with_context(|| format!("writing {}", path.display()))?;
        left -= now as u64;
    }
    if dirty {
        return Ok(());
    }
    file.sync_all()
        .with_context(|| format!("syncing {}", path.display()))
}

/// Reads a file through a mapping, `times` over. Each time the mapping goes, the kernel marks the pages
/// that were touched as accessed (mm/memory.c, `zap_present_folio_ptes`).
pub(crate) fn map(path: &Path, times: u32, hold_s: f64) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let bytes = file.metadata()?.len() as usize;
    for _ in 0..times {
        // SAFETY: the kernel chooses an address of its own, so no other memory is replaced.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                bytes,
                ProtFlags::READ,
                MapFlags::SHARED,
                &file,
                0,
            )
        }
        .with_context(|| format!("mapping {}", path.display()))?;
        for offset in (0..bytes).step_by(page_size()) {
            // SAFETY: inside the mapping, which is readable; nobody truncates the file.
            unsafe { start.cast::<u8>().add(offset).read_volatile() };
        }
        // SAFETY: nothing borrows from the mapping.
        unsafe { munmap(start, bytes) }.context("munmap")?;
    }
    println!(
        "{}",
        json!({"event": "holding", "pid": std::process::id(), "bytes": bytes})
    );
    hold(hold_s)
}

/// Reads all pages, one `pread` each, `times` over.
pub(crate) fn reread(path: &Path, times: u32) -> anyhow::Result<()> {
    let pages = Pages::open(path)?;
    for _ in 0..times {
        for page in 0..pages.count {
            pages.read(page)?;
        }
    }
    println!(
        "{}",
        json!({"pid": std::process::id(), "inode": pages.inode, "pages": pages.count})
    );
    Ok(())
}

/// Asks the kernel to drop the clean pages of a file. They need not be dirty: [`write()`] syncs.
pub(crate) fn fadvise(path: &Path) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)
        .with_context(|| format!("POSIX_FADV_DONTNEED on {}", path.display()))
}

/// Reads page 0 of the first file, page 0 of the second, page 1 of the first, ...
pub(crate) fn alternate(first: &Path, second: &Path) -> anyhow::Result<()> {
    let (first, second) = (Pages::open(first)?, Pages::open(second)?);
    for page in 0..first.count.max(second.count) {
        for file in [&first, &second] {
            if page < file.count {
                file.read(page)?;
            }
        }
    }
    println!(
        "{}",
        json!({"pid": std::process::id(), "files": [
            {"inode": first.inode, "pages": first.count},
            {"inode": second.inode, "pages": second.count},
        ]})
    );
    Ok(())
}

/// Files of [`litter`] that live side by side: one that is removed leaves its inode to the next, which
/// a tracer could not tell from it.
const LITTER: u32 = 256;

/// Many files that live for a moment: every one is a new name and new runs for a tracer.
pub(crate) fn litter(folder: &Path, files: u32) -> anyhow::Result<()> {
    let page = vec![0; page_size()];
    let path = |number| folder.join(format!("litter-{number}"));
    for first in (0..files).step_by(LITTER as usize) {
        let batch = first..files.min(first + LITTER);
        for path in batch.clone().map(path) {
            std::fs::write(&path, &page).with_context(|| format!("writing {}", path.display()))?;
        }
        for path in batch.map(path) {
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// A file, read by pages.
pub(crate) struct Pages {
    file: File,
    pub(crate) inode: u64,
    pub(crate) count: u64,
}

impl Pages {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let metadata = file.metadata()?;
        Ok(Self {
            file,
            inode: metadata.ino(),
            count: metadata.len() / page_size() as u64,
        })
    }

    pub(crate) fn read(&self, page: u64) -> anyhow::Result<()> {
        let mut buffer = [0; 65536];
        let size = page_size().min(buffer.len());
        self.file
            .read_exact_at(&mut buffer[..size], page * page_size() as u64)
            .with_context(|| format!("reading page {page} of inode {}", self.inode))
    }
}
