//! F4: every page that a hook counted is either told or said to be lost.

use std::{thread, time::Duration};

use anyhow::ensure;
use rustix::process::Signal;

use super::room::{Room, text};
use crate::{host::Host, session::Watch, suite::Outcome};

const ONE_PAGE_RING: [&str; 2] = ["--ring-bytes", "4096"];

/// A ring buffer of one page, and a reader that is stopped while thousands of files come and go.
pub(super) fn full_ring(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let watch = Watch::start_with(host, &room.cgroup, room.folder(), &ONE_PAGE_RING)?;
    watch.running().signal(Signal::STOP)?;
    let files = host.scaled(3000).max(1500);
    let littered = room.hog(&["litter", text(room.folder())?, &files.to_string()]);
    watch.running().signal(Signal::CONT)?;
    littered?;
    let explained = watch.finish_unchecked()?;
    explained.answer.check_conservation()?;
    let trust = &explained.answer.trust;
    ensure!(
        trust.pages_lost > 0 && trust.events_lost > 0,
        "{files} files went through a ring buffer of one page without a loss: {trust:?}"
    );
    ensure!(
        trust
            .warnings
            .iter()
            .any(|warning| warning["id"] == "events_lost"),
        "{} events lost and no warning",
        trust.events_lost
    );
    explained.check_ledger(host)?;
    explained.check_replay(host)?;
    Ok(Outcome::Passed(format!(
        "{} pages produced = {} seen + {} lost",
        trust.pages_produced, trust.pages_seen, trust.pages_lost
    )))
}

/// The same load at the default size loses nothing.
pub(super) fn default_ring(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let watch = room.watch()?;
    let files = host.scaled(1000);
    for _ in 0..4 {
        room.hog(&["litter", text(room.folder())?, &files.to_string()])?;
        // Runs age for 100 ms: some of each round are sent by age, some by collision.
        thread::sleep(Duration::from_millis(150));
    }
    let explained = watch.finish()?;
    ensure!(
        explained.answer.trust.pages_produced >= 8 * files,
        "{} pages came and went, but {:?}",
        4 * files,
        explained.answer.trust
    );
    Ok(Outcome::Passed(explained.figures()))
}
