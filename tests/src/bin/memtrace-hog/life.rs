//! The life of a service in steps, each at the pace it is told: what the backtest records.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    ptr::NonNull,
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use crate::processes::sleep;

const MIB: f64 = 1_048_576.0;
/// Memory comes and goes, and files are written and read, in pieces of this size.
const PIECE_BYTES: usize = 256 << 10;
/// How often a step sees how much is due.
const TICK: Duration = Duration::from_millis(100);

/// Arguments of `memtrace-hog life`.
#[derive(clap::Args)]
pub(crate) struct Life {
    /// Take so many MiB at once before all else.
    #[arg(long, default_value_t = 0.0)]
    base: f64,
    /// Go through the steps so many times.
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// `grow:MIB:SECONDS`, `free:MIB`, `hold:SECONDS`, `write:FILE:MIB:SECONDS` (appends),
    /// `read:FILE:MIB:SECONDS` (goes on where it was), `map:FILE:SECONDS`, `remove:FILE`.
    #[arg(required = true)]
    steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug)]
enum Step {
    /// Take memory and touch it.
    Grow(f64, f64),
    /// Give the newest of it back.
    Free(f64),
    /// Do nothing.
    Hold(f64),
    /// Append to a file.
    Write(PathBuf, f64, f64),
    /// Read on in a file, from its start again at its end.
    Read(PathBuf, f64, f64),
    /// Map a file and read a byte of each page of it.
    Map(PathBuf, f64),
    /// Remove a file.
    Remove(PathBuf),
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let number = |text: &str| {
            text.parse::<f64>()
                .map_err(|error| format!("{text}: {error}"))
        };
        Ok(match parts[..] {
            ["grow", mib, seconds] => Self::Grow(number(mib)?, number(seconds)?),
            ["free", mib] => Self::Free(number(mib)?),
            ["hold", seconds] => Self::Hold(number(seconds)?),
            ["write", file, mib, seconds] => {
                Self::Write(file.into(), number(mib)?, number(seconds)?)
            }
            ["read", file, mib, seconds] => Self::Read(file.into(), number(mib)?, number(seconds)?),
            ["map", file, seconds] => Self::Map(file.into(), number(seconds)?),
            ["remove", file] => Self::Remove(file.into()),
            _ => return Err(format!("{text} is no step")),
        })
    }
}

impl Life {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let mut held = Held::default();
        held.grow(self.base, 0.0)?;
        for _ in 0..self.times {
            for step in &self.steps {
                match step {
                    Step::Grow(mib, seconds) => held.grow(*mib, *seconds)?,
                    Step::Free(mib) => held.free(*mib),
                    Step::Hold(seconds) => sleep(*seconds),
                    Step::Write(file, mib, seconds) => write(file, *mib, *seconds)?,
                    Step::Read(file, mib, seconds) => held.read(file, *mib, *seconds)?,
                    Step::Map(file, seconds) => held.map(file, *seconds)?,
                    Step::Remove(file) => std::fs::remove_file(file)
                        .with_context(|| format!("removing {}", file.display()))?,
                }
            }
        }
        Ok(())
    }
}

/// Does `piece` as often as `mib` takes, spread over `seconds`.
fn paced(
    mib: f64,
    seconds: f64,
    mut piece: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let pieces = (mib * MIB / PIECE_BYTES as f64).round() as u64;
    let (start, mut done) = (Instant::now(), 0);
    loop {
        let share = match seconds > 0.0 {
            true => (start.elapsed().as_secs_f64() / seconds).min(1.0),
            false => 1.0,
        };
        let due = (pieces as f64 * share) as u64;
        while done < due {
            piece()?;
            done += 1;
        }
        if share >= 1.0 {
            return Ok(());
        }
        std::thread::sleep(TICK);
    }
}

/// What a life holds.
#[derive(Default)]
struct Held {
    /// A remainder of a piece, MiB, so that small steps add up.
    owed_mib: f64,
    pieces: Vec<Piece>,
    mapped: Vec<Mapped>,
    open: HashMap<PathBuf, File>,
}

impl Held {
    fn grow(&mut self, mib: f64, seconds: f64) -> anyhow::Result<()> {
        let piece_mib = PIECE_BYTES as f64 / MIB;
        let wanted = mib + self.owed_mib;
        let whole = (wanted / piece_mib).floor() * piece_mib;
        self.owed_mib = wanted - whole;
        let pieces = &mut self.pieces;
        paced(whole, seconds, || {
            pieces.push(Piece::take()?);
            Ok(())
        })
    }

    fn free(&mut self, mib: f64) {
        let pieces = (mib * MIB / PIECE_BYTES as f64).round() as usize;
        self.pieces
            .truncate(self.pieces.len().saturating_sub(pieces));
    }

    fn read(&mut self, path: &Path, mib: f64, seconds: f64) -> anyhow::Result<()> {
        let what = || format!("reading {}", path.display());
        let file = match self.open.entry(path.to_owned()) {
            std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::hash_map::Entry::Vacant(none) => {
                none.insert(File::open(path).with_context(what)?)
            }
        };
        let mut piece = vec![0; PIECE_BYTES];
        paced(mib, seconds, || {
            if file.read(&mut piece).with_context(what)? == 0 {
                file.rewind().with_context(what)?;
            }
            Ok(())
        })
    }

    fn map(&mut self, path: &Path, seconds: f64) -> anyhow::Result<()> {
        let mapped = Mapped::new(path)?;
        let (mut offset, bytes) = (0, mapped.bytes);
        paced(bytes as f64 / MIB, seconds, || {
            mapped.touch(offset, PIECE_BYTES);
            offset += PIECE_BYTES;
            Ok(())
        })?;
        self.mapped.push(mapped);
        Ok(())
    }
}

/// Touched anonymous memory, which goes back at once: malloc would keep some.
struct Piece(NonNull<u8>);

impl Piece {
    fn take() -> anyhow::Result<Self> {
        // SAFETY: the kernel chooses an address of its own, so no other memory is replaced.
        let start = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                PIECE_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }
        .context("mapping")?;
        let piece = Self(NonNull::new(start.cast()).context("mapped at 0")?);
        for offset in (0..PIECE_BYTES).step_by(rustix::param::page_size()) {
            // SAFETY: inside the mapping, which is writable and which nothing borrows from.
            unsafe { piece.0.as_ptr().add(offset).write_volatile(1) };
        }
        Ok(piece)
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // SAFETY: the mapping is this piece's own and nobody uses it any more. It cannot fail: the
        // address and the length are as mmap(2) gave them.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), PIECE_BYTES) };
    }
}

/// A file in memory, for as long as the process lives.
struct Mapped {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapped {
    fn new(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("mapping {}", path.display());
        let file = File::open(path).with_context(what)?;
        let bytes = usize::try_from(file.metadata().with_context(what)?.len())?;
        // SAFETY: the kernel chooses an address of its own, so no other memory is replaced.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ,
                MapFlags::SHARED,
                &file,
                0,
            )
        }
        .with_context(what)?;
        let start = NonNull::new(start.cast()).with_context(what)?;
        Ok(Self { start, bytes })
    }

    fn touch(&self, from: usize, bytes: usize) {
        let until = (from + bytes).min(self.bytes);
        for offset in (from..until).step_by(rustix::param::page_size()) {
            // SAFETY: inside the mapping; the backtest's files do not shrink.
            std::hint::black_box(unsafe { self.start.as_ptr().add(offset).read_volatile() });
        }
    }
}

fn write(path: &Path, mib: f64, seconds: f64) -> anyhow::Result<()> {
    let what = || format!("writing {}", path.display());
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .append(true)
        .open(path)
        .with_context(what)?;
    let piece = vec![1; PIECE_BYTES];
    paced(mib, seconds, || file.write_all(&piece).with_context(what))
}
