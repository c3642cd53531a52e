//! Memory that is not page cache of a disk file.

use std::{fs::File, hint::black_box, io::Write as _, path::Path};

use anyhow::Context as _;
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
