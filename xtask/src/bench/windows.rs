//! docs/LONG-WINDOWS.md: a section a kernel.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// Readings in one line of the table.
const LINE: usize = 10;

const INTRODUCTION: &str = "\
# Long windows

Written by `cargo xtask bench long [--minutes 60] [--kernel K]`, which replaces the section of the kernel it ran
on; do not edit. In a cgroup with a limit, as fast as it goes and all at once: a server reads pages of an index
of 24 MiB and takes and frees memory; jobs start, read 12 of 2,000 sources, use up to 4 MiB, write 2 results, end;
a log is written line by line and rotated; files are made and removed, 512 at a time. Two `memtrace explain` watch
it, one for each view: that is the load memtrace has to bear twice. Memory grows until the tables are full
(memtrace/src/model/runs/table.rs); a slow guest may not get there in its window, and then it is not flat.
";

/// Memory of both memtraces at one instant.
#[derive(Deserialize)]
pub struct Resident {
    json_kib: u64,
    text_kib: u64,
}

/// Of one memtrace.
type View = (&'static str, fn(&Resident) -> u64);
const VIEWS: [View; 2] = [("JSON", |one| one.json_kib), ("text", |one| one.text_kib)];

/// The end of a window, as the live suite tells of it.
#[derive(Deserialize)]
pub struct Window {
    kernel: String,
    cgroup_version: u8,
    emulated: bool,
    cpus: u64,
    seconds: f64,
    limit_bytes: u64,
    jobs: u64,
    highest_json_kib: u64,
    highest_text_kib: u64,
    lines: u64,
    json_bytes: u64,
    delta_bytes: i64,
    unexplained_bytes: i64,
    error_bound_bytes: u64,
    justified_bytes: u64,
    pages_produced: u64,
    pages_lost: u64,
    events_lost: u64,
    /// Bytes by what their row tells apart.
    rows: BTreeMap<String, u64>,
    /// What rows may be short of; `None` if everything had room.
    summed: Option<String>,
    verdict: String,
}

impl Window {
    /// Not the whole release, which names a machine's build.
    fn label(&self) -> String {
        let short: Vec<_> = self.kernel.split(['.', '-']).take(2).collect();
        let emulated = if self.emulated { ", emulated" } else { "" };
        format!(
            "Linux {}, cgroup v{}{emulated}",
            short.join("."),
            self.cgroup_version
        )
    }
}

/// Puts this window into the document; the new section, for people.
pub fn write(path: &Path, window: &Window, readings: &[Resident]) -> Result<String> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let section = section(window, readings);
    fs::write(path, page(&old, &window.label(), &section))
        .with_context(|| format!("write {}", path.display()))?;
    Ok(section)
}

/// The old page with another section for this kernel.
fn page(old: &str, label: &str, section: &str) -> String {
    let mut sections: Vec<&str> = old.split("\n## ").skip(1).map(str::trim_end).collect();
    sections.retain(|one| one.lines().next() != Some(label));
    let mut text = INTRODUCTION.to_owned();
    for one in sections {
        let _ = write!(text, "\n## {one}\n");
    }
    text.push('\n');
    text.push_str(section);
    text
}

fn section(window: &Window, readings: &[Resident]) -> String {
    let Window {
        cpus,
        seconds,
        limit_bytes,
        jobs,
        highest_json_kib,
        highest_text_kib,
        lines,
        json_bytes,
        delta_bytes,
        unexplained_bytes,
        error_bound_bytes,
        justified_bytes,
        pages_produced,
        pages_lost,
        events_lost,
        rows,
        summed,
        verdict,
        ..
    } = window;
    let mut text = format!("## {}\n\n", window.label());
    let _ = write!(
        text,
        "{:.0} minutes, {cpus} CPUs, limit {} MiB: {jobs} jobs, and {pages_produced} pages that went \
         through the hooks, of which {pages_lost} were lost (with hook calls that the kernel skipped, \
         {events_lost} events).\n\n\
         - Memory at most, the answer's making included: {} MiB (JSON), {} MiB (text).\n\
         - In the last third of the window it grew by {} MiB (JSON), {} MiB (text).\n\
         - Output: {lines} lines of text, {json_bytes} bytes of JSON.\n\
         - Working set {delta_bytes:+} bytes, of it unexplained {unexplained_bytes}; its bound is \
         {error_bound_bytes}, and {justified_bytes} would be justified for these CPUs.\n\
         - Bytes of page cache and of causes with files, by what a row tells apart: {}.\n\
         - {}\n\
         - It said: {verdict}\n\n",
        seconds / 60.0,
        limit_bytes >> 20,
        mib(*highest_json_kib),
        mib(*highest_text_kib),
        mib(growth_kib(readings, VIEWS[0].1)),
        mib(growth_kib(readings, VIEWS[1].1)),
        told_apart(rows),
        summed
            .as_deref()
            .unwrap_or("Everything had room: nothing was summed."),
    );
    text.push_str("Resident memory, MiB:\n\n");
    text.push_str(&table(readings, seconds / readings.len().max(1) as f64));
    text
}

/// From the first reading of the last third to the most.
fn growth_kib(readings: &[Resident], kib: fn(&Resident) -> u64) -> u64 {
    let last = &readings[readings.len() - readings.len() / 3..];
    let most = last.iter().map(kib).max().unwrap_or(0);
    most - last.first().map_or(0, kib)
}

fn told_apart(rows: &BTreeMap<String, u64>) -> String {
    let words = |name: &str| match name {
        "apart" => "file and process",
        "files" => "one process, many files",
        "processes" => "one file, many processes",
        "both" => "neither",
        _ => "rows beyond the longest, summed when printed",
    };
    let parts: Vec<_> = rows
        .iter()
        .map(|(name, bytes)| format!("{} {} MiB", words(name), bytes >> 20))
        .collect();
    parts.join("; ")
}

/// `step`: seconds from one reading to the next.
fn table(readings: &[Resident], step: f64) -> String {
    let mut text = "| from minute | view |".to_owned();
    let columns = LINE.min(readings.len());
    for column in 0..columns {
        let _ = write!(text, " +{:.1} |", column as f64 * step / 60.0);
    }
    let _ = writeln!(text, "\n|---|---|{}", "---|".repeat(columns));
    for (line, part) in readings.chunks(LINE).enumerate() {
        let minute = ((line * LINE + 1) as f64) * step / 60.0;
        for (view, kib) in VIEWS {
            let _ = write!(text, "| {minute:.1} | {view} |");
            for one in part {
                let _ = write!(text, " {} |", mib(kib(one)));
            }
            text.push('\n');
        }
    }
    text
}

fn mib(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(kernel: &str, jobs: u64) -> Window {
        serde_json::from_value(serde_json::json!({
            "kernel": kernel, "cgroup_version": 2, "emulated": true, "cpus": 2, "seconds": 180.0,
            "limit_bytes": 192 << 20, "jobs": jobs, "highest_json_kib": 33_792,
            "highest_text_kib": 30_720, "lines": 90, "json_bytes": 1000, "delta_bytes": -5,
            "unexplained_bytes": 3, "error_bound_bytes": 4, "justified_bytes": 5,
            "pages_produced": 10, "pages_lost": 0, "events_lost": 0,
            "rows": {"apart": 5 << 20, "both": 1 << 20}, "summed": null, "verdict": "Nothing.",
        }))
        .unwrap()
    }

    #[test]
    fn sections_of_other_kernels_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("LONG.md");
        let readings = |kib| {
            let one = |_| Resident {
                json_kib: kib,
                text_kib: kib,
            };
            (0..12).map(one).collect::<Vec<_>>()
        };
        write(&path, &window("6.12.1-x", 111), &readings(1024)).unwrap();
        write(&path, &window("7.2.5-y", 222), &readings(2048)).unwrap();
        write(&path, &window("6.12.2-z", 333), &readings(3072)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("\n## Linux ").count(), 2, "{text}");
        assert!(!text.contains("111 jobs") && text.contains("222 jobs"));
        assert!(text.contains(
            "## Linux 6.12, cgroup v2, emulated\n\n3 minutes, 2 CPUs, limit 192 MiB: 333 jobs"
        ));
        assert!(
            text.contains("file and process 5 MiB; neither 1 MiB"),
            "{text}"
        );
        assert!(
            text.contains(
                "at most, the answer's making included: 33.0 MiB (JSON), 30.0 MiB (text)"
            )
        );
        assert!(text.contains("it grew by 0.0 MiB (JSON)"), "{text}");
        assert!(text.contains("| 0.2 | JSON | 3.0 |"), "{text}");
        assert!(text.contains("\n| 2.8 | text | 3.0 | 3.0 |\n"), "{text}");
        assert!(text.starts_with(INTRODUCTION));
    }
}
