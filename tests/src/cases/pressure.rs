//! Would it come back? What `explain` promises is tried: the cgroup is put under pressure, and what
//! left is compared with what was said.

use std::fs;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::{room::Room, swap::Swap};
use crate::{
    cgroup::{Reading, Version},
    host::Host,
    suite::Outcome,
};

/// Of what was promised to come back, at least so much must leave.
const LEAVES: f64 = 0.90;
/// Of what was said to stay, no more than so much may leave.
const STAYS: f64 = 0.02;

#[derive(Deserialize)]
struct Comeback {
    now_bytes: u64,
    after_writeback_bytes: u64,
    to_swap_bytes: u64,
    perhaps_bytes: u64,
    stays_bytes: u64,
}

/// A file read twice, one just written, anonymous memory and a tmpfs file, under a limit that leaves
/// room only for what is said to stay.
pub(super) fn promises(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let watch = room.watch()?;
    let read = room.write_and_read("read", host.file_bytes(48 << 20)?)?;
    room.hog(&["reread", read.text()?, "2"])?;
    room.write("written", host.file_bytes(16 << 20)?, host.page_bytes)?;
    let mut hog = room.hog_holding(&["anon", &(32_u64 << 20).to_string()])?;
    let explained = watch.finish()?;
    let answer: serde_json::Value = serde_json::from_slice(&explained.finished.stdout)?;
    let comeback: Comeback = serde_json::from_value(answer["would_come_back"].clone())
        .with_context(|| format!("would_come_back: {}", answer["would_come_back"]))?;
    let before = room.cgroup.read()?;
    let total = comeback.now_bytes
        + comeback.after_writeback_bytes
        + comeback.to_swap_bytes
        + comeback.perhaps_bytes
        + comeback.stays_bytes;
    let working_set = explained.answer.working_set.after_bytes;
    ensure!(
        total == working_set,
        "the parts sum up to {total}, not {working_set}"
    );
    ensure!(
        comeback.to_swap_bytes == 0 || has_swap()?,
        "swap without swap"
    );

    let promised = comeback.now_bytes + comeback.after_writeback_bytes;
    // Under MGLRU a second read(2) moves nothing into the working set, so there is nothing to promise.
    ensure!(
        promised > 0 || host.multi_gen_lru,
        "{promised} bytes are promised: {}",
        answer["would_come_back"]
    );
    room.squeeze(comeback.stays_bytes + comeback.perhaps_bytes)?;
    let after = room.cgroup.read_settled()?;
    hog.release();
    hog.wait()?;

    let left = before
        .active_file_bytes
        .saturating_sub(after.active_file_bytes);
    ensure!(
        left as f64 >= LEAVES * promised as f64,
        "{promised} were to come back, {left} did: {before:?} -> {after:?}"
    );
    let kept = beside_files(&before).saturating_sub(beside_files(&after));
    let may_leave = comeback.perhaps_bytes + (STAYS * comeback.stays_bytes as f64) as u64;
    // Pages that a CPU had charged in advance are given back under pressure (mm/memcontrol.c,
    // `drain_all_stock`), up to `MEMCG_CHARGE_BATCH` a CPU.
    let stock = 64 * host.cpus * host.page_bytes;
    ensure!(
        kept <= may_leave + stock,
        "{} were to stay, {kept} left (stock {stock}): {before:?} -> {after:?}",
        comeback.stays_bytes
    );
    Ok(Outcome::Passed(format!(
        "of {promised} promised {left} came back; of {} said to stay {kept} left",
        comeback.stays_bytes
    )))
}

/// With swap, what is promised to go there goes there.
pub(super) fn promises_with_swap(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let bytes = host.scaled(64 << 20).max(24 << 20);
    let _swap = match Swap::on(&room.folder().join("swap"), 2 * bytes) {
        Ok(swap) => swap,
        Err(error) => {
            return Ok(Outcome::Skipped(format!(
                "no swap to be had here: {error:#}"
            )));
        }
    };
    let mut hog = room.hog_holding(&["anon", &bytes.to_string()])?;
    let explained = room.watch()?.finish()?;
    let answer: serde_json::Value = serde_json::from_slice(&explained.finished.stdout)?;
    let comeback: Comeback = serde_json::from_value(answer["would_come_back"].clone())
        .with_context(|| format!("would_come_back: {}", answer["would_come_back"]))?;
    ensure!(
        comeback.to_swap_bytes >= bytes,
        "{bytes} bytes of anonymous memory, and {} of them could go to swap",
        comeback.to_swap_bytes
    );
    let anon = || {
        let key = match room.cgroup.version() {
            Version::V1 => "rss",
            Version::V2 => "anon",
        };
        room.cgroup.key("memory.stat", key).context("no anon")
    };
    let before = (anon()?, room.cgroup.read()?);
    room.squeeze(comeback.stays_bytes + comeback.perhaps_bytes)?;
    let rest = room.cgroup.read_settled()?;
    let left = before.0.saturating_sub(anon()?);
    hog.release();
    hog.wait()?;
    ensure!(
        left as f64 >= LEAVES * comeback.to_swap_bytes as f64,
        "{} were to go to swap, {left} did",
        comeback.to_swap_bytes
    );
    let beside = |reading: &Reading, anon: u64| beside_files(reading).saturating_sub(anon);
    let kept = beside(&before.1, before.0).saturating_sub(beside(&rest, before.0 - left));
    let may_leave = comeback.perhaps_bytes + (STAYS * comeback.stays_bytes as f64) as u64;
    let stock = 64 * host.cpus * host.page_bytes;
    ensure!(
        kept <= may_leave + stock,
        "{} were to stay, {kept} left (stock {stock})",
        comeback.stays_bytes
    );
    Ok(Outcome::Passed(format!(
        "of {} promised to swap {left} went; of {} said to stay {kept} left",
        comeback.to_swap_bytes, comeback.stays_bytes
    )))
}

/// What is charged beside page cache on the two file lists.
fn beside_files(reading: &Reading) -> u64 {
    reading
        .working_set_bytes()
        .saturating_sub(reading.active_file_bytes)
}

fn has_swap() -> anyhow::Result<bool> {
    let swaps = fs::read_to_string("/proc/swaps").context("/proc/swaps")?;
    Ok(swaps.lines().count() > 1)
}
