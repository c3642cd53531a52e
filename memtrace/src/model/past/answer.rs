//! How the sizes went, and what was counted.

use serde::{Deserialize, Serialize};

use super::{Count, Instant, Row, Share, Size, Span, Subject};
use crate::model::{ComponentName, risk::Horizon};

/// The answer; docs/json/explain-past.md has its JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// 1
    pub schema_version: u32,
    /// `explain`
    pub command: String,
    /// As typed.
    pub target: String,
    /// The window that was asked for.
    pub since: Instant,
    /// Its end.
    pub until: Instant,
    /// Whom the target means, the last one first: there are several if one was started again.
    pub of: Vec<PastOf>,
    /// How many more it means.
    pub left_out: usize,
    /// The machine; `None` if nothing is kept of it.
    pub machine: Option<PastOf>,
    /// Times in the window of which nothing is kept, oldest first.
    pub gaps: Vec<Gap>,
}

/// Nothing is kept of this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Its start.
    pub from: Instant,
    /// Its end.
    pub until: Instant,
}

/// One subject in the window. What is unknown is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PastOf {
    /// Who.
    pub who: Subject,
    /// Start of the first row, which may be before the window: rows are of a minute.
    pub from: Instant,
    /// End of the last row.
    pub until: Instant,
    /// Samples that these rows are made of.
    pub samples: u64,
    /// usage - inactive_file.
    pub working_set: Option<Course>,
    /// What the working set's change leaves, beyond its parts.
    pub unexplained_bytes: Option<i64>,
    /// Parts of the working set, in a fixed order.
    pub parts: Vec<PartCourse>,
    /// What it is charged for.
    pub usage: Option<Course>,
    /// `U` of docs/RISK.md.
    pub unreclaimable: Option<Course>,
    /// `H` of docs/RISK.md.
    pub headroom: Option<Course>,
    /// Swap in use.
    pub swap: Option<Course>,
    /// Of the machine: until the kubelet evicts.
    pub eviction_headroom: Option<Course>,
    /// At the end; `None` if there was none, or it is unknown.
    pub limit_bytes: Option<i64>,
    /// Whenever it was changed.
    pub limit_changes: Vec<LimitChange>,
    /// What reclaim did; `None` where the kernel does not count it (cgroup v1).
    pub reclaim: Option<Reclaimed>,
    /// Read in again after eviction, files, bytes.
    pub refault_file_bytes: Option<u64>,
    /// Read in again from swap, bytes.
    pub refault_anon_bytes: Option<u64>,
    /// Time lost to waiting for memory; `None` where the kernel does not count it (cgroup v1).
    pub stalls: Option<Stalls>,
    /// Times the limit was about to be exceeded.
    pub limit_hits: Option<u64>,
    /// Times reclaim could not keep it below the limit.
    pub ooms: Option<u64>,
    /// Processes that the OOM killer killed, as the kernel counted.
    pub kills: Option<u64>,
    /// The agent's reports of these, newest first.
    pub reports: Vec<PastKill>,
    /// The risk of reaching the limit, by horizon.
    pub risks: Vec<RiskPeak>,
    /// Of the machine: the risk of eviction, by horizon.
    pub eviction_risks: Vec<RiskPeak>,
}

/// How a size went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// At the first sample.
    pub start_bytes: i64,
    /// The least.
    pub least_bytes: i64,
    /// End of the minute in which it was so little, for the first time.
    pub least_at: Instant,
    /// The most.
    pub most_bytes: i64,
    /// End of the minute in which it was so much, for the first time.
    pub most_at: Instant,
    /// At the last sample.
    pub end_bytes: i64,
}

impl Course {
    /// The change.
    pub fn delta_bytes(&self) -> i64 {
        self.end_bytes - self.start_bytes
    }
}

/// A part of the working set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartCourse {
    /// As in docs/json/explain.md.
    pub name: String,
    /// `file`, `anon`, `shmem`, `kernel` or `other`.
    pub group: String,
    /// How it went.
    #[serde(flatten)]
    pub course: Course,
}

/// The limit was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitChange {
    /// End of the minute in which it was.
    pub at: Instant,
    /// Before; `None` if there was none.
    pub before_bytes: Option<i64>,
    /// After; `None` if there was none any more.
    pub after_bytes: Option<i64>,
}

/// What reclaim did in the cgroup and below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reclaimed {
    /// Looked at.
    pub scanned_bytes: u64,
    /// Freed.
    pub reclaimed_bytes: u64,
}

/// Time lost to waiting for memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stalls {
    /// Some task waited.
    pub some_seconds: f64,
    /// All did.
    pub full_seconds: f64,
}

/// A report of a kill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastKill {
    /// For `memtrace oom show`.
    pub id: u64,
    /// When; of an incomplete report when it was noticed.
    pub at: Instant,
    /// It was seen.
    pub complete: bool,
    /// Processes that died.
    pub kills: u64,
    /// The victim's name.
    pub comm: Option<String>,
    /// The victim's pid.
    pub pid: Option<u64>,
    /// Whose limit it was.
    pub limit_owner: Option<String>,
}

/// A risk in the window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RiskPeak {
    /// How far it looks ahead.
    pub horizon_seconds: f64,
    /// The highest, 0 to 1.
    pub highest: f64,
    /// End of the minute in which it was so high, for the first time.
    pub highest_at: Instant,
    /// At the end.
    pub last: f64,
}

/// What is kept of one subject, summed up, without its kills; `None` without a row. `rows` are those of
/// the window, oldest first.
pub fn past_of(subject: &Subject, rows: &[(Span, Row)], page_size_bytes: u64) -> Option<PastOf> {
    let (from, until) = (rows.first()?.0.from, rows.last()?.0.until);
    let count = |count| summed(rows, count);
    let bytes = |pages| count(pages).map(|pages| pages * page_size_bytes);
    let size = |size| size_course(rows, size);
    let parts: Vec<_> = ComponentName::ALL
        .into_iter()
        .filter_map(|name| part(rows, name))
        .collect();
    let working_set = size(Size::WorkingSet);
    let changed: i64 = parts.iter().map(|part| part.course.delta_bytes()).sum();
    Some(PastOf {
        who: subject.clone(),
        from,
        until,
        samples: rows.iter().map(|(_, row)| u64::from(row.samples)).sum(),
        unexplained_bytes: working_set
            .filter(|_| !parts.is_empty())
            .map(|all| all.delta_bytes() - changed),
        working_set,
        parts,
        usage: size(Size::Usage),
        unreclaimable: size(Size::Unreclaimable),
        headroom: size(Size::Headroom),
        swap: size(Size::Swap),
        eviction_headroom: size(Size::EvictionHeadroom),
        limit_bytes: rows.last()?.1.size(Size::Limit).map(|limit| limit.last),
        limit_changes: limit_changes(rows),
        reclaim: bytes(Count::Scanned).zip(bytes(Count::Reclaimed)).map(
            |(scanned_bytes, reclaimed_bytes)| Reclaimed {
                scanned_bytes,
                reclaimed_bytes,
            },
        ),
        refault_file_bytes: bytes(Count::RefaultFile),
        refault_anon_bytes: bytes(Count::RefaultAnon),
        stalls: count(Count::SomeUs)
            .zip(count(Count::FullUs))
            .map(|(some, full)| Stalls {
                some_seconds: some as f64 / 1e6,
                full_seconds: full as f64 / 1e6,
            }),
        limit_hits: count(Count::LimitHits),
        ooms: count(Count::Oom),
        kills: count(Count::Kills),
        reports: Vec::new(),
        risks: risks(rows, |row| row.risks),
        eviction_risks: risks(rows, |row| row.eviction_risks),
    })
}

/// What was counted in all rows that know; `None` if none does.
fn summed(rows: &[(Span, Row)], count: Count) -> Option<u64> {
    rows.iter()
        .filter_map(|(_, row)| row.count(count))
        .reduce(u64::saturating_add)
}

fn size_course(rows: &[(Span, Row)], size: Size) -> Option<Course> {
    let mut known = rows
        .iter()
        .filter_map(|(span, row)| Some((span.until, row.size(size)?)));
    let (at, first) = known.next()?;
    let mut course = Course {
        start_bytes: first.first,
        least_bytes: first.least,
        least_at: at,
        most_bytes: first.most,
        most_at: at,
        end_bytes: first.last,
    };
    for (at, gauge) in known {
        if gauge.least < course.least_bytes {
            (course.least_bytes, course.least_at) = (gauge.least, at);
        }
        if gauge.most > course.most_bytes {
            (course.most_bytes, course.most_at) = (gauge.most, at);
        }
        course.end_bytes = gauge.last;
    }
    Some(course)
}

fn part(rows: &[(Span, Row)], name: ComponentName) -> Option<PartCourse> {
    use ComponentName as C;
    let group = match name {
        C::ActiveFile | C::FileOther => "file",
        C::Anon | C::LruUnmapped => "anon",
        C::Shmem => "shmem",
        C::Hugetlb => "other",
        kernel if kernel.is_kernel() => "kernel",
        _ => "other",
    };
    Some(PartCourse {
        name: name.as_str().to_owned(),
        group: group.to_owned(),
        course: size_course(rows, Size::Part(name))?,
    })
}

fn limit_changes(rows: &[(Span, Row)]) -> Vec<LimitChange> {
    let mut changes = Vec::new();
    let mut before: Option<Option<i64>> = None;
    for (span, row) in rows {
        let limit = row.size(Size::Limit);
        // A limit that is set or taken away within a row leaves a gauge of its other samples.
        let ends = limit.map_or([None; 2], |limit| [Some(limit.first), Some(limit.last)]);
        for now in ends {
            if let Some(before_bytes) = before.filter(|before| *before != now) {
                changes.push(LimitChange {
                    at: span.until,
                    before_bytes,
                    after_bytes: now,
                });
            }
            before = Some(now);
        }
    }
    changes
}

fn risks(rows: &[(Span, Row)], of: impl Fn(&Row) -> [Option<Share>; 2]) -> Vec<RiskPeak> {
    let peak = |(place, horizon): (usize, Horizon)| {
        let mut known = rows
            .iter()
            .filter_map(|(span, row)| Some((span.until, of(row)[place]?)));
        let (at, first) = known.next()?;
        let (mut highest, mut last) = ((first.most, at), first.last);
        for (at, share) in known {
            if share.most > highest.0 {
                highest = (share.most, at);
            }
            last = share.last;
        }
        Some(RiskPeak {
            horizon_seconds: horizon.seconds(),
            highest: f64::from(highest.0) / 1e3,
            highest_at: highest.1,
            last: f64::from(last) / 1e3,
        })
    };
    Horizon::ALL
        .into_iter()
        .enumerate()
        .filter_map(peak)
        .collect()
}
