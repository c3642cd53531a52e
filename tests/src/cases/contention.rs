//! V5: tracepoint programs that the kernel may preempt (from 7.2 on) are skipped when the same one
//! is at work on that CPU already. Each skipped call is counted, told and warned of.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use super::{room::Room, rungs::READERS_ONLY};
use crate::{
    host::Host,
    process::{self, Running},
    session::Explained,
    suite::Outcome,
};

/// Runs until one has met a hook at work.
const TRIES: u32 = 4;
/// How long a reader is disturbed.
const DISTURBED: Duration = Duration::from_secs(2);

/// A real-time task reads on the CPU of an ordinary reader, and so interrupts its hooks.
pub(super) fn skipped_calls(host: &Host) -> anyhow::Result<Outcome> {
    if !host.preemptible_hooks() {
        return Ok(Outcome::Skipped(
            "this kernel runs tracepoint programs without preemption, so none is skipped"
                .to_owned(),
        ));
    }
    let mut tries = 0;
    // When a hook is interrupted is chance: a second reader may have come late.
    let (explained, skipped) = loop {
        tries += 1;
        let explained = disturbed(host)?;
        let skipped: Vec<_> = (explained.answer.trust.hooks.iter())
            .filter(|hook| hook.recursion_misses > 0)
            .map(|hook| format!("{} {} times", hook.hook, hook.recursion_misses))
            .collect();
        if !skipped.is_empty() || tries == TRIES {
            break (explained, skipped);
        }
    };
    let trust = &explained.answer.trust;
    ensure!(
        !skipped.is_empty(),
        "no hook was skipped, so the case proves nothing: {:?}",
        trust.hooks
    );
    ensure!(
        explained.answer.warns("events_lost"),
        "skipped {skipped:?}, and no warning: {:?}",
        trust.warnings
    );
    let message = (trust.warnings.iter())
        .find_map(|warning| {
            warning["message"]
                .as_str()
                .filter(|m| m.contains("skipped"))
        })
        .context("no warning says that calls were skipped")?;
    Ok(Outcome::Passed(format!(
        "skipped {}: {message:?}, {}",
        skipped.join(", "),
        explained.figures()
    )))
}

/// An explanation of a reader whose hooks are interrupted by another.
fn disturbed(host: &Host) -> anyhow::Result<Explained> {
    let room = Room::new(host)?;
    let victim = room.write("victim", 1 << 20, host.page_bytes)?;
    let disturber = room.write("disturber", 1 << 20, host.page_bytes)?;
    // The table of readers: a hook on each read, and outside of any lock.
    let watch = room.watch_with(&READERS_ONLY)?;
    let mut readers = Vec::new();
    for (file, how) in [
        (&victim, &["--pause-us", "0"][..]),
        (&disturber, &["--pause-us", "50", "--realtime"]),
    ] {
        let mut command = room.hog_command(&["read-pinned", file.text()?]);
        command.args(how);
        process::join(&mut command, &room.cgroup)?;
        readers.push(Running::start(&mut command)?);
    }
    std::thread::sleep(DISTURBED);
    for reader in readers {
        reader.signal(Signal::KILL)?;
        let finished = reader.wait()?;
        ensure!(finished.stderr.is_empty(), "{finished:?}");
    }
    watch.finish()
}
