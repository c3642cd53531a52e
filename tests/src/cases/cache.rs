//! F2 (f) and (g): page cache that goes, and page cache that two cgroups share.

use anyhow::{Context as _, ensure};

use super::{
    room::{Room, cat_in, ensure_share},
    rungs::{BEST, READERS_ONLY, check_credit},
};
use crate::{cgroup::TestCgroup, host::Host, oracle, suite::Outcome};

/// (f) `POSIX_FADV_DONTNEED` on an active file: the fall is explained.
pub(super) fn dropped(host: &Host) -> anyhow::Result<Outcome> {
    if let Some(reason) = host.no_activations() {
        return Ok(Outcome::Skipped(reason));
    }
    let room = Room::new(host)?;
    let file = room.write_and_read("data", host.file_bytes(48 << 20)?)?;
    room.hog(&["reread", file.text()?, "1"])?;
    let watch = room.watch()?;
    let pid = room.hog(&["fadvise", file.text()?])?.pid;
    let explained = watch.finish()?;

    let fall = explained.active_file_growth_bytes()?;
    ensure_share("fell", fall, -(file.bytes as i64), 0.98, String::new)?;
    let answer = &explained.answer;
    let explained_fall = answer.caused("active_file", |cause| {
        cause.kind == "removed" && cause.is_of(&file.path, file.inode) && cause.is_by(pid)
    });
    let figure = ensure_share("explained", explained_fall, fall, 0.99, || {
        answer.causes_in_words()
    })?;
    Ok(Outcome::Passed(format!(
        "{figure}, {}",
        explained.figures()
    )))
}

/// (g) Written by one cgroup, which pays, and read by a process of another.
pub(super) fn shared(host: &Host) -> anyhow::Result<Outcome> {
    written_here_read_there(host, &BEST)
}

/// (g) with the best rung forced off.
pub(super) fn shared_without_fentry(host: &Host) -> anyhow::Result<Outcome> {
    written_here_read_there(host, &READERS_ONLY)
}

fn written_here_read_there(host: &Host, options: &[&str]) -> anyhow::Result<Outcome> {
    if let Some(reason) = host.no_activations() {
        return Ok(Outcome::Skipped(reason));
    }
    let room = Room::new(host)?;
    let reader = TestCgroup::create(&host.hierarchy)?;
    let file = room.write("data", host.file_bytes(32 << 20)?, host.page_bytes)?;
    let watch = room.watch_with(options)?;
    cat_in(&reader, &file)?;
    let second = cat_in(&reader, &file)?;
    let explained = watch.finish()?;

    let growth = explained.active_file_growth_bytes()?;
    ensure_share("activated", growth, file.bytes as i64, 0.98, String::new)?;
    let answer = &explained.answer;
    let owner = room.cgroup.name();
    let elsewhere = answer.caused("active_file", |cause| {
        cause.charged_cgroup.as_deref() != Some(&owner)
    });
    ensure!(
        elsewhere == 0,
        "{elsewhere} bytes are not charged to {owner}: {:?}",
        answer.causes
    );
    let figure = check_credit(host, &explained, &file, second, growth)?;
    Ok(Outcome::Passed(format!(
        "{figure}, {}",
        explained.figures()
    )))
}

/// Pages that were not in the cache are put down to the process that reads them in and to the file,
/// on any LRU.
pub(super) fn brought_in(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let bytes = host.file_bytes(32 << 20)? / 4;
    let files = [
        room.write("first", bytes, host.page_bytes)?,
        room.write("second", bytes, host.page_bytes)?,
    ];
    for file in &files {
        room.hog(&["fadvise", file.text()?])?;
    }
    let watch = room.watch()?;
    let pids = [room.cat(&files[0])?, room.cat(&files[1])?];
    let explained = watch.finish()?;
    let answer: serde_json::Value = serde_json::from_slice(&explained.finished.stdout)?;
    let rows = answer["page_cache"]["rows"].as_array();
    let rows = rows.context("the answer has no page_cache.rows")?;
    let mut figures = Vec::new();
    for (file, pid) in files.iter().zip(pids) {
        let read_in: i64 = (rows.iter())
            .filter(|row| row["kind"] == "cache_added" && row["task"]["pid"] == pid)
            .filter(|row| row["file"]["path"].as_str() == file.text().ok())
            .filter_map(|row| row["bytes"].as_i64())
            .sum();
        figures.push(ensure_share(
            "read in",
            read_in,
            bytes as i64,
            0.995,
            || format!("{rows:?}"),
        )?);
    }
    Ok(Outcome::Passed(format!(
        "{}, {}",
        figures.join(", "),
        explained.figures()
    )))
}

/// The kernel's own word, page by page, agrees with memtrace's count of what became active.
pub(super) fn oracle(host: &Host) -> anyhow::Result<Outcome> {
    if let Some(reason) = host.no_activations() {
        return Ok(Outcome::Skipped(reason));
    }
    let room = Room::new(host)?;
    let bytes = host.file_bytes(64 << 20)? / 4;
    let half = bytes / host.page_bytes / 2;
    let (whole, part, once) = (
        room.write_and_read("whole", 2 * bytes)?,
        room.write_and_read("part", bytes)?,
        room.write("once", bytes, host.page_bytes)?,
    );
    let watch = room.watch()?;
    room.cat(&whole)?;
    let pages = half.to_string();
    room.hog(&["turns", part.text()?, "--pages", &pages, "--rounds", "1"])?;
    room.cat(&once)?;
    let explained = watch.finish()?;

    let batch = crate::bound::batch_pages(host);
    let mut figures = Vec::new();
    for (file, expected) in [(&whole, 2 * bytes), (&part, bytes / 2), (&once, 0)] {
        let kernel = oracle::file_pages(&file.path, host.page_bytes)?.active;
        let told = explained
            .answer
            .caused("active_file", |cause| cause.is_of(&file.path, file.inode))
            / host.page_bytes as i64;
        let name = file.path.file_name().unwrap_or_default().display();
        figures.push(format!("{name}: {told} pages told, {kernel} active"));
        ensure!(
            told.abs_diff(kernel as i64) <= batch,
            "{figures:?}, more than {batch} apart: {}",
            explained.answer.causes_in_words()
        );
        ensure!(
            kernel.abs_diff(expected / host.page_bytes) <= batch,
            "the workload did not do what it should: {figures:?}"
        );
    }
    Ok(Outcome::Passed(format!(
        "{}, {}",
        figures.join(", "),
        explained.figures()
    )))
}
