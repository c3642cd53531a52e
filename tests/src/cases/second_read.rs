//! F2 (a) and (b): the 100 MiB experiment. A new file is inactive; reading it twice more moves it
//! into the working set.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use super::{
    room::{CaseFile, Room, ensure_share},
    rungs::{BEST, READERS_ONLY, WITHOUT_FENTRY, check_credit},
};
use crate::{
    host::Host,
    oracle::{self, FilePages},
    process::{command, run_in},
    suite::Outcome,
};

const FILE_BYTES: u64 = 100 << 20;
/// Files written in the hope of one without large folios.
const TRIES: u32 = 5;

/// (a) A new file grows inactive_file, not the working set, but for the kernel's own memory.
pub(super) fn new_file(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let bytes = host.file_bytes(FILE_BYTES)?;
    let path = room.folder().join("new");
    let watch = room.watch()?;
    let mut arguments = vec!["if=/dev/zero".into(), "bs=1048576".into()];
    arguments.push(format!("count={}", bytes >> 20));
    arguments.push(format!("of={}", path.display()));
    run_in(&room.cgroup, command(Path::new("dd"), arguments))?;
    rustix::fs::sync();
    let explained = watch.finish()?;

    let [_, before, after, _] = explained
        .readings
        .unwrap_or_else(|| unreachable!("watched"));
    let inactive = after.inactive_file_bytes as i64 - before.inactive_file_bytes as i64;
    ensure_share("inactive_file", inactive, bytes as i64, 0.99, String::new)?;
    let answer = &explained.answer;
    let kernel = answer.kernel_bytes();
    let rest = answer.working_set.delta_bytes - kernel;
    ensure!(
        rest.abs() < 1 << 20,
        "the working set grew by {} bytes, of which {kernel} are named as kernel memory: {:?}",
        answer.working_set.delta_bytes,
        answer.components
    );
    ensure!(
        kernel > 0,
        "no kernel memory named: {:?}",
        answer.components
    );
    let figures = explained.figures();
    Ok(Outcome::Passed(format!(
        "{figures}, inactive_file {inactive:+}, kernel {kernel:+}, rest {rest:+}"
    )))
}

/// (b) with a file of one page per folio.
pub(super) fn small_folios(host: &Host) -> anyhow::Result<Outcome> {
    second_read(host, host.page_bytes, false, &BEST)
}

/// (b) with a kprobe in the trampoline's place, where there are kprobes.
pub(super) fn without_fentry(host: &Host) -> anyhow::Result<Outcome> {
    second_read(host, host.page_bytes, false, &WITHOUT_FENTRY)
}

/// (b) with the table of readers only.
pub(super) fn readers_only(host: &Host) -> anyhow::Result<Outcome> {
    second_read(host, host.page_bytes, false, &READERS_ONLY)
}

/// (b) with a file of large folios.
pub(super) fn large_folios(host: &Host) -> anyhow::Result<Outcome> {
    second_read(host, 1 << 20, true, &BEST)
}

/// A file written in such chunks. The kernel decides what its folios are: 7.2 makes a few large ones of
/// single pages now and then, and another file is written where none is wanted.
fn written(room: &Room<'_>, chunk: u64, large: bool) -> anyhow::Result<(CaseFile, FilePages)> {
    let bytes = room.host.file_bytes(FILE_BYTES)?;
    let mut last = FilePages::default();
    for number in 0..TRIES {
        let file = room.write(&format!("data-{number}"), bytes, chunk)?;
        last = oracle::file_pages(&file.path, room.host.page_bytes)?;
        if large || last.large_folios == 0 {
            return Ok((file, last));
        }
        std::fs::remove_file(&file.path)
            .with_context(|| format!("remove {}", file.path.display()))?;
    }
    bail!("no file of small folios in {TRIES} tries: {last:?}")
}

fn second_read(host: &Host, chunk: u64, large: bool, options: &[&str]) -> anyhow::Result<Outcome> {
    if let Some(reason) = host.no_activations() {
        return Ok(Outcome::Skipped(reason));
    }
    let room = Room::new(host)?;
    let (file, folios) = written(&room, chunk, large)?;
    if large && folios.large_folios == 0 {
        return Ok(Outcome::Skipped(
            "this kernel's file system makes no large folios".to_owned(),
        ));
    }

    let watch = room.watch_with(options)?;
    room.cat(&file)?;
    let between = room.cgroup.read()?;
    let second = room.cat(&file)?;
    let explained = watch.finish()?;

    let mut growth = explained.active_file_growth_bytes()?;
    ensure_share("activated", growth, file.bytes as i64, 0.98, String::new)?;
    if let Some([_, before, ..]) = explained.readings
        && host.has_damon()
    {
        // What DAMON evicted before the first read came back by that, active already.
        growth -= between.active_file_bytes as i64 - before.active_file_bytes as i64;
    }
    let figure = check_credit(host, &explained, &file, second, growth)?;
    Ok(Outcome::Passed(format!(
        "{figure}, {} large folios, {}",
        folios.large_folios,
        explained.figures()
    )))
}

/// MGLRU knows no activation: none is invented, the change is memory.stat's, and the answer says
/// why.
pub(super) fn generations(host: &Host) -> anyhow::Result<Outcome> {
    if !host.multi_gen_lru {
        return Ok(Outcome::Skipped("classic LRU".to_owned()));
    }
    let room = Room::new(host)?;
    let watch = room.watch()?;
    let file = room.write("data", host.file_bytes(FILE_BYTES)?, host.page_bytes)?;
    room.cat(&file)?;
    room.cat(&file)?;
    let explained = watch.finish()?;

    let answer = &explained.answer;
    let invented: Vec<_> = answer
        .causes
        .iter()
        .filter(|cause| cause.component == "active_file" && cause.kind == "second_access")
        .collect();
    ensure!(invented.is_empty(), "invented: {invented:?}");
    let growth = explained.active_file_growth_bytes()?;
    ensure!(
        answer.component("active_file") == Some(growth),
        "active_file grew by {growth}: {:?}",
        answer.components
    );
    ensure!(
        answer.trust.warnings.iter().any(|one| one["id"] == "mglru"),
        "no word on MGLRU: {:?}",
        answer.trust.warnings
    );
    Ok(Outcome::Passed(format!(
        "active_file {growth:+}, {}",
        explained.figures()
    )))
}
