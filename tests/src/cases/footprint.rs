//! F8: the size of the program and the time it takes to attach.

use std::fs;

use anyhow::{Context as _, ensure};

use super::room::Room;
use crate::{host::Host, suite::Outcome};

const MAX_BYTES: u64 = 12 << 20;
const MAX_ATTACH_SECONDS: f64 = 0.3;

pub(super) fn binary_size(host: &Host) -> anyhow::Result<Outcome> {
    if host.is_debug_build() {
        return Ok(Outcome::Skipped("not a release build".to_owned()));
    }
    let bytes = fs::metadata(&host.memtrace)
        .with_context(|| host.memtrace.display().to_string())?
        .len();
    ensure!(bytes < MAX_BYTES, "{bytes} bytes");
    Ok(Outcome::Passed(format!("{bytes} bytes")))
}

pub(super) fn attach_time(host: &Host) -> anyhow::Result<Outcome> {
    if host.is_debug_build() {
        return Ok(Outcome::Skipped("not a release build".to_owned()));
    }
    if host.is_emulated() {
        return Ok(Outcome::Skipped("an emulated CPU".to_owned()));
    }
    let room = Room::new(host)?;
    let explained = room.watch()?.finish()?;
    let trust: serde_json::Value = serde_json::from_slice(&explained.finished.stdout)?;
    let seconds = trust["trust"]["attach_seconds"]
        .as_f64()
        .context("no trust.attach_seconds")?;
    ensure!(seconds <= MAX_ATTACH_SECONDS, "{seconds} s");
    Ok(Outcome::Passed(format!("{seconds} s")))
}
