//! Work that a tracer slows, timed by itself: what `cargo xtask bench cost` compares.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::{
    mm::{MapFlags, ProtFlags, mmap_anonymous, munmap},
    param::page_size,
    process::{Pid, Signal, WaitOptions, kill_process, waitpid},
    thread::{CpuSet, sched_setaffinity},
};
use serde_json::json;

/// Bytes of a read or write: the smallest page, and so the smallest folio.
const PAGE_BYTES: usize = 4096;
/// What each turn of [`faults`] maps.
const MAPPED_BYTES: usize = 4 << 20;

/// What the same work took each time.
struct Passes {
    count: u64,
    total: Duration,
    /// Interrupts, other processes and other machines can only add to it.
    fastest: Duration,
}

impl Passes {
    /// Times `work` again and again for `seconds`, or once.
    fn of<E>(seconds: f64, mut work: impl FnMut() -> Result<Duration, E>) -> Result<Self, E> {
        let start = Instant::now();
        let mut passes = Self {
            count: 0,
            total: Duration::ZERO,
            fastest: Duration::MAX,
        };
        while passes.count == 0 || start.elapsed().as_secs_f64() < seconds {
            let took = work()?;
            passes.count += 1;
            passes.total += took;
            passes.fastest = passes.fastest.min(took);
        }
        Ok(passes)
    }

    /// Tells them, each of `pages` if they are counted in pages.
    fn tell(&self, pages: u64) {
        println!(
            "{}",
            json!({
                "passes": self.count,
                "pages": pages * self.count,
                "seconds": self.total.as_secs_f64(),
                "pages_a_pass": pages,
                "fastest_seconds": self.fastest.as_secs_f64(),
            })
        );
    }
}

/// Writes a new file of `mib` by pages, reads it twice, and times the second pass, which activates
/// every page; again and again for `seconds`, or once.
pub(crate) fn second_read(
    path: &Path,
    mib: usize,
    cpu: Option<usize>,
    seconds: f64,
) -> anyhow::Result<()> {
    if let Some(cpu) = cpu {
        let mut one = CpuSet::new();
        one.set(cpu);
        sched_setaffinity(None, &one).with_context(|| format!("pinning to CPU {cpu}"))?;
    }
    let passes = Passes::of(seconds, || {
        // Pages of an old file are active already.
        let _ = fs::remove_file(path);
        second_pass_of(path, mib)
    })
    .with_context(|| format!("working on {}", path.display()))?;
    let _ = fs::remove_file(path);
    passes.tell((mib << 20) as u64 / PAGE_BYTES as u64);
    Ok(())
}

fn second_pass_of(path: &Path, mib: usize) -> std::io::Result<Duration> {
    let mut page = [0x6d; PAGE_BYTES];
    let mut file = File::create_new(path)?;
    for _ in 0..(mib << 20) / PAGE_BYTES {
        file.write_all(&page)?;
    }
    let mut file = File::open(path)?;
    while file.read(&mut page)? != 0 {}
    file.rewind()?;
    let start = Instant::now();
    while file.read(&mut page)? != 0 {}
    Ok(start.elapsed())
}

/// `turns` times: starts a program, waits for its end, touches every page of a new mapping; all of it
/// again and again for `seconds`, or once.
pub(crate) fn faults(turns: u32, seconds: f64) -> anyhow::Result<()> {
    let passes = Passes::of(seconds, || {
        let start = Instant::now();
        for _ in 0..turns {
            fault()?;
        }
        anyhow::Ok(start.elapsed())
    })?;
    passes.tell(0);
    Ok(())
}

fn fault() -> anyhow::Result<()> {
    let status = Command::new("/bin/true")
        .status()
        .context("starting /bin/true")?;
    ensure!(status.success(), "/bin/true: {status}");
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a mapping of its own at an address the kernel chooses; nothing else refers to it.
    let mapped = unsafe {
        mmap_anonymous(
            std::ptr::null_mut(),
            MAPPED_BYTES,
            access,
            MapFlags::PRIVATE,
        )
    }
    .context("mmap")?;
    for offset in (0..MAPPED_BYTES).step_by(page_size()) {
        // SAFETY: inside the mapping, which is writable.
        unsafe { mapped.cast::<u8>().add(offset).write_volatile(1) };
    }
    // SAFETY: nothing borrows from the mapping.
    unsafe { munmap(mapped, MAPPED_BYTES) }.context("munmap")
}

/// Reads a file that is all hole, again and again for `seconds`, or once: pages come and go, and no disk
/// is waited for.
pub(crate) fn holes(path: &Path, mib: u64, seconds: f64) -> anyhow::Result<()> {
    let make = || -> std::io::Result<()> {
        let _ = fs::remove_file(path);
        File::create_new(path)?.set_len(mib << 20)
    };
    make().with_context(|| format!("making {}", path.display()))?;
    let passes = Passes::of(seconds, || {
        let mut page = [0; PAGE_BYTES];
        let mut file = File::open(path)?;
        let start = Instant::now();
        while file.read(&mut page)? != 0 {}
        std::io::Result::Ok(start.elapsed())
    })
    .with_context(|| format!("reading {}", path.display()))?;
    let _ = fs::remove_file(path);
    passes.tell((mib << 20) / PAGE_BYTES as u64);
    Ok(())
}

/// Makes `cgroups` cgroups with a limit below `parent`, and `tasks` processes that do nothing in them
/// by turns; until end-of-file on standard input.
pub(crate) fn crowd(
    parent: &Path,
    cgroups: usize,
    tasks: usize,
    limit: &str,
) -> anyhow::Result<()> {
    let folders: Vec<PathBuf> = (0..cgroups)
        .map(|number| parent.join(format!("crowd-{number}")))
        .collect();
    let mut children = Vec::new();
    let made = make_crowd(&folders, tasks, limit, &mut children);
    if made.is_ok() {
        println!(
            "{}",
            json!({"event": "holding", "cgroups": cgroups, "tasks": tasks})
        );
        let mut rest = Vec::new();
        std::io::stdin().read_to_end(&mut rest).context("waiting")?;
    }
    for child in &children {
        kill_process(*child, Signal::KILL).context("ending a process of the crowd")?;
    }
    for child in &children {
        waitpid(Some(*child), WaitOptions::empty()).context("waiting for a process")?;
    }
    for folder in folders.iter().filter(|folder| folder.exists()) {
        fs::remove_dir(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    made
}

fn make_crowd(
    folders: &[PathBuf],
    tasks: usize,
    limit: &str,
    children: &mut Vec<Pid>,
) -> anyhow::Result<()> {
    for folder in folders {
        fs::create_dir(folder).with_context(|| format!("making cgroup {}", folder.display()))?;
        let file = folder.join(limit);
        fs::write(&file, "1073741824").with_context(|| format!("writing {}", file.display()))?;
    }
    for task in 0..tasks {
        // SAFETY: this process has one thread, so that the child may do whatever it could.
        match unsafe { libc::fork() } {
            0 => {
                // The folder may be told apart by its number alone; a child that cannot join stays.
                if let Some(folder) = folders.get(task % folders.len().max(1)) {
                    let _ = fs::write(folder.join("cgroup.procs"), "0");
                }
                loop {
                    // SAFETY: waits for a signal, and touches no memory.
                    unsafe { libc::pause() };
                }
            }
            child => children.push(Pid::from_raw(child).filter(|_| child > 0).context("fork")?),
        }
    }
    Ok(())
}
