//! F2 (a) and (b): the 100 MiB experiment. A new file is inactive; reading it twice more moves it
//! into the working set.

use std::path::Path;

use anyhow::ensure;

use super::room::{CaseFile, Room, ensure_share};
use crate::{
    answer::Cause,
    host::Host,
    oracle,
    process::{command, run_in},
    suite::Outcome,
};

const FILE_BYTES: u64 = 100 << 20;

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
    second_read(host, host.page_bytes, false)
}

/// (b) with a file of large folios.
pub(super) fn large_folios(host: &Host) -> anyhow::Result<Outcome> {
    second_read(host, 1 << 20, true)
}

fn second_read(host: &Host, chunk: u64, large: bool) -> anyhow::Result<Outcome> {
    if let Some(reason) = host.no_activations() {
        return Ok(Outcome::Skipped(reason));
    }
    let room = Room::new(host)?;
    let file = room.write("data", host.file_bytes(FILE_BYTES)?, chunk)?;
    let folios = oracle::file_pages(&file.path, host.page_bytes)?;
    if large && folios.large_folios == 0 {
        return Ok(Outcome::Skipped(
            "this kernel's file system makes no large folios".to_owned(),
        ));
    }
    ensure!(large || folios.large_folios == 0, "{folios:?}");

    let watch = room.watch()?;
    room.cat(&file)?;
    let second = room.cat(&file)?;
    let explained = watch.finish()?;

    let growth = explained.active_file_growth_bytes()?;
    ensure_share("activated", growth, file.bytes as i64, 0.98, String::new)?;
    let answer = &explained.answer;
    let credited = answer.caused("active_file", |cause| is_read(cause, &file, second));
    let figure = ensure_share("credited", credited, growth, 0.99, || {
        answer.causes_in_words()
    })?;
    let certain = answer.caused("active_file", |cause| {
        is_read(cause, &file, second) && cause.task.as_ref().is_some_and(|task| task.certain)
    });
    Ok(Outcome::Passed(format!(
        "{figure}, {certain} of them certain, {} large folios, {}",
        folios.large_folios,
        explained.figures()
    )))
}

fn is_read(cause: &Cause, file: &CaseFile, pid: u32) -> bool {
    cause.is_of(&file.path, file.inode) && cause.is_by(pid)
}
