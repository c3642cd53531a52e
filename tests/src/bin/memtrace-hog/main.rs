//! `memtrace-hog`: does one thing with memory, and says in JSON what it did, so that a test can
//! compare what memtrace says with what is true.
//!
//! Commands that hold something print `{"event":"holding",...}` once it is all there. A `--hold`
//! of 0 waits for end-of-file on standard input instead of a time.

mod cost;
mod files;
mod herd;
mod kernel;
mod life;
mod memory;
mod mixed;
mod processes;
mod random;
mod shared;
mod storm;
mod turns;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Does one thing with memory.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Write BYTES zeros to a new FILE and sync it; the size of each write decides the folios.
    Write {
        file: PathBuf,
        bytes: u64,
        #[arg(long, default_value_t = 4096)]
        chunk: usize,
        /// Leave the pages dirty.
        #[arg(long)]
        dirty: bool,
    },
    /// Map FILE, read a byte of each page, unmap it; TIMES over.
    Map {
        file: PathBuf,
        times: u32,
        #[arg(long, default_value_t = 0.0)]
        hold: f64,
    },
    /// Read the whole of FILE, page by page, TIMES over.
    Reread {
        file: PathBuf,
        times: u32,
    },
    /// Write a new FILE of MIB by pages, read it twice, and time the second pass.
    SecondRead {
        file: PathBuf,
        mib: usize,
        /// Stay on this CPU.
        #[arg(long)]
        cpu: Option<usize>,
        /// Again and again for so long.
        #[arg(long, default_value_t = 0.0)]
        seconds: f64,
    },
    /// Start a program and touch new memory, TURNS times.
    Faults {
        turns: u32,
        /// All of it again and again for so long.
        #[arg(long, default_value_t = 0.0)]
        seconds: f64,
    },
    /// Read a FILE of MIB that is all hole.
    Holes {
        file: PathBuf,
        mib: u64,
        /// Again and again for so long.
        #[arg(long, default_value_t = 0.0)]
        seconds: f64,
    },
    /// Make CGROUPS cgroups with a limit, and TASKS idle processes in them.
    Crowd {
        parent: PathBuf,
        cgroups: usize,
        tasks: usize,
        /// The file of the limit.
        #[arg(long)]
        limit: String,
    },
    /// Let the kernel drop FILE's pages (`POSIX_FADV_DONTNEED`).
    Fadvise {
        file: PathBuf,
    },
    /// Allocate and touch BYTES of anonymous memory, hold it, free it, wait.
    Anon {
        bytes: usize,
        #[arg(long, default_value_t = 0.0)]
        hold: f64,
        /// Seconds to live on after freeing.
        #[arg(long, default_value_t = 0.0)]
        linger: f64,
    },
    /// Allocate and touch BYTES in a process that shares its memory with a child (`CLONE_VM`), which
    /// waits; then, at a line on standard input, go on allocating.
    SharedMemory {
        bytes: usize,
    },
    /// KILLS children, one after the other, each of which takes BYTES again and again until it is
    /// killed.
    Storm {
        kills: u32,
        bytes: usize,
    },
    /// Write BYTES to FILE, which lies on a tmpfs, and hold it open.
    Shmem {
        file: PathBuf,
        bytes: u64,
        /// KiB a second; as fast as it goes with 0.
        #[arg(long, default_value_t = 0)]
        rate_kib: u64,
        #[arg(long, default_value_t = 0.0)]
        hold: f64,
    },
    /// Write BYTES to a memfd called NAME and hold it open.
    Memfd {
        name: String,
        bytes: u64,
        #[arg(long, default_value_t = 0.0)]
        hold: f64,
    },
    /// Write to all of a System V segment of BYTES and stay attached.
    Sysv {
        bytes: usize,
        #[arg(long, default_value_t = 0.0)]
        hold: f64,
    },
    /// Look up NAMES names in FOLDER that do not exist.
    Dentries {
        folder: PathBuf,
        names: u64,
        #[arg(long, default_value_t = 0.0)]
        hold: f64,
    },
    /// Start COUNT threads that do nothing.
    Threads {
        count: usize,
        #[arg(long, default_value_t = 0.0)]
        hold: f64,
    },
    /// Open PAIRS pairs of TCP sockets and write until nothing more fits, or up to BYTES each.
    Sockets {
        pairs: usize,
        bytes: usize,
        #[arg(long, default_value_t = 0.0)]
        hold: f64,
    },
    /// Fill PIPES pipes, 1 MiB each.
    Pipes {
        pipes: usize,
        #[arg(long, default_value_t = 0.0)]
        hold: f64,
    },
    /// Make the kernel allocate TABLES page tables, and nothing else.
    PageTables {
        tables: usize,
        #[arg(long, default_value_t = 0.0)]
        hold: f64,
    },
    /// Allocate and touch BYTES of anonymous memory; touch it again at a line on standard input.
    AnonAgain {
        bytes: usize,
    },
    /// Allocate and touch BYTES of huge pages, and give back all of each but its first page.
    SplitHuge {
        bytes: usize,
        #[arg(long, default_value_t = 0.0)]
        hold: f64,
    },
    /// One process for each number of `--pages`, all on one CPU, taking turns by a token: in its
    /// turn each reads that many pages. One FILE is shared; else there is one FILE for each.
    Turns {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[arg(long, value_delimiter = ',', required = true)]
        pages: Vec<u64>,
        #[arg(long)]
        rounds: u64,
    },
    /// A reader of `turns`: waits for the token on standard input, passes it to standard output.
    #[command(hide = true)]
    TurnReader(turns::Reader),
    /// One process reads two files in turns of one page.
    Alternate {
        first: PathBuf,
        second: PathBuf,
    },
    /// Read FILE page by page on the last CPU, for ever, with a pause after each page.
    ReadPinned {
        file: PathBuf,
        #[arg(long)]
        pause_us: u64,
        /// As a real-time task, which interrupts others.
        #[arg(long)]
        realtime: bool,
    },
    /// Create and remove FILES files of one page each in FOLDER.
    Litter {
        folder: PathBuf,
        files: u32,
    },
    /// Start a child in a session of its own that lives for SECONDS, print its pid, and exit.
    Daemon {
        seconds: f64,
    },
    Mixed(mixed::Mixed),
    /// A process of `mixed`.
    #[command(hide = true)]
    MixedPart(mixed::Part),
    Herd(herd::Herd),
    /// Live in steps, each at its pace.
    Life(life::Life),
    /// A process of the herd.
    #[command(hide = true)]
    Beast(herd::Beast),
    /// Sleep.
    Sleep {
        seconds: f64,
    },
    /// End by this signal number.
    Die {
        signal: i32,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().what {
        What::Write {
            file,
            bytes,
            chunk,
            dirty,
        } => files::write(&file, bytes, chunk, dirty),
        What::Map { file, times, hold } => files::map(&file, times, hold),
        What::Memfd { name, bytes, hold } => shared::memfd(&name, bytes, hold),
        What::Sysv { bytes, hold } => shared::sysv(bytes, hold),
        What::Dentries {
            folder,
            names,
            hold,
        } => kernel::dentries(&folder, names, hold),
        What::Threads { count, hold } => kernel::threads(count, hold),
        What::Sockets { pairs, bytes, hold } => kernel::sockets(pairs, bytes, hold),
        What::PageTables { tables, hold } => kernel::page_tables(tables, hold),
        What::Pipes { pipes, hold } => kernel::pipes(pipes, hold),
        What::AnonAgain { bytes } => memory::anon_again(bytes),
        What::SplitHuge { bytes, hold } => memory::split_huge(bytes, hold),
        What::SecondRead {
            file,
            mib,
            cpu,
            seconds,
        } => cost::second_read(&file, mib, cpu, seconds),
        What::Faults { turns, seconds } => cost::faults(turns, seconds),
        What::Holes { file, mib, seconds } => cost::holes(&file, mib, seconds),
        What::Crowd {
            parent,
            cgroups,
            tasks,
            limit,
        } => cost::crowd(&parent, cgroups, tasks, &limit),
        What::Reread { file, times } => files::reread(&file, times),
        What::Fadvise { file } => files::fadvise(&file),
        What::Anon {
            bytes,
            hold,
            linger,
        } => memory::anon(bytes, hold, linger),
        What::Storm { kills, bytes } => storm::storm(kills, bytes),
        What::SharedMemory { bytes } => processes::shared_memory(bytes),
        What::Shmem {
            file,
            bytes,
            rate_kib,
            hold,
        } => memory::shmem(&file, bytes, rate_kib, hold),
        What::Turns {
            files,
            pages,
            rounds,
        } => turns::run(&files, &pages, rounds),
        What::TurnReader(reader) => reader.run(),
        What::Alternate { first, second } => files::alternate(&first, &second),
        What::ReadPinned {
            file,
            pause_us,
            realtime,
        } => turns::read_pinned(&file, pause_us, realtime),
        What::Litter { folder, files } => files::litter(&folder, files),
        What::Daemon { seconds } => processes::daemon(seconds),
        What::Mixed(mixed) => mixed.run(),
        What::MixedPart(part) => part.run(),
        What::Herd(herd) => herd.run(),
        What::Life(life) => life.run(),
        What::Beast(beast) => beast.run(),
        What::Sleep { seconds } => {
            processes::sleep(seconds);
            Ok(())
        }
        What::Die { signal } => processes::die(signal),
    }
}
