//! The work of the demo: each step is a process of its own in the demo's cgroup, so that it is
//! charged and named like anybody's.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use rustix::fs::{Advice, fadvise};

use crate::cli::failure::Failure;

/// Bytes of the demo's file.
pub const FILE_BYTES: u64 = 100 << 20;
/// Bytes read or written at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What to do with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// Make it
    Write,
    /// Read it twice
    Read,
    /// Ask the kernel to forget its pages
    Drop,
}

impl Work {
    /// As the hidden subcommand takes it, and as the process calls itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Drop => "drop",
        }
    }
}

/// One step.
#[derive(Args)]
pub struct Step {
    work: Work,
    file: PathBuf,
}

impl Step {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        // A name that stands out in the explanation; without it, it is called memtrace.
        if let Ok(name) = std::ffi::CString::new(format!("demo-{}", self.work.name())) {
            let _ = rustix::thread::set_name(&name);
        }
        match self.work {
            Work::Write => write(&self.file),
            Work::Read => read(&self.file),
            Work::Drop => forget(&self.file),
        }
        .with_context(|| {
            format!(
                "demo: {} {}: choose another folder with TMPDIR",
                self.work.name(),
                self.file.display()
            )
        })
        .map_err(Failure::failed)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn write(path: &Path) -> anyhow::Result<()> {
    let mut file = File::create(path)?;
    let chunk = vec![0x6d; CHUNK_BYTES];
    for _ in 0..FILE_BYTES / CHUNK_BYTES as u64 {
        file.write_all(&chunk)?;
    }
    // Dirty pages cannot be dropped in the last step.
    file.sync_all()?;
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    for _ in 0..2 {
        let mut file = File::open(path)?;
        while file.read(&mut chunk)? != 0 {}
    }
    Ok(())
}

fn forget(path: &Path) -> anyhow::Result<()> {
    fadvise(File::open(path)?, 0, None, Advice::DontNeed)?;
    Ok(())
}
