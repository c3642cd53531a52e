//! Instants and durations as text.

use std::time::{Duration, UNIX_EPOCH};

/// `2026-11-21T02:14:07.312000123Z`: RFC 3339, UTC, from ns since 1970.
pub(super) fn rfc3339(unix_ns: u64) -> String {
    humantime::format_rfc3339_nanos(UNIX_EPOCH + Duration::from_nanos(unix_ns)).to_string()
}

/// Seconds from ns.
pub(super) fn seconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64()
}
