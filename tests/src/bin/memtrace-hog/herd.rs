//! A random workload for the OOM killer, the same for the same seed: processes of random sizes,
//! threads and `oom_score_adj` in nested cgroups.

use std::{
    fs,
    hint::black_box,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;

use crate::{processes::hold, random::Random};

const MIB: u64 = 1 << 20;

/// Processes of random sizes in nested cgroups below CGROUP, held until standard input ends.
#[derive(Args)]
pub(crate) struct Herd {
    /// Decides everything.
    seed: u64,
    /// The cgroup to fill, which exists.
    cgroup: PathBuf,
    /// What all processes together hold at most, in MiB.
    #[arg(long, default_value_t = 24)]
    total_mib: u64,
    /// Lowest `oom_score_adj`: without CAP_SYS_RESOURCE it cannot be below that of this process.
    #[arg(long, default_value_t = -1000, allow_hyphen_values = true)]
    min_adj: i32,
    /// Some of them grow, this many KiB a second together, from a line on standard input on.
    #[arg(long, default_value_t = 0)]
    grow_kib: u64,
}

/// A process of the herd.
#[derive(Args)]
pub(crate) struct Beast {
    /// Bytes of anonymous memory.
    anon: usize,
    /// Bytes of a shared mapping.
    shmem: usize,
    /// Threads besides the first.
    threads: u32,
    /// The first thread exits, the others hold the memory.
    #[arg(long)]
    leader_exits: bool,
    /// Bytes a second that it grows by, from a second line on standard input on.
    #[arg(long, default_value_t = 0)]
    grow: u64,
}

impl Herd {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let mut random = Random::new(self.seed);
        let cgroups = self.cgroups(&mut random)?;
        let count = 3 + random.below(8);
        let share = self.total_mib * MIB / count;
        let mut beasts: Vec<Child> = Vec::new();
        let mut last = None;
        let mut growers = 0;
        for _ in 0..count {
            // A twin of the one before, now and then.
            let (anon, shmem, adj) = match last {
                Some(last) if random.one_in(6) => last,
                _ => {
                    let anon = share / 8 + random.below(share * 3 / 4);
                    let shmem = match random.one_in(3) {
                        true => random.below(share / 4),
                        false => 0,
                    };
                    (anon, shmem, self.adj(&mut random))
                }
            };
            last = Some((anon, shmem, adj));
            let cgroup = &cgroups[random.below(cgroups.len() as u64) as usize];
            let threads = random.below(4);
            let leader_exits = threads > 0 && random.one_in(8);
            let mut arguments = vec![
                "beast".to_owned(),
                anon.to_string(),
                shmem.to_string(),
                threads.to_string(),
            ];
            if leader_exits {
                arguments.push("--leader-exits".to_owned());
            }
            let rate = self.grow_kib * 1024 / count;
            // Not too slow: the kill is waited for.
            let grow = match rate > 0 && random.one_in(2) {
                true => rate / 2 + random.below(2 * rate),
                false => 0,
            };
            arguments.extend(["--grow".to_owned(), grow.to_string()]);
            growers += u64::from(grow > 0);
            beasts.push(start(&arguments, cgroup, adj)?);
        }
        let pids: Vec<u32> = beasts.iter().map(Child::id).collect();
        println!(
            "{}",
            json!({"event": "holding", "pids": pids, "growers": growers})
        );
        let mut line = String::new();
        std::io::stdin()
            .read_line(&mut line)
            .context("waiting for the word to grow")?;
        if !line.is_empty() {
            for beast in &mut beasts {
                if let Some(go) = &mut beast.stdin {
                    // It may have been killed already.
                    let _ = go.write_all(b"grow\n");
                }
            }
            hold(0.0)?;
        }
        for beast in &mut beasts {
            // It may have been killed: that is what it is for.
            let _ = beast.kill();
            beast.wait().context("waiting for a beast")?;
        }
        for cgroup in cgroups.iter().skip(1).rev() {
            fs::remove_dir(cgroup).with_context(|| format!("removing {}", cgroup.display()))?;
        }
        Ok(())
    }

    /// The cgroup and a few below it. On v2 processes may only be in leaves then, but for the top of
    /// a delegated tree, so the processes go to the leaves.
    fn cgroups(&self, random: &mut Random) -> anyhow::Result<Vec<PathBuf>> {
        let mut cgroups = vec![self.cgroup.clone()];
        let v2 = self.cgroup.join("cgroup.controllers").exists();
        if v2 {
            // Nested cgroups without the memory controller would all be one to the OOM killer.
            fs::write(self.cgroup.join("cgroup.subtree_control"), "+memory")
                .context("handing the memory controller down")?;
        }
        for number in 0..1 + random.below(3) {
            let path = self.cgroup.join(format!("memtrace-herd-{number}"));
            fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
            if v2 && random.one_in(4) {
                fs::write(path.join("memory.oom.group"), "1").context("setting oom.group")?;
            }
            cgroups.push(path);
        }
        Ok(cgroups)
    }

    fn adj(&self, random: &mut Random) -> i32 {
        let wish = match random.below(8) {
            0..=2 => 0,
            3 => -1000,
            4 => random.below(1000) as i32,
            _ => random.below(400) as i32 - 200,
        };
        wish.max(self.min_adj)
    }
}

/// Starts a process in a cgroup and waits until it holds its memory.
fn start(arguments: &[String], cgroup: &Path, adj: i32) -> anyhow::Result<Child> {
    let place = match cgroup.join("cgroup.subtree_control").exists() {
        // v2's top hands the controller down and so takes no processes.
        true if !fs::read_to_string(cgroup.join("cgroup.subtree_control"))?
            .trim()
            .is_empty() =>
        {
            cgroup.join("memtrace-herd-0")
        }
        _ => cgroup.to_owned(),
    };
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("starting a beast")?;
    // It waits for a line before it allocates, so that all of it is charged where it belongs.
    let pid = child.id();
    fs::write(place.join("cgroup.procs"), pid.to_string())
        .with_context(|| format!("moving a beast to {}", place.display()))?;
    fs::write(format!("/proc/{pid}/oom_score_adj"), adj.to_string())
        .with_context(|| format!("setting oom_score_adj {adj}"))?;
    let go = child.stdin.as_mut().context("no pipe to the beast")?;
    go.write_all(b"go\n").context("telling a beast to go")?;
    let mut line = String::new();
    let out = child.stdout.take().context("no pipe from the beast")?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line)
        .context("listening to a beast")?;
    ensure!(line.trim() == "holding", "a beast said {line:?}");
    Ok(child)
}

impl Beast {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        std::io::stdin()
            .read_line(&mut String::new())
            .context("waiting for the word to go")?;
        let memory = black_box(vec![1_u8; self.anon]);
        let shared = shared(self.shmem)?;
        for _ in 0..self.threads {
            thread::spawn(|| {
                loop {
                    thread::park();
                }
            });
        }
        if self.grow > 0 {
            let rate = self.grow;
            thread::spawn(move || grow(rate));
        }
        println!("holding");
        if self.leader_exits {
            std::mem::forget((memory, shared));
            // The process lives on in its other threads; its leader stays as a zombie.
            exit_thread();
        }
        loop {
            thread::park();
            black_box((&memory, &shared));
        }
    }
}

/// Step of growth.
const STEP: u64 = 32 << 10;

/// Touches more and more memory, once told to.
fn grow(bytes_a_second: u64) {
    let mut line = String::new();
    if !matches!(std::io::stdin().read_line(&mut line), Ok(1..)) {
        return;
    }
    let mut held = Vec::new();
    let start = std::time::Instant::now();
    loop {
        held.push(black_box(vec![1_u8; STEP as usize]));
        let due = held.len() as f64 * STEP as f64 / bytes_a_second as f64;
        let due = start + std::time::Duration::from_secs_f64(due);
        thread::sleep(due.saturating_duration_since(std::time::Instant::now()));
    }
}

/// Ends the calling thread alone: exit(2), not exit_group(2).
#[cfg(target_arch = "x86_64")]
fn exit_thread() -> ! {
    // SAFETY: the system call does not return, and what the thread owned was forgotten.
    unsafe {
        std::arch::asm!("syscall", in("rax") 60, in("rdi") 0, options(noreturn, nostack));
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn exit_thread() -> ! {
    loop {
        thread::park();
    }
}

/// A memfd's pages, mapped and touched: they count as shmem.
fn shared(bytes: usize) -> anyhow::Result<Option<rustix::fd::OwnedFd>> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    if bytes == 0 {
        return Ok(None);
    }
    let file = rustix::fs::memfd_create("herd", rustix::fs::MemfdFlags::CLOEXEC)
        .context("making a memfd")?;
    rustix::fs::ftruncate(&file, bytes as u64).context("sizing a memfd")?;
    // SAFETY: a new mapping at an address of the kernel's choice, never unmapped.
    let mapped = unsafe {
        mmap(
            std::ptr::null_mut(),
            bytes,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED,
            &file,
            0,
        )
    }
    .context("mapping a memfd")?;
    // SAFETY: the mapping has this length and nobody else uses it.
    unsafe { std::slice::from_raw_parts_mut(mapped.cast::<u8>(), bytes) }.fill(1);
    Ok(Some(file))
}
