//! Keeping a minute, and letting go what is too old or too much.

use std::io;

use redb::{ReadableTable as _, Table, WriteTransaction};

use super::{Dropped, MACHINE, MINUTES, Minute, ROWS, SUBJECTS};
use crate::{
    model::past::{Instant, Span, Subject},
    store::{History, HistoryError},
};

/// Rows are kept for so long.
const DAY_MS: u64 = 24 * HOUR_MS;
const HOUR_MS: u64 = 3_600 * 1_000;
/// What a chunk takes in the file besides its rows, bytes: its key, its place, the page's head.
const CHUNK_COSTS: u64 = 64;
/// A page of the file.
const PAGE_BYTES: u64 = 4_096;
/// What a subject takes, bytes: a path and names, as JSON.
const SUBJECT_COSTS: u64 = 512;

impl History {
    /// The number that the next new series gets. Those that the last agent wrote to have ended: nobody
    /// knows what became of them.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn begin_series(&mut self) -> Result<u32, HistoryError> {
        self.write("starting", |write| {
            let minutes = write.open_table(MINUTES)?;
            let end = minutes.last()?.map_or(0, |(_, rest)| rest.value().0);
            write.open_table(ROWS)?;
            let mut subjects = write.open_table(SUBJECTS)?;
            let last = subjects
                .last()?
                .map_or(MACHINE, |(number, _)| number.value());
            // Of a day's only those that were alive.
            let mut open = Vec::new();
            for entry in subjects.iter()? {
                let (number, bytes) = entry?;
                let subject: Option<Subject> = serde_json::from_slice(bytes.value()).ok();
                let alive = subject.filter(|one| one.ended.is_none());
                open.extend(alive.map(|one| (number.value(), one)));
            }
            for (number, mut subject) in open {
                subject.ended = Some(Instant(end));
                insert(&mut subjects, number, &subject)?;
            }
            Ok(last + 1)
        })
    }

    /// Keeps a minute, and lets go what is older than a day or does not fit into `max_bytes`.
    ///
    /// # Errors
    /// If it could not be written: then nothing of it was.
    pub fn keep_minute(
        &mut self,
        minute: &Minute,
        max_bytes: u64,
    ) -> Result<Dropped, HistoryError> {
        let Some(span) = minute.span else {
            return Ok(Dropped::default());
        };
        self.write("writing to", |write| {
            put(write, span, minute)?;
            let dropped = let_go(write, span.until, max_bytes)?;
            Ok(dropped)
        })
    }
}

fn put(write: &WriteTransaction, span: Span, minute: &Minute) -> Result<(), redb::Error> {
    let mut minutes = write.open_table(MINUTES)?;
    let mut start = span.from.0;
    // After the clock was set back a minute may be there already.
    while minutes.get(start)?.is_some() {
        start += 1;
    }
    let mut takes = minute.subjects.len() as u64 * SUBJECT_COSTS;
    let mut rows = write.open_table(ROWS)?;
    for (first, bytes) in &minute.chunks {
        rows.insert((start, *first), bytes.as_slice())?;
        let needed = bytes.len() as u64 + CHUNK_COSTS;
        takes += needed.next_power_of_two().max(PAGE_BYTES);
    }
    minutes.insert(start, (span.until.0, takes))?;
    let mut subjects = write.open_table(SUBJECTS)?;
    for (number, subject) in &minute.subjects {
        insert(&mut subjects, *number, subject)?;
    }
    Ok(())
}

fn insert(
    subjects: &mut Table<'_, u32, &[u8]>,
    number: u32,
    subject: &Subject,
) -> Result<(), redb::Error> {
    let json = serde_json::to_vec(subject).map_err(io::Error::other)?;
    subjects.insert(number, json.as_slice())?;
    Ok(())
}

/// Takes away the oldest minutes, and whoever has no row any more.
fn let_go(write: &WriteTransaction, now: Instant, max_bytes: u64) -> Result<Dropped, redb::Error> {
    let mut dropped = Dropped::default();
    let mut minutes = write.open_table(MINUTES)?;
    let mut taken: u64 = 0;
    for entry in minutes.iter()? {
        taken += entry?.1.value().1;
    }
    let mut rows = write.open_table(ROWS)?;
    let mut hour_is_over = false;
    loop {
        let oldest = minutes
            .first()?
            .map(|(start, rest)| (start.value(), rest.value()));
        let Some((start, (until, takes))) = oldest else {
            break;
        };
        let old = until.saturating_add(DAY_MS) < now.0;
        if !old && taken <= max_bytes {
            break;
        }
        dropped.minutes += u64::from(!old);
        taken -= takes;
        minutes.remove(start)?;
        rows.retain_in((start, 0)..=(start, u32::MAX), |_, _| false)?;
        hour_is_over |= start / HOUR_MS != until / HOUR_MS;
    }
    let oldest = minutes.first()?.map(|(start, _)| start.value());
    // All names have to be looked at for that: once an hour is enough.
    if let Some(oldest) = oldest.filter(|_| hour_is_over) {
        let mut subjects = write.open_table(SUBJECTS)?;
        subjects.retain(|_, bytes| {
            let subject: Result<Subject, _> = serde_json::from_slice(bytes);
            subject.is_ok_and(|one| one.ended.is_none_or(|ended| ended.0 >= oldest))
        })?;
    }
    Ok(dropped)
}
