//! F2 (d): anonymous memory, held and freed.

use anyhow::{Context as _, ensure};

use super::{
    room::{Room, ensure_share, truth},
    scenario::verdict,
};
use crate::{host::Host, session::explain_command, suite::Outcome};

const BYTES: i64 = 64 << 20;

/// 64 MiB that a process holds are its own.
pub(super) fn held(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let watch = room.watch()?;
    let mut hog = room.hog_holding(&["anon", &BYTES.to_string()])?;
    let explained = watch.finish()?;
    let pid = hog.pid();
    hog.release();
    hog.wait()?;

    let answer = &explained.answer;
    let grown = answer.component("anon").context("no component anon")?;
    ensure_share("anon", grown, BYTES, 0.97, || {
        format!("{:?}", answer.components)
    })?;
    let own = answer.caused("anon", |cause| cause.is_by(pid));
    let figure = ensure_share("credited", own, BYTES, 0.97, || answer.causes_in_words())?;
    Ok(Outcome::Passed(format!(
        "{figure}, {}",
        explained.figures()
    )))
}

/// Huge pages of which one page in 512 is still mapped stay charged as they are until the kernel splits
/// them under pressure (mm/huge_memory.c, `deferred_split_folio`). The counter of mapped anonymous
/// memory has that page alone, the LRU lists have all; and under pressure the rest does come back.
pub(super) fn huge_pages_in_part(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let bytes = host.scaled(BYTES as u64) as i64;
    let watch = room.watch()?;
    let mut hog = room.hog_holding(&["split-huge", &bytes.to_string()])?;
    let explained = watch.finish()?;
    // More than is mapped, less than is charged. v2 kills if it cannot free so much: the hog would end
    // with an error. v1 gives up after one pass that freed no page by itself, which splitting does not
    // count as (mm/memcontrol-v1.c, `mem_cgroup_resize_max`), so it is asked again.
    let mut asked = 1;
    while let Err(error) = room.cgroup.set_limit(bytes as u64 / 4) {
        ensure!(asked < 50, "after {asked} passes: {error:#}");
        asked += 1;
    }
    let pressed = room.cgroup.read()?.usage_bytes as i64;
    hog.release();
    hog.wait()?;

    let answer = &explained.answer;
    let [_, before, after, _] = explained.readings.context("not watched")?;
    let charged = after.usage_bytes as i64 - before.usage_bytes as i64;
    if charged < bytes {
        let reason = format!("no huge pages to be had here: {charged} bytes charged of {bytes}");
        return Ok(Outcome::Skipped(reason));
    }
    let given_back = answer.component("lru_unmapped").unwrap_or(0);
    let figure = ensure_share("given back", given_back, bytes, 0.97, || {
        format!("{:?}", answer.components)
    })?;
    ensure!(
        pressed < bytes / 4,
        "{pressed} bytes are charged under pressure"
    );
    let (rule, said) = verdict(&explained)?;
    ensure!(rule == "lru_unmapped", "{rule}: {said}");
    Ok(Outcome::Passed(format!(
        "{figure}, {pressed} bytes under pressure; {said}"
    )))
}

/// 64 MiB that a command allocated and freed show in the phases and the peak.
pub(super) fn freed(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let command = room.hog_command(&["anon", &BYTES.to_string(), "--hold", "1", "--linger", "0.5"]);
    let explained = explain_command(host, room.folder(), &command, 0)?;
    let answer = &explained.answer;
    let pid = pid_in(&explained.finished.stdout)?;
    let peak = answer.working_set.peak_bytes.context("no peak_bytes")?;
    let rise = peak as i64 - answer.working_set.before_bytes as i64;
    ensure!(
        rise >= BYTES,
        "peak_bytes {peak} is only {rise} above the start"
    );
    let mut figures = vec![format!("peak {rise:+}")];
    for (name, sign) in [("before_to_peak", 1), ("peak_to_after", -1)] {
        let phase = answer.phase(name)?;
        let change = phase.component("anon").context("no component anon")?;
        let context = || format!("{phase:?}");
        figures.push(ensure_share(name, change, sign * BYTES, 0.97, context)?);
        let own = phase.caused("anon", |cause| cause.is_by(pid));
        ensure_share("credited", own, sign * BYTES, 0.97, context)?;
    }
    Ok(Outcome::Passed(format!(
        "{}, {}",
        figures.join(", "),
        explained.figures()
    )))
}

/// The pid that the workload printed before the answer.
fn pid_in(stdout: &[u8]) -> anyhow::Result<u32> {
    let first = stdout.split(|byte| *byte == b'\n').next().unwrap_or(stdout);
    let said: serde_json::Value = truth(first)?;
    said["pid"]
        .as_u64()
        .and_then(|pid| pid.try_into().ok())
        .context("the workload printed no pid")
}
