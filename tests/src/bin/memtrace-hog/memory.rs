//! Memory that is not page cache of a disk file.

use std::{fs::File, hint::black_box, io::Write as _, path::Path, ptr};

use anyhow::Context as _;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
use serde_json::json;

use crate::processes::{hold, sleep};

/// Allocates and writes to `bytes`, holds them, frees them, and lives on for `linger_s`.
pub(crate) fn anon(bytes: usize, hold_s: f64, linger_s: f64) -> anyhow::Result<()> {
    // A block this large comes from mmap and goes back by munmap, at once.
    let memory = black_box(vec![1_u8; bytes]);
    println!(
        "{}",
        json!({"event": "holding", "pid": std::process::id(), "bytes": memory.len()})
    );
    hold(hold_s)?;
    drop(memory);
    sleep(linger_s);
    Ok(())
}

/// Allocates and writes to `bytes`; at a line on standard input it reads each page again, and says so.
pub(crate) fn anon_again(bytes: usize) -> anyhow::Result<()> {
    let memory = black_box(vec![1_u8; bytes]);
    println!(
        "{}",
        json!({"event": "holding", "pid": std::process::id(), "bytes": memory.len()})
    );
    std::io::stdin()
        .read_line(&mut String::new())
        .context("waiting for the word to touch it again")?;
    let sum: u64 = memory
        .iter()
        .step_by(rustix::param::page_size())
        .map(|byte| u64::from(*byte))
        .sum();
    println!("{}", json!({"event": "touched", "pages": sum}));
    hold(0.0)?;
    drop(black_box(memory));
    Ok(())
}

/// A huge page of this machine and of arm64 with pages of 4 KiB.
const HUGE_BYTES: usize = 2 << 20;

/// Touches huge pages of `bytes` in all, and gives all of each back but its first page.
pub(crate) fn split_huge(bytes: usize, hold_s: f64) -> anyhow::Result<()> {
    // SAFETY: the kernel chooses an address of its own, so no other memory is replaced.
    let start = unsafe {
        mmap_anonymous(
            ptr::null_mut(),
            bytes + HUGE_BYTES,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )
    }
    .context("mapping")?;
    // SAFETY: the mapping has room for one more huge page than is used, so this is inside it.
    let start = unsafe { start.byte_add(start.align_offset(HUGE_BYTES)) };
    // SAFETY: the range is this mapping's, and the advice changes no contents.
    unsafe { madvise(start, bytes, Advice::LinuxHugepage) }.context("MADV_HUGEPAGE")?;
    let page = rustix::param::page_size();
    for offset in (0..bytes).step_by(page) {
        // SAFETY: inside the mapping, which is writable and which nothing borrows from.
        unsafe { start.cast::<u8>().add(offset).write_volatile(1) };
    }
    for offset in (0..bytes).step_by(HUGE_BYTES) {
        // SAFETY: inside the mapping; nobody reads what was written there.
        unsafe {
            let rest = start.byte_add(offset + page);
            madvise(rest, HUGE_BYTES - page, Advice::LinuxDontNeed)
        }
        .context("MADV_DONTNEED")?;
    }
    println!(
        "{}",
        json!({"event": "holding", "pid": std::process::id(), "bytes": bytes})
    );
    hold(hold_s)
}

/// Fills a file of a tmpfs and keeps it open.
pub(crate) fn shmem(path: &Path, bytes: u64, rate_kib: u64, hold_s: f64) -> anyhow::Result<()> {
    let mut file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    let block = vec![1; 64 << 10];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(block.len() as u64) as usize;
        file.write_all(&block[..now])
            .with_context(|| format!("writing {}", path.display()))?;
        left -= now as u64;
        if rate_kib > 0 {
            sleep(now as f64 / (rate_kib * 1024) as f64);
        }
    }
    println!(
        "{}",
        json!({"event": "holding", "pid": std::process::id(), "bytes": bytes})
    );
    hold(hold_s)
}
