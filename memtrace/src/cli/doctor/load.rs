//! Work for the hooks to be measured at: a thread that writes a file, reads it twice by pages, maps it
//! and removes it, again and again. The second read is the worst that the page cache does to a tracer:
//! every page of it is activated, and costs the reader little else.

use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::Context as _;

/// Length of the file.
pub(super) const FILE_BYTES: usize = 16 << 20;
/// Bytes of a read or write: the smallest page, and so the smallest folio.
const PAGE_BYTES: usize = 4096;

/// The thread.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Load {
    /// Begins, on a file in `folder`.
    pub(super) fn begin(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(format!("memtrace-doctor-{}", std::process::id()));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = move || {
            let file = Removed(path);
            while !stopped.load(Ordering::Relaxed) {
                round(&file.0)
                    .with_context(|| format!("doctor: working on {}", file.0.display()))?;
            }
            Ok(())
        };
        let thread = thread::Builder::new()
            .name("doctor-load".to_owned())
            .spawn(work)
            .context("doctor: starting a thread")?;
        Ok(Self { stop, thread })
    }

    /// Ends; the error is that of its work.
    pub(super) fn end(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(result) => result,
            Err(_) => Err(anyhow::anyhow!("doctor: the thread that worked panicked")),
        }
    }
}

/// A file that goes with this.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn round(path: &Path) -> std::io::Result<()> {
    // A new file each time: pages of an old one are active, and are not activated again.
    let _ = std::fs::remove_file(path);
    let mut file = File::create_new(path)?;
    let mut page = [0x6d; PAGE_BYTES];
    for _ in 0..FILE_BYTES / PAGE_BYTES {
        file.write_all(&page)?;
    }
    let mut file = File::open(path)?;
    for _ in 0..2 {
        file.rewind()?;
        while file.read(&mut page)? != 0 {}
    }
    Ok(())
}
