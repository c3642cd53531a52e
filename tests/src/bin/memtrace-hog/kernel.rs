//! Memory that the kernel takes for itself on a process's behalf.

use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    ptr,
    sync::{Arc, Barrier},
    thread,
};

use anyhow::Context as _;
use rustix::{
    mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous},
    param::page_size,
    pipe::{fcntl_setpipe_size, pipe},
};
use serde_json::json;

use crate::processes::hold;

/// Looks up names that do not exist: the kernel remembers each (a negative dentry).
pub(crate) fn dentries(folder: &Path, names: u64, hold_s: f64) -> anyhow::Result<()> {
    let found = (0..names)
        .filter(|name| folder.join(format!("no-such-file-{name}")).exists())
        .count();
    println!(
        "{}",
        json!({"event": "holding", "pid": std::process::id(), "names": names, "found": found})
    );
    hold(hold_s)
}

/// Pipes with nobody at their end, full.
pub(crate) fn pipes(count: usize, hold_s: f64) -> anyhow::Result<()> {
    const BYTES: usize = 1 << 20;
    let filling = [1; BYTES];
    let mut pipes = Vec::new();
    for number in 0..count {
        let failed = || format!("filling pipe {number}");
        let (reader, writer) = pipe().with_context(failed)?;
        fcntl_setpipe_size(&writer, BYTES).with_context(failed)?;
        let mut writer = File::from(writer);
        writer.write_all(&filling).with_context(failed)?;
        pipes.push((reader, writer));
    }
    println!(
        "{}",
        json!({"event": "holding", "pid": std::process::id(), "pipes": pipes.len()})
    );
    hold(hold_s)
}

/// Threads that do nothing.
pub(crate) fn threads(count: usize, hold_s: f64) -> anyhow::Result<()> {
    let there = Arc::new(Barrier::new(count + 1));
    let done = Arc::new(Barrier::new(count + 1));
    let mut started = Vec::new();
    for thread in 0..count {
        let (there, done) = (Arc::clone(&there), Arc::clone(&done));
        let handle = thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(move || {
                there.wait();
                done.wait();
            })
            .with_context(|| format!("starting thread {thread}"))?;
        started.push(handle);
    }
    there.wait();
    println!(
        "{}",
        json!({"event": "holding", "pid": std::process::id(), "threads": count + 1})
    );
    hold(hold_s)?;
    done.wait();
    for thread in started {
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("a thread panicked"))?;
    }
    Ok(())
}

/// Pairs of TCP sockets on the loopback; each pair's first end writes until nothing more fits, or up to
/// `most` bytes, and the other never reads.
pub(crate) fn sockets(pairs: usize, most: usize, hold_s: f64) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").context("listening on the loopback")?;
    let address = listener.local_addr().context("asking for the port")?;
    let block = vec![1; 16 << 10];
    let mut held = Vec::new();
    let mut queued = 0;
    for pair in 0..pairs {
        let mut sender =
            TcpStream::connect(address).with_context(|| format!("connecting pair {pair}"))?;
        let (receiver, _) = listener.accept().context("accepting")?;
        sender.set_nonblocking(true).context("O_NONBLOCK")?;
        let mut sent = 0;
        while sent < most {
            match sender.write(&block[..block.len().min(most - sent)]) {
                Ok(now) => sent += now,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("filling a socket"),
            }
        }
        queued += sent;
        held.push((sender, receiver));
    }
    println!(
        "{}",
        json!({
            "event": "holding", "pid": std::process::id(), "sockets": 2 * pairs, "queued": queued,
        })
    );
    hold(hold_s)
}

/// Reads one byte in each 2 MiB of a mapping, whose pages are all the one page of zeros: nothing is
/// allocated but page tables.
pub(crate) fn page_tables(tables: usize, hold_s: f64) -> anyhow::Result<()> {
    // What one last-level table maps.
    let reach = page_size() / 8 * page_size();
    let bytes = tables * reach;
    // SAFETY: the kernel chooses an address of its own, so no other memory is replaced.
    let start = unsafe {
        mmap_anonymous(
            ptr::null_mut(),
            bytes,
            ProtFlags::READ,
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        )
    }
    .context("mapping")?;
    // A huge page of zeros would need no table.
    // SAFETY: the range is this mapping's, and the advice changes no contents.
    unsafe { madvise(start, bytes, Advice::LinuxNoHugepage) }.context("MADV_NOHUGEPAGE")?;
    for table in 0..tables {
        // SAFETY: inside the mapping, which is readable and is never unmapped.
        unsafe { start.cast::<u8>().add(table * reach).read_volatile() };
    }
    println!(
        "{}",
        json!({"event": "holding", "pid": std::process::id(), "bytes": tables * page_size()})
    );
    hold(hold_s)
}
