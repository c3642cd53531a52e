//! F5: a recording that was cut short or altered is replayed as far as it is whole, with a word on
//! what is missing; it never makes memtrace panic, nor tell a wrong number in silence.

use std::fs;

use anyhow::{Context as _, ensure};

use serde_json::Value;

use super::room::{Room, text};
use crate::{
    host::Host,
    process::Finished,
    session::{Explained, replay},
    suite::Outcome,
};

/// Of each kind of damage. Reading a recording asks nothing of the kernel, so an emulated machine,
/// where it is slow, tries fewer.
const TRIALS: u64 = 100;
const TRIALS_EMULATED: u64 = 10;

pub(super) fn damaged_recordings(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let file = room.write_and_read("data", 8 << 20)?;
    let watch = room.watch()?;
    room.cat(&file)?;
    room.hog(&["litter", text(room.folder())?, "100"])?;
    let explained = watch.finish()?;
    let whole = fs::read(&explained.recording).context("reading the recording")?;

    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut partial, mut refused, mut unharmed) = (0, 0, 0);
    let damaged = room.folder().join("damaged");
    let trials = if host.is_emulated() {
        TRIALS_EMULATED
    } else {
        TRIALS
    };
    for trial in 0..2 * trials {
        let mut bytes = whole.clone();
        let damage = if trial < trials {
            let length = random.below(whole.len() as u64) as usize;
            bytes.truncate(length);
            format!("cut to {length} of {} bytes", whole.len())
        } else {
            let bit = random.below(whole.len() as u64 * 8);
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            format!("bit {bit} of {} bytes flipped", whole.len())
        };
        fs::write(&damaged, &bytes).context("writing the damaged recording")?;
        let replayed = replay(host, &damaged)?;
        match judge(&explained, &replayed).with_context(|| damage)? {
            Verdict::Partial => partial += 1,
            Verdict::Refused => refused += 1,
            Verdict::Unharmed => unharmed += 1,
        }
    }
    Ok(Outcome::Passed(format!(
        "{} bytes; of {} damaged: {partial} told in part, {refused} refused, {unharmed} unharmed",
        whole.len(),
        2 * trials
    )))
}

enum Verdict {
    /// An answer, with a warning that the whole one has not, and exit code 1.
    Partial,
    /// No answer, with a message, and exit code 1.
    Refused,
    /// The same answer to the byte.
    Unharmed,
}

fn judge(live: &Explained, replayed: &Finished) -> anyhow::Result<Verdict> {
    let said = &replayed.stderr;
    ensure!(!said.contains("panicked"), "{said}");
    let code = replayed.status.code();
    if code == Some(0) && replayed.stdout == live.finished.stdout {
        return Ok(Verdict::Unharmed);
    }
    ensure!(
        code == Some(1) && !said.trim().is_empty(),
        "{}, and said {said:?}",
        replayed.status
    );
    if replayed.stdout.is_empty() {
        return Ok(Verdict::Refused);
    }
    // Parts may be missing, so it need not be a whole answer.
    let answer: Value = serde_json::from_slice(&replayed.stdout)?;
    let warnings = answer["trust"]["warnings"].as_array();
    let known = &live.answer.trust.warnings;
    ensure!(
        warnings.is_some_and(|told| told.iter().any(|one| !known.contains(one))),
        "another answer without a new warning: {warnings:?}"
    );
    Ok(Verdict::Partial)
}

/// xorshift64: the same damage in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
