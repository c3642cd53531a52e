//! Readers that take turns on one CPU. Activations are batched per CPU and drained by whoever
//! fills the batch (mm/swap.c, `folio_activate`), so this is what makes a tracer credit the wrong
//! process.

use std::{
    io::{Read as _, Write as _, pipe},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::json;

use crate::files::Pages;

/// What one reader does in its turns.
#[derive(Args)]
pub(crate) struct Reader {
    file: PathBuf,
    /// First page of the first turn.
    #[arg(long)]
    first: u64,
    /// Pages in each turn.
    #[arg(long)]
    pages: u64,
    /// Pages from the start of one turn to the start of the next.
    #[arg(long)]
    stride: u64,
    #[arg(long)]
    rounds: u64,
    /// Ends the ring: keeps the token after the last round.
    #[arg(long)]
    last: bool,
}

impl Reader {
    /// Reads in its turns.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let file = Pages::open(&self.file)?;
        let (mut token_in, mut token_out) = (std::io::stdin(), std::io::stdout());
        for round in 0..self.rounds {
            token_in
                .read_exact(&mut [0])
                .context("waiting for the token")?;
            let start = self.first + round * self.stride;
            for page in start..start + self.pages {
                file.read(page)?;
            }
            if !(self.last && round + 1 == self.rounds) {
                token_out.write_all(b"t").context("passing the token")?;
                token_out.flush().context("passing the token")?;
            }
        }
        Ok(())
    }
}

/// Runs the readers and prints who read how many pages of which inode.
pub(crate) fn run(files: &[PathBuf], pages: &[u64], rounds: u64) -> anyhow::Result<()> {
    let shared = files.len() == 1;
    ensure!(
        shared || files.len() == pages.len(),
        "one file for all readers, or one each"
    );
    pin_to_last_cpu()?;
    let stride_shared: u64 = pages.iter().sum();
    // Pipe i carries the token to reader i.
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    for _ in pages {
        let (input, output) = pipe().context("making a pipe")?;
        inputs.push(input);
        outputs.push(output);
    }
    outputs[0].write_all(b"t").context("starting the token")?;
    // Reader i writes to pipe i+1, and the last one to pipe 0.
    outputs.rotate_left(1);
    let mut readers = Vec::new();
    let mut truth = Vec::new();
    for (index, (input, output)) in inputs.into_iter().zip(outputs).enumerate() {
        let file = &files[if shared { 0 } else { index }];
        let (first, stride) = if shared {
            (pages[..index].iter().sum(), stride_shared)
        } else {
            (0, pages[index])
        };
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("turn-reader")
            .arg(file)
            .args(["--first", &u64::to_string(&first)])
            .args(["--pages", &pages[index].to_string()])
            .args(["--stride", &stride.to_string()])
            .args(["--rounds", &rounds.to_string()])
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output));
        if index + 1 == pages.len() {
            command.arg("--last");
        }
        let reader = command.spawn().context("starting a reader")?;
        truth.push(json!({
            "pid": reader.id(),
            "file": file,
            "inode": std::fs::metadata(file)?.ino(),
            "pages": pages[index] * rounds,
        }));
        readers.push(reader);
    }
    for mut reader in readers {
        let status = reader.wait().context("waiting for a reader")?;
        ensure!(status.success(), "a reader failed: {status}");
    }
    println!("{}", json!({"readers": truth}));
    Ok(())
}

/// Reads a file over and over on one CPU; ends by a signal only.
pub(crate) fn read_pinned(path: &Path, pause_us: u64, realtime: bool) -> anyhow::Result<()> {
    pin_to_last_cpu()?;
    if realtime {
        become_realtime()?;
    }
    let file = Pages::open(path)?;
    for page in (0..file.count).cycle() {
        file.read(page)?;
        if pause_us > 0 {
            std::thread::sleep(Duration::from_micros(pause_us));
        }
    }
    Ok(())
}

fn become_realtime() -> anyhow::Result<()> {
    // `struct sched_param` of the kernel is its one member, the priority.
    let priority: libc::c_int = 10;
    // SAFETY: the kernel reads one int at the address, and changes nothing of this process's memory.
    let failed = unsafe {
        libc::syscall(
            libc::SYS_sched_setscheduler,
            0,
            libc::SCHED_FIFO,
            &raw const priority,
        )
    };
    ensure!(
        failed == 0,
        "becoming a real-time task: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}

/// The highest CPU this process may use: the one that interrupts use least.
fn pin_to_last_cpu() -> anyhow::Result<()> {
    let allowed = sched_getaffinity(None).context("reading the CPU affinity")?;
    let last = (0..CpuSet::MAX_CPU)
        .rev()
        .find(|&cpu| allowed.is_set(cpu))
        .context("no CPU allowed")?;
    let mut one = CpuSet::new();
    one.set(last);
    sched_setaffinity(None, &one).context("pinning to one CPU")
}
