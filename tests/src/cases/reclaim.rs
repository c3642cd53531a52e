//! Reclaim: its cause, whom it hit, what it evicted and what came back, against memory.stat and
//! memory.events.

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::room::{CaseFile, Room};
use crate::{
    cgroup::{TestCgroup, Version},
    host::Host,
    session::Explained,
    suite::Outcome,
};

/// `reclaim` of the answer: the keys checked here.
#[derive(Debug, Deserialize)]
pub(super) struct Reclaim {
    pub(super) passes: u64,
    pub(super) by_cause: Vec<Group>,
    refaulted_bytes: Option<u64>,
    refaulted_active_bytes: Option<u64>,
    pub(super) evicted: Option<Evicted>,
    pub(super) shrunk: Option<Vec<Shrunk>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Group {
    pub(super) kind: String,
    pub(super) cause: Option<String>,
    pub(super) target_cgroup: Option<String>,
    pub(super) passes: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Evicted {
    pub(super) bytes: u64,
    rows: Vec<Eviction>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Eviction {
    pub(super) bytes: u64,
    file: Option<File>,
    pub(super) victim_cgroup: Option<String>,
    pub(super) target_cgroup: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct File {
    path: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Shrunk {
    pub(super) kind: String,
    pub(super) victim_cgroup: Option<String>,
    pub(super) target_cgroup: Option<String>,
    pub(super) reclaimed_bytes: u64,
    scanned_bytes: u64,
}

/// What the kernel counts for a cgroup; `None` where this kernel has no such key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counters {
    pub(super) stolen: Option<u64>,
    scanned: Option<u64>,
    refaulted: Option<u64>,
    activated: Option<u64>,
    max: Option<u64>,
}

impl Counters {
    fn read(cgroup: &TestCgroup) -> anyhow::Result<Self> {
        // Waits until the statistics are at rest.
        cgroup.read_settled()?;
        Ok(Self {
            stolen: cgroup.key("memory.stat", "pgsteal"),
            scanned: cgroup.key("memory.stat", "pgscan"),
            refaulted: cgroup.key("memory.stat", "workingset_refault_file"),
            activated: cgroup.key("memory.stat", "workingset_activate_file"),
            max: cgroup.key("memory.events", "max"),
        })
    }

    fn since(self, before: Self) -> Self {
        let change = |after: Option<u64>, before: Option<u64>| Some(after? - before?);
        Self {
            stolen: change(self.stolen, before.stolen),
            scanned: change(self.scanned, before.scanned),
            refaulted: change(self.refaulted, before.refaulted),
            activated: change(self.activated, before.activated),
            max: change(self.max, before.max),
        }
    }
}

/// What the answer and the kernel said of the same window.
pub(super) struct Watched {
    pub(super) reclaim: Reclaim,
    pub(super) kernel: Counters,
    pub(super) explained: Explained,
    pub(super) figures: Vec<String>,
}

impl Watched {
    /// Watches the room's cgroup while `work` is done.
    pub(super) fn of(
        room: &Room<'_>,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        Self::of_with(room, &[], work)
    }

    /// The same, with more options for memtrace.
    fn of_with(
        room: &Room<'_>,
        options: &[&str],
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let before = Counters::read(&room.cgroup)?;
        let watch = room.watch_with(options)?;
        work()?;
        let after = Counters::read(&room.cgroup)?;
        let explained = watch.finish()?;
        let reclaim = Reclaim::deserialize(&explained.answer.reclaim).context("reclaim")?;
        Ok(Self {
            reclaim,
            kernel: after.since(before),
            explained,
            figures: Vec::new(),
        })
    }

    /// memtrace's figure and the kernel's for the same are no more than 1 % and a batch apart; a
    /// side that is missing here is said.
    pub(super) fn compare(
        &mut self,
        what: &str,
        told: Option<u64>,
        kernel: Option<u64>,
    ) -> anyhow::Result<()> {
        let (Some(told), Some(kernel)) = (told, kernel) else {
            let side = if told.is_none() { "hook" } else { "counter" };
            self.figures.push(format!("{what}: no {side} here"));
            return Ok(());
        };
        let figure = format!("{what} {told}, kernel {kernel}");
        ensure!(
            told.abs_diff(kernel) <= kernel / 100 + 64,
            "{figure}: {:?}",
            self.reclaim
        );
        self.figures.push(figure);
        Ok(())
    }

    /// What was evicted is what the kernel stole, and it was this file's.
    fn check_evictions(&mut self, room: &Room<'_>, files: &[&CaseFile]) -> anyhow::Result<()> {
        let page_bytes = room.host.page_bytes;
        let evicted = self.reclaim.evicted.as_ref().map(|e| e.bytes / page_bytes);
        self.compare("evicted", evicted, self.kernel.stolen)?;
        let shrunk = self.reclaim.shrunk.as_ref().map(|rows| {
            let bytes: u64 = rows.iter().map(|row| row.reclaimed_bytes).sum();
            bytes / page_bytes
        });
        self.compare("shrunk", shrunk, self.kernel.stolen)?;
        let scanned = self.reclaim.shrunk.as_ref().map(|rows| {
            let bytes: u64 = rows.iter().map(|row| row.scanned_bytes).sum();
            bytes / page_bytes
        });
        self.compare("scanned", scanned, self.kernel.scanned)?;
        if let Some(evicted) = &self.reclaim.evicted {
            let is_of = |row: &&Eviction| {
                let path = row.file.as_ref().and_then(|file| file.path.as_deref());
                files.iter().any(|file| file.path.to_str() == path)
            };
            let named: u64 = evicted.rows.iter().filter(is_of).map(|row| row.bytes).sum();
            ensure!(
                named * 100 >= evicted.bytes * 95,
                "only {named} bytes of {evicted:?} are of {files:?}"
            );
            let cgroup = Some(room.cgroup.name());
            let is_own =
                |row: &Eviction| row.victim_cgroup == cgroup && row.target_cgroup == cgroup;
            ensure!(
                evicted.rows.iter().all(is_own),
                "not all of {evicted:?} are {cgroup:?}'s and on its own behalf"
            );
        }
        Ok(())
    }

    /// Nearly every pass has this cause, and hit the room's cgroup as far as the kernel tells.
    fn check_cause(&mut self, room: &Room<'_>, cause: &str) -> anyhow::Result<()> {
        let groups = &self.reclaim.by_cause;
        let count = |which: &dyn Fn(&Group) -> bool| -> u64 {
            let wanted = groups.iter().filter(|group| which(group));
            wanted.map(|group| group.passes).sum()
        };
        let right = count(&|group| group.kind == "memcg" && group.cause.as_deref() == Some(cause));
        let unknown = count(&|group| group.target_cgroup.is_none());
        let own = Some(room.cgroup.name());
        let target = count(&|group| group.target_cgroup == own);
        let passes = self.reclaim.passes;
        ensure!(
            passes > 0 && right * 100 >= passes * 95 && (target + unknown) * 100 >= passes * 95,
            "not {cause} of {own:?}: {groups:?}"
        );
        let figure = match unknown {
            0 => format!("{right} of {passes} passes by {cause}"),
            _ => format!("{right} of {passes} passes by {cause}, no target told here"),
        };
        self.figures.push(figure);
        if let Some(rows) = &self.reclaim.shrunk {
            let kind = if cause == "proactive" {
                "proactive"
            } else {
                "memcg"
            };
            // Kernels before 5.19 do not mark what was asked for.
            let is_right = |row: &Shrunk| {
                (row.kind == kind || row.kind == "memcg")
                    && row.victim_cgroup == own
                    && row.target_cgroup == own
            };
            ensure!(rows.iter().all(is_right), "{rows:?}");
        }
        Ok(())
    }

    pub(super) fn passed(self) -> Outcome {
        let figures = self.figures.join(", ");
        Outcome::Passed(format!("{figures}, {}", self.explained.figures()))
    }
}

/// A clean file of small folios, in the room's cache as far as it fits.
pub(super) fn clean_file(room: &Room<'_>, name: &str, bytes: u64) -> anyhow::Result<CaseFile> {
    let file = room.write(name, bytes, room.host.page_bytes)?;
    rustix::fs::sync();
    Ok(file)
}

/// A file of twice the limit is read again and again.
pub(super) fn at_the_limit(host: &Host) -> anyhow::Result<Outcome> {
    at_the_limit_with(host, &[])
}

/// The same with trampolines off: by kprobes where there are any, else by tracepoints.
pub(super) fn by_kprobes(host: &Host) -> anyhow::Result<Outcome> {
    let options: Vec<&str> = TRAMPOLINES
        .iter()
        .flat_map(|hook| ["--without-hook", hook])
        .collect();
    at_the_limit_with(host, &options)
}

const TRAMPOLINES: [&str; 5] = [
    "fentry/try_to_free_mem_cgroup_pages",
    "fentry/workingset_eviction",
    "fexit/workingset_refault",
    "fentry/shrink_lruvec",
    "fentry/try_to_shrink_lruvec",
];

fn at_the_limit_with(host: &Host, options: &[&str]) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let file = clean_file(&room, "data", host.file_bytes(32 << 20)?)?;
    room.cgroup.set_limit(file.bytes / 2)?;
    let mut watched = Watched::of_with(&room, options, || {
        room.hog(&["reread", file.text()?, "3"])?;
        Ok(())
    })?;
    watched.check_cause(&room, "max")?;
    watched.compare("passes", Some(watched.reclaim.passes), watched.kernel.max)?;
    watched.check_evictions(&room, &[&file])?;
    let pages = |bytes: Option<u64>| bytes.map(|bytes| bytes / host.page_bytes);
    let refaulted = pages(watched.reclaim.refaulted_bytes);
    watched.compare("refaulted", refaulted, watched.kernel.refaulted)?;
    Ok(watched.passed())
}

/// `memory.high` throttles and reclaims on the way back to userspace.
pub(super) fn over_high(host: &Host) -> anyhow::Result<Outcome> {
    if host.hierarchy.version == Version::V1 {
        let reason = "cgroup v1 has no memory.high".to_owned();
        return Ok(Outcome::Skipped(reason));
    }
    let room = Room::new(host)?;
    let file = clean_file(&room, "data", host.file_bytes(32 << 20)?)?;
    room.cgroup
        .set("memory.high", &(file.bytes / 2).to_string())?;
    let mut watched = Watched::of(&room, || {
        room.hog(&["reread", file.text()?, "2"])?;
        Ok(())
    })?;
    watched.check_cause(&room, "high")?;
    watched.check_evictions(&room, &[&file])?;
    Ok(watched.passed())
}

/// Somebody outside lowers the limit below what is used.
pub(super) fn lower_limit(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let file = clean_file(&room, "data", host.file_bytes(24 << 20)?)?;
    let mut watched = Watched::of(&room, || room.cgroup.set_limit(file.bytes / 2))?;
    if watched.reclaim.passes == 0 {
        // Nobody of the cgroup waited, so only the target says that it concerns us.
        let hooks = &watched.explained.answer.trust.hooks;
        let told = hooks
            .iter()
            .any(|hook| hook.hook.contains("try_to_free_mem"));
        ensure!(!told, "no pass seen: {:?}", watched.reclaim);
        let reason = "the hook that this kernel allows does not tell the target of reclaim";
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    watched.check_cause(&room, "limit_write")?;
    watched.check_evictions(&room, &[&file])?;
    Ok(watched.passed())
}

/// `memory.reclaim`, and v1's `memory.force_empty`, written by a process of the cgroup.
pub(super) fn on_request(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let file = clean_file(&room, "data", host.file_bytes(24 << 20)?)?;
    let (name, value) = match room.cgroup.version() {
        Version::V1 => ("memory.force_empty", "0".to_owned()),
        Version::V2 => ("memory.reclaim", (file.bytes / 2).to_string()),
    };
    let path = room.cgroup.path.join(name);
    if !path.exists() {
        return Ok(Outcome::Skipped(format!("this kernel has no {name}")));
    }
    let script = format!("echo {value} > {}", path.display());
    let mut watched = Watched::of(&room, || {
        let shell = crate::process::command(std::path::Path::new("sh"), ["-c", &script]);
        crate::process::run_in(&room.cgroup, shell)?;
        Ok(())
    })?;
    watched.check_cause(&room, "proactive")?;
    watched.check_evictions(&room, &[&file])?;
    Ok(watched.passed())
}

/// Beside an active file, another is read in a loop that is a little too large: its pages come back
/// so soon that they are made active at once, by the reader.
pub(super) fn refaults_that_activate(host: &Host) -> anyhow::Result<Outcome> {
    if let Some(reason) = host.no_activations() {
        return Ok(Outcome::Skipped(reason));
    }
    let room = Room::new(host)?;
    let third = host.file_bytes(72 << 20)? / 3;
    let active = room.write_and_read("active", third)?;
    room.cat(&active)?;
    let looped = clean_file(&room, "looped", third + third / 3)?;
    room.cgroup.set_limit(2 * third + (2 << 20))?;
    let mut reader = 0;
    let before = room.cgroup.key("memory.stat", "active_file").unwrap_or(0);
    let mut watched = Watched::of(&room, || {
        reader = room.hog(&["reread", looped.text()?, "3"])?.pid;
        Ok(())
    })?;
    let Some(told) = watched.reclaim.refaulted_active_bytes else {
        let reason = "no hook on workingset_refault here".to_owned();
        return Ok(Outcome::Skipped(reason));
    };
    let told = told / host.page_bytes;
    watched.compare("activated", Some(told), watched.kernel.activated)?;
    let refaulted = watched.reclaim.refaulted_bytes.map(|b| b / host.page_bytes);
    watched.compare("refaulted", refaulted, watched.kernel.refaulted)?;
    ensure!(
        told > 1_000,
        "the workload activated {told} pages only: {:?}, active_file {} before, {} after",
        watched.kernel,
        before,
        room.cgroup.key("memory.stat", "active_file").unwrap_or(0)
    );
    let answer = &watched.explained.answer;
    let credited = answer.caused("active_file", |cause| {
        cause.kind == "refault" && cause.is_of(&looped.path, looped.inode) && cause.is_by(reader)
    });
    let credited = credited as u64 / host.page_bytes;
    // A page that was still in a batch is not on the list yet.
    ensure!(
        credited.abs_diff(told) <= told / 100 + crate::bound::batch_pages(host),
        "{credited} of {told} pages credited: {}",
        answer.causes_in_words()
    );
    let figure = format!("{credited} credited to the reader");
    watched.figures.push(figure);
    Ok(watched.passed())
}
