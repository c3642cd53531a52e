//! Instants as people type them.

use std::time::Duration;

use jiff::{
    Timestamp, Zoned,
    civil::{DateTime, Time},
    tz::TimeZone,
};

/// What was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// An instant of its own.
    At(Timestamp),
    /// Date and time, local.
    Local(DateTime),
    /// A time of day, local.
    OfDay(Time),
    /// So long before now.
    Ago(Duration),
}

/// What is understood, for messages.
const FORMS: &str = "give a local time (02:00, 02:00:30, 2026-11-21 02:00), RFC 3339 \
                     (2026-11-21T02:00:00Z), or a time ago (15m ago)";

/// Parses what was typed.
///
/// # Errors
/// What is understood.
pub fn parse(typed: &str) -> Result<When, String> {
    let text = typed.trim();
    if text == "now" {
        return Ok(When::Ago(Duration::ZERO));
    }
    if let Some(time) = text.strip_suffix("ago") {
        return humantime::parse_duration(time.trim())
            .map(When::Ago)
            .map_err(|error| format!("{error}; {FORMS}"));
    }
    // Of a date with a zone the local parts alone would be parsed as well.
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(When::At(instant));
    }
    let has_date = text.contains('-');
    let parsed = match has_date {
        true => text.parse().map(When::Local),
        false => text.parse().map(When::OfDay),
    };
    parsed.map_err(|_| FORMS.to_owned())
}

/// The window that two of them mean, as seen at `now`: a time of day is the last such before now as the
/// start, and the first such after the start as the end.
///
/// # Errors
/// In words, if it is none, or has not begun.
pub fn window(since: When, until: Option<When>, now: &Zoned) -> Result<[Timestamp; 2], String> {
    let zone = now.time_zone();
    let start = match since {
        When::OfDay(time) => {
            let today = at(now.datetime().date().to_datetime(time), zone)?;
            match today <= now.timestamp() {
                true => today,
                false => at(yesterday(now)?.to_datetime(time), zone)?,
            }
        }
        other => instant(other, now)?,
    };
    if start >= now.timestamp() {
        return Err(format!(
            "--since {} has not been yet",
            start.to_zoned(zone.clone()).datetime()
        ));
    }
    let end = match until {
        None => now.timestamp(),
        Some(When::OfDay(time)) => {
            let first = start.to_zoned(zone.clone());
            let same_day = at(first.date().to_datetime(time), zone)?;
            match same_day > start {
                true => same_day,
                false => at(
                    first
                        .date()
                        .tomorrow()
                        .map_err(|error| error.to_string())?
                        .to_datetime(time),
                    zone,
                )?,
            }
        }
        Some(other) => instant(other, now)?,
    };
    if end <= start {
        return Err("--until is not after --since".to_owned());
    }
    // What has not been yet cannot have been kept.
    Ok([start, end.min(now.timestamp())])
}

fn yesterday(now: &Zoned) -> Result<jiff::civil::Date, String> {
    now.date().yesterday().map_err(|error| error.to_string())
}

fn instant(when: When, now: &Zoned) -> Result<Timestamp, String> {
    match when {
        When::At(instant) => Ok(instant),
        When::Local(local) => at(local, now.time_zone()),
        When::OfDay(time) => at(now.date().to_datetime(time), now.time_zone()),
        When::Ago(time) => now
            .timestamp()
            .checked_sub(time)
            .map_err(|error| error.to_string()),
    }
}

/// Of a time that the clocks pass twice the first, of one that they leap over the one after the leap.
fn at(local: DateTime, zone: &TimeZone) -> Result<Timestamp, String> {
    zone.to_timestamp(local).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-11-22T01:30:00+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn typed(since: &str, until: Option<&str>) -> Result<[String; 2], String> {
        let until = until.map(parse).transpose()?;
        let window = window(parse(since)?, until, &now())?;
        Ok(window.map(|end| end.to_string()))
    }

    #[test]
    fn a_night_as_people_type_it() {
        let hour = |hour: &str| format!("2026-11-21T{hour}:00Z");
        for (since, until, from, to) in [
            // Past midnight, 02:00 was yesterday.
            ("02:00", Some("02:15"), hour("01:00"), hour("01:15")),
            ("23:50", Some("00:10"), hour("22:50"), hour("23:10")),
            (
                "02:00:30",
                Some("02:15"),
                "2026-11-21T01:00:30Z".to_owned(),
                hour("01:15"),
            ),
            (
                "2026-11-21 02:00",
                Some("2026-11-21 02:15"),
                hour("01:00"),
                hour("01:15"),
            ),
            (
                "2026-11-21T02:00:00Z",
                Some("2026-11-21T03:15:00+01:00"),
                hour("02:00"),
                hour("02:15"),
            ),
            (
                "15m ago",
                None,
                "2026-11-22T00:15:00Z".to_owned(),
                "2026-11-22T00:30:00Z".to_owned(),
            ),
            ("2h ago", Some("90m ago"), hour("22:30"), hour("23:00")),
            // What has not been yet is cut.
            (
                "01:00",
                Some("02:00"),
                "2026-11-22T00:00:00Z".to_owned(),
                "2026-11-22T00:30:00Z".to_owned(),
            ),
        ] {
            assert_eq!(typed(since, until), Ok([from, to]), "{since} {until:?}");
        }
    }

    #[test]
    fn what_is_no_window_says_why() {
        for (since, until, why) in [
            ("2am", None, "give a local time"),
            ("25:00", None, "give a local time"),
            ("", None, "give a local time"),
            ("2026-13-01 00:00", None, "give a local time"),
            ("some time ago", None, "15m ago"),
            ("2027-01-01T00:00:00Z", None, "has not been yet"),
            ("1h ago", Some("2h ago"), "not after"),
        ] {
            let error = typed(since, until).unwrap_err();
            assert!(error.contains(why), "{since} {until:?}: {error}");
        }
    }
}
