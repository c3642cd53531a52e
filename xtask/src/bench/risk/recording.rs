//! What the agent reads of a workload's cgroups and of the machine, second by second, in a file: gzipped
//! JSON lines, the head first. Sizes in bytes; what the kernel did not tell is left out.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use memtrace::agent::NodeSample;
use memtrace::cgroup::RiskSample;
use memtrace::input::{CgroupSample, CgroupVersion, MemoryEvents, OomNode, Pressure};
use serde::{Deserialize, Serialize};

use crate::workspace;

/// First line of a recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The workload.
    pub name: String,
    /// Release it was recorded on, without the build.
    pub kernel: String,
    /// Version of its memory controller.
    pub cgroups: CgroupVersion,
    /// What ran in it, where that was found out only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// One cgroup in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Seconds since the recording began.
    pub t: u32,
    /// Its place among the workload's cgroups.
    pub c: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    swap_available: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    min: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    anon: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_file: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inactive_file: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dirty: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    writeback: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slab_reclaimable: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pgscan: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pgsteal: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_us: Option<u64>,
    /// Processes of it that were killed so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kills: Option<u64>,
}

/// The machine in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeRow {
    /// See [`Row::t`].
    pub t: u32,
    total: u64,
    available: Option<u64>,
    swap_free: u64,
    working_set: Option<u64>,
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

impl Row {
    /// What was read.
    pub fn of(t: u32, c: usize, sample: &RiskSample) -> Self {
        let (cgroup, stat) = (&sample.cgroup, &sample.cgroup.stat);
        Self {
            t,
            c,
            usage: cgroup.usage_bytes,
            limit: cgroup.limit_bytes,
            swap_available: cgroup.swap_available_bytes,
            min: sample.min_bytes,
            anon: stat.anon,
            active_file: stat.active_file,
            inactive_file: stat.inactive_file,
            dirty: stat.file_dirty,
            writeback: stat.file_writeback,
            slab_reclaimable: stat.slab_reclaimable,
            pgscan: stat.pgscan,
            pgsteal: stat.pgsteal,
            full_us: cgroup.pressure.map(|pressure| pressure.full_total_us),
            kills: cgroup.events.oom_kill,
        }
    }

    /// The same as the agent takes it in.
    pub fn sample(&self) -> RiskSample {
        let mut cgroup = CgroupSample {
            usage_bytes: self.usage,
            limit_bytes: self.limit,
            swap_available_bytes: self.swap_available,
            events: MemoryEvents {
                oom_kill: self.kills,
                ..MemoryEvents::default()
            },
            pressure: self.full_us.map(|full_total_us| Pressure {
                some_total_us: full_total_us,
                full_total_us,
            }),
            ..CgroupSample::default()
        };
        let stat = &mut cgroup.stat;
        stat.anon = self.anon;
        stat.active_file = self.active_file;
        stat.inactive_file = self.inactive_file;
        stat.file_dirty = self.dirty;
        stat.file_writeback = self.writeback;
        stat.slab_reclaimable = self.slab_reclaimable;
        stat.pgscan = self.pgscan;
        stat.pgsteal = self.pgsteal;
        RiskSample {
            cgroup,
            min_bytes: self.min,
        }
    }

    /// Between this second and the next one, `share` of the way: sizes and counters in a straight
    /// line, limits and kills as they were.
    pub fn towards(&self, next: &Self, share: f64) -> Self {
        let between = |from: Option<u64>, to: Option<u64>| {
            let (from, to) = (from? as f64, to? as f64);
            Some((from + (to - from) * share) as u64)
        };
        Self {
            usage: between(self.usage, next.usage),
            anon: between(self.anon, next.anon),
            active_file: between(self.active_file, next.active_file),
            inactive_file: between(self.inactive_file, next.inactive_file),
            dirty: between(self.dirty, next.dirty),
            writeback: between(self.writeback, next.writeback),
            slab_reclaimable: between(self.slab_reclaimable, next.slab_reclaimable),
            pgscan: between(self.pgscan, next.pgscan),
            pgsteal: between(self.pgsteal, next.pgsteal),
            full_us: between(self.full_us, next.full_us),
            ..*self
        }
    }
}

impl NodeRow {
    /// What was read.
    pub fn of(t: u32, node: &NodeSample) -> Self {
        Self {
            t,
            total: node.memory.total_bytes,
            available: node.memory.available_bytes,
            swap_free: node.memory.swap_free_bytes,
            working_set: node.working_set_bytes,
        }
    }

    /// The same as the agent takes it in.
    pub fn sample(&self) -> NodeSample {
        NodeSample {
            memory: OomNode {
                total_bytes: self.total,
                available_bytes: self.available,
                swap_free_bytes: self.swap_free,
                ..OomNode::default()
            },
            working_set_bytes: self.working_set,
            oom_kills: None,
        }
    }
}

/// A line after the head.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    /// First, since every other line would do as a row of which all is unknown.
    Node {
        node: NodeRow,
    },
    Cgroup(Row),
}

/// A recording.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What it is.
    pub head: Head,
    /// By cgroup, each second after the other.
    pub rows: Vec<Vec<Row>>,
    /// Each second after the other; empty but in the recording of the machine itself.
    pub node: Vec<NodeRow>,
}

impl Recording {
    /// Seconds.
    pub fn length(&self) -> u32 {
        let last = self.rows.iter().filter_map(|rows| Some(rows.last()?.t));
        let node = self.node.last().map(|row| row.t);
        last.chain(node).max().map_or(0, |last| last + 1)
    }

    /// The second in which somebody was first seen to have been killed.
    pub fn kill(&self) -> Option<u32> {
        let first = |rows: &Vec<Row>| {
            let before = rows.first()?.kills?;
            let killed = rows
                .iter()
                .find(|row| row.kills.is_some_and(|now| now > before))?;
            Some(killed.t)
        };
        self.rows.iter().filter_map(first).min()
    }

    /// Keeps it, instead of the older one.
    pub fn save(&self) -> Result<()> {
        let path = path_of(&self.head.name);
        let what = || format!("write {}", path.display());
        let file = File::create(&path).with_context(what)?;
        let mut out = GzEncoder::new(file, Compression::best());
        let mut line = |text: serde_json::Result<String>| -> Result<()> {
            writeln!(out, "{}", text?).with_context(what)
        };
        line(serde_json::to_string(&self.head))?;
        for row in self.rows.iter().flatten() {
            line(serde_json::to_string(&Line::Cgroup(*row)))?;
        }
        for node in &self.node {
            line(serde_json::to_string(&Line::Node { node: *node }))?;
        }
        out.finish().with_context(what)?;
        Ok(())
    }

    /// Reads the one of a workload; `None` if there is none.
    pub fn load(name: &str) -> Result<Option<Self>> {
        let path = path_of(name);
        let what = || format!("read {}", path.display());
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.with_context(what)?,
        };
        let mut lines = BufReader::new(GzDecoder::new(file)).lines();
        let head = lines.next().with_context(what)?.with_context(what)?;
        let mut read = Self {
            head: serde_json::from_str(&head).with_context(what)?,
            rows: Vec::new(),
            node: Vec::new(),
        };
        for line in lines {
            let line = line.with_context(what)?;
            match serde_json::from_str(&line).with_context(|| format!("read {line}"))? {
                Line::Node { node } => read.node.push(node),
                Line::Cgroup(row) => {
                    ensure!(row.c < 64, "{}: cgroup {} of 64", path.display(), row.c);
                    read.rows.resize(read.rows.len().max(row.c + 1), Vec::new());
                    read.rows[row.c].push(row);
                }
            }
        }
        Ok(Some(read))
    }
}

fn path_of(name: &str) -> PathBuf {
    folder().join(format!("{name}.jsonl.gz"))
}

/// Where recordings are kept.
pub fn folder() -> &'static Path {
    static FOLDER: std::sync::LazyLock<PathBuf> =
        std::sync::LazyLock::new(|| workspace::root().join("xtask/recordings"));
    &FOLDER
}
