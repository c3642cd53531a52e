//! What is kept of whom, and when.

use std::collections::BTreeSet;

use redb::ReadableTable as _;

use super::{MACHINE, MINUTES, ROWS, RowsByNumber, SUBJECTS, codec};
use crate::{
    model::past::{Instant, Span, Subject},
    store::{History, HistoryError},
};

impl History {
    /// Shows everybody of whom there may be rows, by number: there may be tens of thousands.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn each_subject(&self, mut to: impl FnMut(u32, Subject)) -> Result<(), HistoryError> {
        self.read("reading", |read| {
            let subjects = match read.open_table(SUBJECTS) {
                Ok(subjects) => subjects,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            for entry in subjects.iter()? {
                let (number, bytes) = entry?;
                // What a later version wrote is nobody that this one knows.
                if let Ok(subject) = serde_json::from_slice(bytes.value()) {
                    to(number.value(), subject);
                }
            }
            Ok(())
        })
    }

    /// The minutes that touch a time, oldest first.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn spans(&self, since: Instant, until: Instant) -> Result<Vec<Span>, HistoryError> {
        self.read("reading", |read| {
            let minutes = match read.open_table(MINUTES) {
                Ok(minutes) => minutes,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            };
            let mut spans = Vec::new();
            for entry in minutes.range(..until.0)? {
                let (from, rest) = entry?;
                let (end, _) = rest.value();
                if end > since.0 {
                    spans.push(Span {
                        from: Instant(from.value()),
                        until: Instant(end),
                    });
                }
            }
            Ok(spans)
        })
    }

    /// The rows of some series in some minutes, oldest first.
    ///
    /// # Errors
    /// If the file cannot be read, or holds what is no row.
    pub fn rows(
        &self,
        spans: &[Span],
        numbers: &BTreeSet<u32>,
    ) -> Result<RowsByNumber, HistoryError> {
        let mut rows = RowsByNumber::new();
        if spans.is_empty() {
            return Ok(rows);
        }
        let mut damaged = None;
        self.read("reading", |read| {
            let table = read.open_table(ROWS)?;
            for span in spans {
                let start = span.from.0;
                let mut at = MACHINE;
                // From the chunk that may have the first number on, to the one that has the last.
                let Some((first, last)) = numbers.first().zip(numbers.last()) else {
                    break;
                };
                if let Some(chunk) = table.range((start, 0)..=(start, *first))?.next_back() {
                    at = chunk?.0.value().1;
                }
                for chunk in table.range((start, at)..=(start, *last))? {
                    let (_, bytes) = chunk?;
                    if let Err(error) = decode(bytes.value(), *span, numbers, &mut rows) {
                        damaged = Some(error);
                    }
                }
            }
            Ok(())
        })?;
        match damaged {
            None => Ok(rows),
            Some(error) => Err(HistoryError::Row {
                path: self.path.clone(),
                reason: error.to_string(),
            }),
        }
    }
}

fn decode(
    mut bytes: &[u8],
    span: Span,
    numbers: &BTreeSet<u32>,
    to: &mut RowsByNumber,
) -> Result<(), codec::Damaged> {
    while !bytes.is_empty() {
        let number = u32::try_from(codec::take(&mut bytes)?).map_err(|_| codec::Damaged)?;
        let row = codec::read(&mut bytes)?;
        if numbers.contains(&number) {
            to.entry(number).or_default().push((span, row));
        }
    }
    Ok(())
}
