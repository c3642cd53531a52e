//! docs/OOM-ACCURACY.md: one row a kernel, and every miss with its seed and cause.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// A prediction is "just before" the kill up to here.
const JUST_BEFORE_S: f64 = 0.020;

const INTRODUCTION: &str = "\
# How often memtrace names the victim

Written by `cargo xtask bench oom [--kernel K]`, which replaces the rows of the kernel it ran on; do not
edit. Each kill is a herd of 3 to 10 processes of random sizes, threads and `oom_score_adj` in nested
cgroups, some sharing a limit of 48 MiB that they, or a tmpfs file, grow into; a seed decides everything.
`memtrace oom watch` keeps its prediction up to date meanwhile and is held against the kernel's choice.

- *now*: the processes as read at the last look before the kill. *p50, max*: how long before, ms; *in 20*:
  how many were read within 20 ms of the kill, and of these, how many were right.
- *certain*: where memtrace said so. *tie*: another process with equal points was killed.
- *at limit*: foretold when 80 % of the limit was taken for good, from who grew how fast then.
- *oom_score*, *rss*, */proc*: whom the highest `/proc/PID/oom_score`, the largest VmRSS, and the kernel's
  formula reckoned from `/proc/PID/status` would have named, read every 10 ms by another program.
- *points*: candidates whose points the model reckoned as the kernel did (within the counters' error bound),
  where the kernel's own could be read in its scan.

";
const HEAD: &str = "\
| kernel | kills | now | p50, max | in 20 | certain | tie | at limit | oom_score | rss | /proc | points |
|---|---|---|---|---|---|---|---|---|---|---|---|
";
const MISSES: &str = "\n## Misses\n\n";

/// A prediction and what became of it.
#[derive(Deserialize)]
struct Told {
    before_seconds: f64,
    confidence: Option<String>,
    margin_points: Option<i64>,
    held: String,
    cause: Option<String>,
}

/// One kill, as the live suite tells of it.
#[derive(Deserialize)]
pub struct Kill {
    kernel: String,
    cgroup_version: u8,
    emulated: bool,
    seed: u64,
    /// Whose limit it was; `None` if the report could not tell.
    limit_owner: Option<String>,
    now: Option<Told>,
    at_limit: Option<Told>,
    oom_score: Option<bool>,
    rss: Option<bool>,
    proc_badness: Option<bool>,
    candidates_agree: u64,
    candidates_differ: u64,
}

impl Kill {
    /// `6.18 (v1)`, `6.12 (v2, emulated)`: not the whole release, which names a machine's build.
    fn label(&self) -> String {
        let short: Vec<_> = self.kernel.split(['.', '-']).take(2).collect();
        let emulated = if self.emulated { ", emulated" } else { "" };
        format!("{} (v{}{emulated})", short.join("."), self.cgroup_version)
    }
}

/// Puts these kills, all of one kernel, into the document; the new lines, for people.
pub fn write(path: &Path, kills: &[Kill]) -> Result<String> {
    let Some(label) = kills.first().map(Kill::label) else {
        return Ok(String::new());
    };
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let (row, misses) = (row(&label, kills), misses(&label, kills));
    fs::write(path, page(&old, &label, &row, &misses))
        .with_context(|| format!("write {}", path.display()))?;
    Ok(format!("{HEAD}{row}{misses}"))
}

/// The old page with other lines for this kernel.
fn page(old: &str, label: &str, row: &str, misses: &str) -> String {
    let (own_row, own_miss) = (format!("| {label} |"), format!("- {label}, "));
    let data = |line: &&str| line.starts_with("| ") && !line.starts_with("| kernel |");
    let mut rows: Vec<&str> = old
        .lines()
        .filter(|line| data(line) && !line.starts_with(&own_row))
        .chain(row.lines())
        .collect();
    rows.sort_by_key(|row| version(row));
    // The bullets of the introduction come before the table.
    let (_, old_misses) = old.split_once(MISSES).unwrap_or_default();
    let mut missed: Vec<&str> = old_misses
        .lines()
        .filter(|line| line.starts_with("- ") && !line.starts_with(&own_miss))
        .chain(misses.lines())
        .collect();
    missed.sort_by_key(|line| version(line));
    let missed = match missed.is_empty() {
        true => "None.".to_owned(),
        false => missed.join("\n"),
    };
    format!(
        "{INTRODUCTION}{HEAD}{}\n{MISSES}{missed}\n",
        rows.join("\n")
    )
}

/// By number: 5.10 comes after 5.4.
fn version(line: &str) -> Vec<u32> {
    let digits = |part: &str| part.parse().ok();
    line.split(|c: char| !c.is_ascii_digit())
        .filter_map(digits)
        .take(2)
        .collect()
}

fn row(label: &str, kills: &[Kill]) -> String {
    let total = kills.len();
    let share = |hits: usize, of: usize| match of {
        0 => "-".to_owned(),
        of => format!("{hits} of {of} ({:.0} %)", hits as f64 * 100.0 / of as f64),
    };
    let right = |told: &&Told| told.held == "right";
    let now: Vec<&Told> = kills.iter().filter_map(|kill| kill.now.as_ref()).collect();
    let limit: Vec<&Told> = kills.iter().filter_map(|k| k.at_limit.as_ref()).collect();
    let count = |told: &[&Told], which: &dyn Fn(&&Told) -> bool| {
        told.iter().filter(|told| which(told)).count()
    };
    let near: Vec<&Told> = now
        .iter()
        .copied()
        .filter(|told| told.before_seconds <= JUST_BEFORE_S)
        .collect();
    let certain: Vec<&Told> = now
        .iter()
        .copied()
        .filter(|told| told.confidence.as_deref() == Some("certain"))
        .collect();
    let mut before: Vec<f64> = now.iter().map(|told| told.before_seconds * 1e3).collect();
    before.sort_by(f64::total_cmp);
    let times = match (before.get(before.len() / 2), before.last()) {
        (Some(middle), Some(last)) => format!("{middle:.0}, {last:.0}"),
        _ => "-".to_owned(),
    };
    let baseline = |which: fn(&Kill) -> Option<bool>| {
        let known: Vec<bool> = kills.iter().filter_map(which).collect();
        share(known.iter().filter(|hit| **hit).count(), known.len())
    };
    let agree: u64 = kills.iter().map(|kill| kill.candidates_agree).sum();
    let differ: u64 = kills.iter().map(|kill| kill.candidates_differ).sum();
    let points = match agree + differ {
        0 => "not readable".to_owned(),
        all => format!("{agree} of {all}"),
    };
    let mut row = format!("| {label} | {total} |");
    let cells = [
        share(count(&now, &right), total),
        times,
        share(count(&near, &right), near.len()),
        share(count(&certain, &right), certain.len()),
        count(&now, &|told| told.held == "tie").to_string(),
        share(count(&limit, &right), total),
        baseline(|kill| kill.oom_score),
        baseline(|kill| kill.rss),
        baseline(|kill| kill.proc_badness),
        points,
    ];
    for cell in cells {
        let _ = write!(row, " {cell} |");
    }
    row.push('\n');
    row
}

fn misses(label: &str, kills: &[Kill]) -> String {
    let mut text = String::new();
    for kill in kills {
        for (when, told) in [("now", &kill.now), ("at limit", &kill.at_limit)] {
            let why = match told {
                None if kill.limit_owner.is_none() => {
                    "whose limit it was is unknown: the hook is off, the kernel log rate-limited"
                        .to_owned()
                }
                None => "no look since it came near, or came to be".to_owned(),
                Some(told) if told.held == "right" => continue,
                Some(told) => format!(
                    "{}, {}, margin {} points, {:.0} ms before",
                    told.cause.as_deref().unwrap_or(&told.held),
                    told.confidence.as_deref().unwrap_or("no confidence"),
                    told.margin_points
                        .map_or("unknown".to_owned(), |margin| margin.to_string()),
                    told.before_seconds * 1e3
                ),
            };
            let _ = writeln!(text, "- {label}, seed {}, {when}: {why}", kill.seed);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill(kernel: &str, seed: u64, held: &str) -> Kill {
        let told = |held: &str| Told {
            before_seconds: 0.01,
            confidence: Some("certain".into()),
            margin_points: Some(7),
            held: held.into(),
            cause: (held == "wrong").then(|| "moved".into()),
        };
        Kill {
            kernel: kernel.into(),
            cgroup_version: 2,
            emulated: true,
            limit_owner: Some("own".to_owned()),
            seed,
            now: Some(told(held)),
            at_limit: Some(told("right")),
            oom_score: Some(true),
            rss: Some(false),
            proc_badness: None,
            candidates_agree: 3,
            candidates_differ: 0,
        }
    }

    #[test]
    fn rows_of_other_kernels_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docs/A.md");
        write(
            &path,
            &[kill("6.12.1-x", 1, "right"), kill("6.12.1-x", 2, "wrong")],
        )
        .unwrap();
        write(&path, &[kill("5.10.2-y", 3, "wrong")]).unwrap();
        write(&path, &[kill("6.12.1-x", 4, "right")]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).collect();
        assert_eq!(rows.len(), 3, "{text}");
        assert!(rows[1].starts_with("| 5.10 (v2, emulated) | 1 | 0 of 1 (0 %) | 10, 10 |"));
        assert!(rows[2].starts_with("| 6.12 (v2, emulated) | 1 | 1 of 1 (100 %)"));
        assert!(rows[2].ends_with("| - | 3 of 3 |"));
        let miss =
            "- 5.10 (v2, emulated), seed 3, now: moved, certain, margin 7 points, 10 ms before";
        assert!(text.ends_with(&format!("{MISSES}{miss}\n")), "{text}");
    }
}
