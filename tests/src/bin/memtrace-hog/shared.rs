//! Memory that is a file in the kernel's eyes and has no path.

use std::{fs::File, io::Write as _, ptr};

use anyhow::{Context as _, ensure};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    param::page_size,
};
use serde_json::json;

use crate::processes::hold;

/// Fills a memfd and keeps it open.
pub(crate) fn memfd(name: &str, bytes: u64, hold_s: f64) -> anyhow::Result<()> {
    let memory = memfd_create(name, MemfdFlags::CLOEXEC).context("memfd_create")?;
    let mut file = File::from(memory);
    let block = vec![1; 64 << 10];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(block.len() as u64) as usize;
        file.write_all(&block[..now]).context("writing the memfd")?;
        left -= now as u64;
    }
    println!(
        "{}",
        json!({"event": "holding", "pid": std::process::id(), "bytes": bytes})
    );
    hold(hold_s)
}

/// A System V segment that is removed when this is dropped.
struct Segment(i32);

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: IPC_RMID takes no buffer; the segment is this process's own.
        unsafe { libc::shmctl(self.0, libc::IPC_RMID, ptr::null_mut()) };
    }
}

/// Fills a System V segment and stays attached.
pub(crate) fn sysv(bytes: usize, hold_s: f64) -> anyhow::Result<()> {
    // SAFETY: a new segment; no memory of this process is touched.
    let id = unsafe { libc::shmget(libc::IPC_PRIVATE, bytes, libc::IPC_CREAT | 0o600) };
    ensure!(id >= 0, "shmget: {}", std::io::Error::last_os_error());
    let segment = Segment(id);
    // SAFETY: the kernel chooses an address of its own, so no other memory is replaced.
    let start = unsafe { libc::shmat(id, ptr::null(), 0) };
    ensure!(
        start as isize != -1,
        "shmat: {}",
        std::io::Error::last_os_error()
    );
    for offset in (0..bytes).step_by(page_size()) {
        // SAFETY: inside the segment, which is attached for writing until the process ends.
        unsafe { start.cast::<u8>().add(offset).write_volatile(1) };
    }
    println!(
        "{}",
        json!({"event": "holding", "pid": std::process::id(), "bytes": bytes, "id": id})
    );
    hold(hold_s)?;
    drop(segment);
    Ok(())
}
