//! What Prometheus keeps of the scrapes of one node, as OpenMetrics text with times.
//!
//! A value that did not change is written every four minutes only: an instant selector looks back for
//! five, so each question has the same answer. Where a series ends, NaN is written, which no
//! comparison holds for; Prometheus would write its stale marker.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Well within Prometheus' lookback of 300 s.
const REPEAT_S: u64 = 240;

/// See the module.
#[derive(Default)]
pub struct Scraped {
    series: BTreeMap<String, Series>,
    /// What is kept.
    pub text: String,
    /// How many samples it has.
    pub samples: u64,
    /// How many were scraped.
    pub scraped: u64,
}

struct Series {
    value: String,
    written: u64,
    seen: u64,
}

impl Scraped {
    /// Takes in the lines of an exposition whose family is `wanted`; `label` is put before their own
    /// labels.
    pub fn take(&mut self, now: u64, exposition: &str, wanted: &[&str], label: &str) {
        for line in exposition.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let (family, labels) = match name.split_once('{') {
                Some((family, labels)) => (family, format!("{label},{labels}")),
                None => (name, format!("{label}}}")),
            };
            if wanted.contains(&family) {
                self.put(now, format!("{family}{{{labels}"), value, true);
            }
        }
        let gone = |series: &Series| series.seen != now && series.value != "NaN";
        let gone: Vec<String> = self
            .series
            .iter()
            .filter(|(_, series)| gone(series))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.put(now, name, "NaN", true);
        }
    }

    /// Takes in one sample; if it may not be `thinned`, it is written whatever it is.
    pub fn put(&mut self, now: u64, name: String, value: &str, thinned: bool) {
        self.scraped += 1;
        let write = match self.series.get_mut(&name) {
            Some(series) => {
                series.seen = now;
                let repeat = series.value != "NaN" && now - series.written >= REPEAT_S;
                let write = !thinned || series.value != value || repeat;
                if write {
                    series.written = now;
                    value.clone_into(&mut series.value);
                }
                write
            }
            None => {
                let series = Series {
                    value: value.to_owned(),
                    written: now,
                    seen: now,
                };
                self.series.insert(name.clone(), series);
                true
            }
        };
        if write {
            self.samples += 1;
            // Writing to a string cannot fail.
            let _ = writeln!(self.text, "{name} {value} {now}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_change_is_written_now_and_then_and_an_end_once() {
        let mut scraped = Scraped::default();
        let mut take = |now, text| scraped.take(now, text, &["risk"], "instance=\"n1\"");
        take(
            0,
            "# TYPE risk gauge\nrisk{pod=\"a\"} 0.0\nother 1\nrisk 1\n",
        );
        take(15, "risk{pod=\"a\"} 0.0\n");
        take(30, "risk{pod=\"a\"} 0.5\n");
        take(45, "");
        take(60, "");
        let expected = "risk{instance=\"n1\",pod=\"a\"} 0.0 0\nrisk{instance=\"n1\"} 1 0\n\
            risk{instance=\"n1\"} NaN 15\nrisk{instance=\"n1\",pod=\"a\"} 0.5 30\n\
            risk{instance=\"n1\",pod=\"a\"} NaN 45\n";
        assert_eq!(scraped.text, expected);
        let mut flat = Scraped::default();
        for now in (0..600).step_by(15) {
            flat.take(now, "risk 0\n", &["risk"], "instance=\"n1\"");
        }
        assert_eq!((flat.samples, flat.scraped), (3, 40));
    }
}
