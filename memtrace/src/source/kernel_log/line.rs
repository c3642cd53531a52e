//! Single lines of an OOM report (mm/oom_kill.c, `dump_header`, `dump_tasks`, `dump_oom_victim`).

use crate::input::{OomConstraint, OomLogTask};

/// `java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0`: name, flags,
/// order.
pub(super) fn invoked(line: &str) -> Option<(&str, Option<u32>, Option<i32>)> {
    let (comm, rest) = line.split_once(" invoked oom-killer: ")?;
    let mask = after(rest, "gfp_mask=0x").and_then(|text| {
        let end = text.find(|c: char| !c.is_ascii_hexdigit());
        u32::from_str_radix(&text[..end.unwrap_or(text.len())], 16).ok()
    });
    Some((comm, mask, after(rest, "order=").and_then(number)))
}

/// `CPU: 1 UID: 0 PID: 23033 Comm: java Not tainted ...` (before 6.12 without UID): the thread.
pub(super) fn thread(line: &str) -> Option<u32> {
    let rest = line.strip_prefix("CPU: ")?;
    number(after(rest, "PID: ")?)
}

/// `memory: usage 49152kB, limit 49152kB, failcnt 596`: usage and limit in bytes.
pub(super) fn usage(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("memory: usage ")?;
    let (usage, rest) = rest.split_once("kB, limit ")?;
    let (limit, _) = rest.split_once("kB,")?;
    Some((kib(usage)?, kib(limit)?))
}

fn kib(text: &str) -> Option<u64> {
    text.parse::<u64>().ok()?.checked_mul(1024)
}

/// The line before the table, and which column is which.
#[derive(Debug)]
pub(super) struct Columns(Vec<String>);

impl Columns {
    /// `[  pid  ]   uid  tgid total_vm      rss ... oom_score_adj name`
    pub(super) fn of(line: &str) -> Option<Self> {
        let rest = line.strip_prefix("[  pid  ]")?;
        let names: Vec<_> = rest.split_whitespace().map(str::to_owned).collect();
        (names.last().map(String::as_str) == Some("name")).then_some(Self(names))
    }

    /// `[  23033]     0 23033      990      694 ... 0 java`; a name may have blanks.
    pub(super) fn task(&self, line: &str) -> Option<OomLogTask> {
        let (tid, mut rest) = line.strip_prefix('[')?.split_once(']')?;
        let mut task = OomLogTask {
            tid: tid.trim().parse().ok()?,
            ..OomLogTask::default()
        };
        for column in &self.0 {
            if column == "name" {
                task.comm = rest.strip_prefix(' ').unwrap_or(rest).to_owned();
                break;
            }
            rest = rest.trim_start();
            let end = rest.find(' ').unwrap_or(rest.len());
            let (value, left) = rest.split_at(end);
            rest = left;
            match column.as_str() {
                "tgid" => task.pid = value.parse().ok()?,
                "rss" => task.rss_pages = value.parse().ok()?,
                "pgtables_bytes" => task.pagetable_bytes = value.parse().ok()?,
                "swapents" => task.swap_pages = value.parse().ok()?,
                "oom_score_adj" => task.oom_score_adj = value.parse().ok()?,
                _ => {}
            }
        }
        Some(task)
    }
}

/// `oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,
/// task_memcg=/a/b,task=java,pid=1,uid=0`; for the node `global_oom` instead of `oom_memcg=...`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) constraint: Option<OomConstraint>,
    pub(super) domain: Option<String>,
    pub(super) victim_cgroup: Option<String>,
    pub(super) pid: Option<u32>,
}

pub(super) fn chosen(line: &str) -> Option<Chosen> {
    let rest = line.strip_prefix("oom-kill:constraint=")?;
    let (constraint, rest) = rest.split_once(',')?;
    // Paths may have commas: each ends where the next key begins.
    let between = |from: &str, to: &str| {
        let text = after(rest, from)?;
        Some(text[..text.rfind(to)?].to_owned())
    };
    Some(Chosen {
        constraint: match constraint {
            "CONSTRAINT_NONE" => Some(OomConstraint::None),
            "CONSTRAINT_CPUSET" => Some(OomConstraint::Cpuset),
            "CONSTRAINT_MEMORY_POLICY" => Some(OomConstraint::MemoryPolicy),
            "CONSTRAINT_MEMCG" => Some(OomConstraint::Memcg),
            _ => None,
        },
        domain: between(",oom_memcg=", ",task_memcg="),
        victim_cgroup: between(",task_memcg=", ",task="),
        pid: rest.rsplit_once(",pid=").and_then(|(_, pid)| number(pid)),
    })
}

/// `Tasks in /a are going to be killed due to memory.oom.group set`
pub(super) fn group(line: &str) -> Option<&str> {
    line.strip_prefix("Tasks in ")?
        .strip_suffix(" are going to be killed due to memory.oom.group set")
}

/// `Memory cgroup out of memory: Killed process 23013 (java) total-vm:71772kB, ...`: thread, name,
/// whether a cgroup ran out.
pub(super) fn killed(line: &str) -> Option<(u32, &str, bool)> {
    let (message, rest) = line.split_once(": Killed process ")?;
    let tid = number(rest)?;
    let (_, rest) = rest.split_once(" (")?;
    let (comm, _) = rest.rsplit_once(") total-vm:").or(rest.rsplit_once(')'))?;
    Some((tid, comm, message.starts_with("Memory cgroup")))
}

fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split_once(mark).map(|(_, rest)| rest)
}

/// The number that a text begins with.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digit = |(place, c): (usize, char)| !(c.is_ascii_digit() || place == 0 && c == '-');
    let end = text.char_indices().find(|at| digit(*at));
    text[..end.map_or(text.len(), |(place, _)| place)]
        .parse()
        .ok()
}
