//! Series: a row a minute of each watched cgroup, for a day.
//!
//! The rows of a minute are written together, in chunks by the number of their series: one transaction
//! a minute, and whoever asks for one series reads one chunk a minute. What there is no room for goes
//! oldest first. Names are kept for as long as a row of theirs may be there.

mod codec;
mod read;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use redb::TableDefinition;

use crate::model::past::{Row, Span, Subject};

/// Chunks of rows, by the start of their minute, ms, and the number of the first series in them.
const ROWS: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("series_rows");
/// Minutes by their start, ms: (end, ms; what its chunks take, bytes).
const MINUTES: TableDefinition<'_, u64, (u64, u64)> = TableDefinition::new("series_minutes");
/// Subjects by number, JSON.
const SUBJECTS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("series_subjects");

/// The number of the machine's own series.
pub const MACHINE: u32 = 0;
/// A chunk has at most so many bytes of rows. The file gives each a power of two of pages: large chunks
/// would waste it, small ones cost an entry each.
const CHUNK_BYTES: usize = 15_000;

/// What is written at a time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Minute {
    /// The time its rows are of.
    pub span: Option<Span>,
    /// Encoded rows: the number of the first series of each chunk, and its bytes.
    chunks: Vec<(u32, Vec<u8>)>,
    /// Who they are: those that are new, or whose name has changed.
    pub subjects: Vec<(u32, Subject)>,
}

impl Minute {
    /// Of rows by the number of their series, in its order.
    pub fn new<'a>(
        span: Span,
        rows: impl IntoIterator<Item = (u32, &'a Row)>,
        subjects: Vec<(u32, Subject)>,
    ) -> Self {
        let mut chunks: Vec<(u32, Vec<u8>)> = Vec::new();
        for (number, row) in rows {
            match chunks.last() {
                Some((_, bytes)) if bytes.len() < CHUNK_BYTES => {}
                _ => chunks.push((number, Vec::with_capacity(CHUNK_BYTES + 512))),
            }
            if let Some((_, bytes)) = chunks.last_mut() {
                codec::put(bytes, u64::from(number));
                codec::write(row, bytes);
            }
        }
        Self {
            span: Some(span),
            chunks,
            subjects,
        }
    }

    /// Bytes of all rows.
    pub(crate) fn rows_bytes(&self) -> usize {
        self.chunks.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

/// What became of a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Minutes that went since there was no room, though they were not a day old.
    pub minutes: u64,
}

/// Rows by the number of their series.
pub type RowsByNumber = BTreeMap<u32, Vec<(Span, Row)>>;
