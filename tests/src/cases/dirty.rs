//! Page cache that is not on disk yet: it comes back under pressure, but only after writeback.

use std::{fs::File, path::Path, thread};

use anyhow::{Context as _, ensure};

use super::{
    room::{Room, text},
    scenario::{Expected, hog, told},
};
use crate::{host::Host, session::Explained, slow_disk::SlowDisk, suite::Outcome};

/// What gets through to the slow disk: next to nothing.
const SLOW_BYTES_PER_SECOND: u64 = 16 << 10;

/// What the verdict must say.
const AFTER_WRITEBACK: &str = "once it is written back";
/// Of what was promised to come back, at least so much must leave.
const LEAVES: f64 = 0.90;

/// A file is written and read again before it is on disk.
pub(super) fn dirty_file(host: &Host) -> anyhow::Result<Outcome> {
    if let Some(reason) = host.no_activations() {
        return Ok(Outcome::Skipped(reason));
    }
    let room = Room::new(host)?;
    let path = room.folder().join("dirty");
    let (explained, outcome) = written_and_read(&room, &path, |_| Ok(Vec::new()))?;
    // The kernel starts to write when it likes; what counts is what was left at the end.
    Ok(with_unclean(&Unclean::of(&explained)?, outcome))
}

/// The same on a disk so slow that all of it is dirty or under writeback. Then the disk is fast, the file
/// on it, and pressure shows that it comes back.
pub(super) fn slow_disk(host: &Host) -> anyhow::Result<Outcome> {
    if let Some(reason) = host.no_activations() {
        return Ok(Outcome::Skipped(reason));
    }
    let room = Room::new(host)?;
    let disk = match SlowDisk::new(&host.scratch, &room.cgroup, SLOW_BYTES_PER_SECOND) {
        Ok(disk) => disk,
        Err(error) => {
            return Ok(Outcome::Skipped(format!(
                "no slow disk to be had here: {error:#}"
            )));
        }
    };
    let path = disk.folder().join("journal");
    let mut writeback = None;
    let (explained, outcome) = written_and_read(&room, &path, |path| {
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        writeback = Some(thread::spawn(move || file.sync_all()));
        Ok(vec![AFTER_WRITEBACK.to_owned()])
    })?;
    let unclean = Unclean::of(&explained)?;
    ensure!(
        unclean.writeback_bytes > 0,
        "the disk was not slow: {unclean:?}"
    );
    let before = room.cgroup.read()?;
    disk.release()?;
    if let Some(writeback) = writeback {
        let written = writeback.join();
        written
            .map_err(|_| anyhow::anyhow!("a thread of the test panicked"))?
            .context("writing back")?;
    }
    room.squeeze(1 << 20)?;
    let after = room.cgroup.read_settled()?;
    let left = (before.active_file_bytes).saturating_sub(after.active_file_bytes);
    ensure!(
        left as f64 >= LEAVES * unclean.later_bytes as f64,
        "{unclean:?} was to come back after writeback, {left} bytes did: {before:?} -> {after:?}"
    );
    Ok(with_unclean(&unclean, outcome))
}

/// A file is written, `then` something is done with it, and it is read twice.
fn written_and_read(
    room: &Room<'_>,
    path: &Path,
    then: impl FnOnce(&Path) -> anyhow::Result<Vec<String>>,
) -> anyhow::Result<(Explained, Outcome)> {
    let host = room.host;
    let bytes = host.file_bytes(32 << 20)?.to_string();
    told(room, "active_file", || {
        let page = host.page_bytes.to_string();
        room.hog(&["write", text(path)?, &bytes, "--chunk", &page, "--dirty"])?;
        let mut names = then(path)?;
        let pid = room.hog(&["reread", text(path)?, "2"])?.pid;
        names.extend([text(path)?.to_owned(), hog(pid)]);
        Ok(Expected {
            component: "active_file",
            rules: &["second_access"],
            names,
        })
    })
}

/// What is not on disk, as memtrace read it, and what it says of it.
#[derive(Debug)]
struct Unclean {
    dirty_bytes: u64,
    writeback_bytes: u64,
    later_bytes: u64,
}

impl Unclean {
    /// An error if what is said to come back after writeback is not what is not on disk.
    fn of(explained: &Explained) -> anyhow::Result<Self> {
        let answer: serde_json::Value = serde_json::from_slice(&explained.finished.stdout)?;
        let size = |key: &str| answer["sizes"][key].as_u64().context("no such size");
        let later = answer["would_come_back"]["after_writeback_bytes"].as_u64();
        let unclean = Self {
            dirty_bytes: size("file_dirty_after_bytes")?,
            writeback_bytes: size("file_writeback_after_bytes")?,
            later_bytes: later.context("nothing is said of what comes back after writeback")?,
        };
        let bytes = unclean.dirty_bytes + unclean.writeback_bytes;
        ensure!(
            unclean.later_bytes <= bytes && unclean.later_bytes + (1 << 20) >= bytes,
            "{unclean:?}"
        );
        Ok(unclean)
    }
}

fn with_unclean(unclean: &Unclean, outcome: Outcome) -> Outcome {
    let Unclean {
        dirty_bytes,
        writeback_bytes,
        ..
    } = unclean;
    match outcome {
        Outcome::Passed(figures) => Outcome::Passed(format!(
            "{dirty_bytes} dirty and {writeback_bytes} under writeback; {figures}"
        )),
        skipped => skipped,
    }
}
