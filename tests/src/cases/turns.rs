//! F2 (c), (h), (i): several tasks, several files, one CPU, and the kernel's batches between them.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::{
    room::{CaseFile, Room, ensure_share, truth},
    rungs::{BEST, READERS_ONLY, Rung, says_it_is_a_guess},
};
use crate::{answer::Cause, host::Host, process::Running, session::Explained, suite::Outcome};

/// Share of each reader's pages that must be credited right; of all together, what the rung promises.
const RIGHT: f64 = 0.98;

#[derive(Deserialize)]
struct Truth {
    readers: Vec<Reader>,
}

#[derive(Deserialize)]
struct Reader {
    pid: u32,
    file: PathBuf,
    inode: u64,
    pages: u64,
}

const OWN_FILES: [&str; 3] = ["own-0", "own-1", "own-2"];
const OWN_PAGES: [u64; 3] = [30, 3, 1];
const ONE_FILE: [&str; 1] = ["shared"];
const ONE_PAGES: [u64; 2] = [30, 1];

/// (c) Three readers on one CPU, each with a file of its own.
pub(super) fn own_files(host: &Host) -> anyhow::Result<Outcome> {
    turns(host, &OWN_FILES, &OWN_PAGES, &BEST, 0)
}

/// (c) with fentry and kprobe forced off.
pub(super) fn own_files_readers_only(host: &Host) -> anyhow::Result<Outcome> {
    turns(host, &OWN_FILES, &OWN_PAGES, &READERS_ONLY, 0)
}

/// (h) Two readers on one file in turns of 30 pages and 1 page.
pub(super) fn one_file(host: &Host) -> anyhow::Result<Outcome> {
    turns(host, &ONE_FILE, &ONE_PAGES, &BEST, 0)
}

/// (h) again, while on every CPU another task reads a cached file of its own as fast as it can.
pub(super) fn beside_streamers(host: &Host) -> anyhow::Result<Outcome> {
    turns(host, &ONE_FILE, &ONE_PAGES, &BEST, host.cpus)
}

fn turns(
    host: &Host,
    names: &[&str],
    pages: &[u64],
    options: &[&str],
    streamers: u64,
) -> anyhow::Result<Outcome> {
    if let Some(reason) = host.no_activations() {
        return Ok(Outcome::Skipped(reason));
    }
    let room = Room::new(host)?;
    let bytes = host.file_bytes(64 << 20)? / names.len().min(2) as u64;
    let per_round: u64 = match names {
        [_] => pages.iter().sum(),
        _ => pages.iter().copied().max().context("no readers")?,
    };
    let rounds = bytes / host.page_bytes / per_round;
    let mut arguments = vec!["turns".to_owned()];
    for (index, name) in names.iter().enumerate() {
        let share = if names.len() == 1 {
            per_round
        } else {
            pages[index]
        };
        let file = room.write_and_read(name, rounds * share * host.page_bytes)?;
        arguments.push(file.text()?.to_owned());
    }
    let list: Vec<String> = pages.iter().map(u64::to_string).collect();
    arguments.extend(["--pages".to_owned(), list.join(",")]);
    arguments.extend(["--rounds".to_owned(), rounds.to_string()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();

    let streamed = room.write_and_read("streamed", host.file_bytes(32 << 20)?)?;
    let streamed = streamed.text()?;
    let watch = room.watch_with(options)?;
    let streamers = (0..streamers)
        .map(|_| Running::start(&mut room.hog_command(&["reread", streamed, "1000000"])))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let truth: Truth = truth(&room.hog(&arguments)?.stdout)?;
    // Ends them.
    drop(streamers);
    let explained = watch.finish()?;
    let figures = credited(host, &truth, &explained)?;
    Ok(Outcome::Passed(format!(
        "{figures}, {}",
        explained.figures()
    )))
}

/// Each reader has its pages, and all of them together have theirs.
fn credited(host: &Host, truth: &Truth, explained: &Explained) -> anyhow::Result<String> {
    let answer = &explained.answer;
    let (mut right, mut whole, mut each) = (0, 0, Vec::new());
    for reader in &truth.readers {
        let own = answer.caused("active_file", |cause| {
            cause.is_of(&reader.file, reader.inode) && cause.is_by(reader.pid)
        });
        let read = (reader.pages * host.page_bytes) as i64;
        right += own;
        whole += read;
        each.push((reader.pid, own, read));
    }
    let words = || format!("{each:?}: {}", answer.causes_in_words());
    let rung = Rung::of(answer, host)?;
    if rung == Rung::Guess {
        return guessed(host, truth, explained, whole);
    }
    let figure = ensure_share("right", right, whole, rung.share(), words)?;
    for &(pid, own, read) in &each {
        ensure_share(&format!("reader {pid}"), own, read, RIGHT, words)?;
    }
    let parts: Vec<_> = each
        .iter()
        .map(|&(_, own, read)| format!("{:.2}%", 100.0 * own as f64 / read as f64))
        .collect();
    Ok(format!("{rung:?}: {figure}: {}", parts.join(" ")))
}

/// No hook saw the readers: the files are right, and no task is claimed for certain.
fn guessed(
    host: &Host,
    truth: &Truth,
    explained: &Explained,
    whole_bytes: i64,
) -> anyhow::Result<String> {
    let answer = &explained.answer;
    let of_files = |which: &dyn Fn(&Cause) -> bool| {
        answer.caused("active_file", |cause| {
            let of = |reader: &Reader| cause.is_of(&reader.file, reader.inode);
            truth.readers.iter().any(of) && which(cause)
        })
    };
    let figure = ensure_share(
        "of the files",
        of_files(&|_| true),
        whole_bytes,
        RIGHT,
        || answer.causes_in_words(),
    )?;
    let certain = |cause: &Cause| cause.task.as_ref().is_some_and(|task| task.certain);
    says_it_is_a_guess(host, explained, of_files(&certain))?;
    Ok(format!("Guess: {figure}, said"))
}

/// (i) One task, two files, page by page: the run table merges what alternates.
pub(super) fn two_files(host: &Host) -> anyhow::Result<Outcome> {
    if let Some(reason) = host.no_activations() {
        return Ok(Outcome::Skipped(reason));
    }
    let room = Room::new(host)?;
    let bytes = host.file_bytes(64 << 20)? / 2;
    let files: [CaseFile; 2] = [
        room.write_and_read("first", bytes)?,
        room.write_and_read("second", bytes)?,
    ];
    let watch = room.watch()?;
    let pid = room
        .hog(&["alternate", files[0].text()?, files[1].text()?])?
        .pid;
    let explained = watch.finish()?;

    let answer = &explained.answer;
    let mut figures = Vec::new();
    for file in &files {
        let own = answer.caused("active_file", |cause| {
            cause.is_of(&file.path, file.inode) && cause.is_by(pid)
        });
        figures.push(ensure_share("file", own, bytes as i64, RIGHT, || {
            answer.causes_in_words()
        })?);
    }
    let hook = answer
        .trust
        .hooks
        .iter()
        .find(|hook| hook.hook.contains("lru_activate"))
        .with_context(|| format!("no hook lru_activate: {:?}", answer.trust.hooks))?;
    ensure!(
        hook.records_sent * 100 <= hook.pages_produced,
        "{} records for {} activations",
        hook.records_sent,
        hook.pages_produced
    );
    Ok(Outcome::Passed(format!(
        "{}, {} records for {} activations, {}",
        figures.join(", "),
        hook.records_sent,
        hook.pages_produced,
        explained.figures()
    )))
}
