//! Reports that wait to be sent. Pure.

use std::collections::VecDeque;

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;

/// Bytes that wait at most: a report is some tens of KiB.
const MAX_BYTES: usize = 2 << 20;
/// Bytes of one request.
const MAX_REQUEST_BYTES: usize = 512 << 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// (its size, the record), oldest first.
    waiting: VecDeque<(usize, LogRecord)>,
    bytes: usize,
}

impl Queue {
    /// Adds one; the oldest go for it where there is no room. How many were dropped.
    pub(super) fn push(&mut self, record: LogRecord) -> u64 {
        let bytes = record.encoded_len();
        if bytes > MAX_BYTES {
            return 1;
        }
        let mut dropped = 0;
        while self.bytes + bytes > MAX_BYTES {
            self.pop();
            dropped += 1;
        }
        self.bytes += bytes;
        self.waiting.push_back((bytes, record));
        dropped
    }

    fn pop(&mut self) {
        if let Some((bytes, _)) = self.waiting.pop_front() {
            self.bytes -= bytes;
        }
    }

    /// The oldest, as many as fit one request; they stay until they are [`done`](Self::done).
    pub(super) fn next(&self) -> Vec<LogRecord> {
        let mut bytes = 0;
        let fits = |(size, _): &&(usize, LogRecord)| {
            bytes += size;
            // One alone may be larger.
            bytes == *size || bytes <= MAX_REQUEST_BYTES
        };
        let first = self.waiting.iter().take_while(fits);
        first.map(|(_, record)| record.clone()).collect()
    }

    /// The oldest `count` were taken, or refused for good.
    pub(super) fn done(&mut self, count: usize) {
        for _ in 0..count {
            self.pop();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, bytes: usize) -> LogRecord {
        LogRecord {
            event_name: name.to_owned(),
            severity_text: "x".repeat(bytes),
            ..LogRecord::default()
        }
    }

    #[test]
    fn the_oldest_go_first_and_what_is_dropped_is_counted() {
        let mut queue = Queue::default();
        let mut dropped = 0;
        for number in 0..30 {
            dropped += queue.push(record(&number.to_string(), 100_000));
        }
        assert_eq!(dropped as usize + queue.len(), 30);
        assert!(queue.bytes <= MAX_BYTES && queue.len() == 20);
        let next = queue.next();
        assert_eq!((next.len(), next[0].event_name.as_str()), (5, "10"));
        queue.done(5);
        assert_eq!(queue.next()[0].event_name, "15");
        assert_eq!(queue.push(record("huge", 3 << 20)), 1);
        assert_eq!(queue.push(record("large", 1 << 20)), 5);
        queue.done(10);
        assert_eq!(queue.next().len(), 1);
        queue.done(1);
        assert_eq!((queue.len(), queue.bytes), (0, 0));
        assert!(queue.next().is_empty());
    }
}
