//! What a busy container does, all at once and as fast as it goes: a server that reads its index, jobs
//! that live for a moment, a log, files that come and go.

use std::{
    fs::{self, File, OpenOptions},
    hint::black_box,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::{
    files::{self, Pages},
    processes::hold,
    random::Random,
};

const MIB: u64 = 1 << 20;
/// What the server reads again and again.
const INDEX_BYTES: u64 = 24 * MIB;
/// Files that the jobs read, of 1 to [`SOURCE_PAGES`] pages.
const SOURCES: u64 = 2_000;
const SOURCE_PAGES: u64 = 16;
/// Sources that one job reads, and results it writes.
const JOB_SOURCES: u64 = 12;
const JOB_RESULTS: u64 = 2;
/// Results that are kept: each next one takes the place of an older one.
const RESULTS: u64 = 8_000;
/// Most anonymous memory of a job.
const JOB_ANON_BYTES: u64 = 4 * MIB;
/// What the server has of it in the end.
const SERVER_ANON_BYTES: u64 = 16 * MIB;
/// Where a log is full; the one before the last is removed then.
const LOG_BYTES: u64 = 16 * MIB;
/// Files that come and go in one go.
const LITTER: u32 = 512;

/// For SECONDS as fast as it goes, a server, jobs, a log and litter in FOLDER, which is empty; then
/// the server waits until standard input ends.
#[derive(Args)]
pub(crate) struct Mixed {
    folder: PathBuf,
    #[arg(long)]
    seconds: f64,
}

/// A process of `mixed`.
#[derive(Args)]
pub(crate) struct Part {
    part: Kind,
    folder: PathBuf,
    /// Seconds it works; a job is done when it is done.
    #[arg(long, default_value_t = 0.0)]
    seconds: f64,
    /// Of a job: decides what it reads.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Server,
    Job,
    Logger,
    Litterer,
}

impl Mixed {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        println!("{}", json!({"event": "working", "pid": std::process::id()}));
        // To make the files is work, too.
        let end = Instant::now() + Duration::from_secs_f64(self.seconds);
        for name in ["sources", "results", "litter"] {
            let path = self.folder.join(name);
            fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        }
        write_sources(&self.folder)?;
        files::write(&index(&self.folder), INDEX_BYTES, 64 << 10, false)?;
        let start = |part: &str| {
            let mut command = self.part(part)?;
            let left = end.saturating_duration_since(Instant::now());
            command.args(["--seconds", &left.as_secs_f64().to_string()]);
            command.spawn().with_context(|| format!("starting {part}"))
        };
        let mut server = start("server")?;
        let others = [start("logger")?, start("litterer")?];
        let mut jobs = 0;
        while Instant::now() < end {
            let mut job = self.part("job")?;
            job.args(["--seed", &jobs.to_string()]);
            ended(job.spawn().context("starting a job")?)?;
            jobs += 1;
        }
        for other in others {
            ended(other)?;
        }
        println!(
            "{}",
            json!({"event": "holding", "pid": std::process::id(), "jobs": jobs})
        );
        hold(0.0)?;
        drop(server.stdin.take());
        ended(server)
    }

    fn part(&self, name: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["mixed-part", name])
            .arg(&self.folder)
            .stdin(Stdio::piped());
        Ok(command)
    }
}

fn ended(mut child: Child) -> anyhow::Result<()> {
    let status = child.wait().context("waiting for a process")?;
    ensure!(status.success(), "a process failed: {status}");
    Ok(())
}

impl Part {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let end = Instant::now() + Duration::from_secs_f64(self.seconds);
        let goes_on = || Instant::now() < end;
        match self.part {
            Kind::Server => serve(&self.folder, goes_on),
            Kind::Job => work(&self.folder, self.seed),
            Kind::Logger => log(&self.folder, goes_on),
            Kind::Litterer => {
                while goes_on() {
                    files::litter(&self.folder.join("litter"), LITTER)?;
                }
                Ok(())
            }
        }
    }
}

/// Reads pages of the index, those in front more often, while its memory comes and goes.
fn serve(folder: &Path, goes_on: impl Fn() -> bool) -> anyhow::Result<()> {
    let index = Pages::open(&index(folder))?;
    let mut random = Random::new(1);
    while goes_on() {
        let request = black_box(vec![1_u8; random.below(SERVER_ANON_BYTES) as usize]);
        for _ in 0..512 {
            let within = 1 + random.below(index.count);
            index.read(random.below(within))?;
        }
        drop(request);
    }
    let held = black_box(vec![1_u8; SERVER_ANON_BYTES as usize]);
    hold(0.0)?;
    drop(held);
    Ok(())
}

/// Reads some sources, works in memory, writes results.
fn work(folder: &Path, seed: u64) -> anyhow::Result<()> {
    let mut random = Random::new(seed);
    for _ in 0..JOB_SOURCES {
        let path = source(folder, random.below(SOURCES));
        fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    }
    let anon = black_box(vec![1_u8; random.below(JOB_ANON_BYTES) as usize]);
    for _ in 0..JOB_RESULTS {
        let name = random.below(RESULTS);
        let path = folder.join("results").join(name.to_string());
        let bytes = random.below(32 << 10) as usize;
        fs::write(&path, vec![1; bytes]).with_context(|| format!("writing {}", path.display()))?;
    }
    drop(anon);
    Ok(())
}

/// Writes lines to a log, and starts a new one when it is full.
fn log(folder: &Path, goes_on: impl Fn() -> bool) -> anyhow::Result<()> {
    let (log, old) = (folder.join("access.log"), folder.join("access.log.1"));
    let line = [b'x'; 120];
    let mut file = open_log(&log)?;
    let mut bytes = 0;
    while goes_on() {
        file.write_all(&line)
            .with_context(|| format!("writing {}", log.display()))?;
        bytes += line.len() as u64;
        if bytes >= LOG_BYTES {
            fs::rename(&log, &old).with_context(|| format!("renaming {}", log.display()))?;
            file = open_log(&log)?;
            bytes = 0;
        }
    }
    Ok(())
}

fn open_log(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    (options.open(path)).with_context(|| format!("opening {}", path.display()))
}

fn write_sources(folder: &Path) -> anyhow::Result<()> {
    let mut random = Random::new(0);
    for number in 0..SOURCES {
        let path = source(folder, number);
        let bytes = (1 + random.below(SOURCE_PAGES)) << 12;
        fs::write(&path, vec![1; bytes as usize])
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn index(folder: &Path) -> PathBuf {
    folder.join("index")
}

fn source(folder: &Path, number: u64) -> PathBuf {
    folder.join("sources").join(format!("{number}.c"))
}
