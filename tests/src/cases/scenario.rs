//! A scenario: something happens in a cgroup, the kernel's own counters say which part of memory it
//! was, and the verdict must name that part, the file and the process.

use anyhow::{Context as _, ensure};

use super::room::Room;
use crate::{
    bound,
    cgroup::{TestCgroup, Version},
    session::Explained,
    suite::Outcome,
};

/// What a scenario must be told as.
pub(super) struct Expected<'a> {
    /// Of the working set, by memory.stat's v2 name: the part that changes most.
    pub(super) component: &'a str,
    /// Rules that may say so; the first sentence must be one of theirs.
    pub(super) rules: &'a [&'a str],
    /// What the verdict must name.
    pub(super) names: Vec<String>,
}

/// Parts of kernel memory, which v1 does not tell apart.
const KERNEL: [&str; 7] = [
    "kernel_stack",
    "pagetables",
    "slab_reclaimable",
    "slab_unreclaimable",
    "percpu",
    "vmalloc",
    "sec_pagetables",
];
/// What v2's `kernel` has beside them.
const KERNEL_OTHER: &str = "kernel_other";

/// `Some(reason)` if this kernel does not count a part of memory apart from others.
pub(super) fn uncounted(room: &Room<'_>, component: &str) -> Option<Outcome> {
    let reason = format!("memory.stat has no {component} here");
    let component = counted_as(room, component);
    let figure = kernels_figure(room, component);
    figure.err().map(|_| Outcome::Skipped(reason))
}

/// v1 counts all kernel memory as one.
fn counted_as<'a>(room: &Room<'_>, component: &'a str) -> &'a str {
    match room.cgroup.version() {
        Version::V1 if KERNEL.contains(&component) || component == KERNEL_OTHER => "kernel",
        _ => component,
    }
}

/// Watches the room's cgroup while `work` is done, and judges the answer.
pub(super) fn told<'a>(
    room: &Room<'_>,
    component: &'a str,
    work: impl FnOnce() -> anyhow::Result<Expected<'a>>,
) -> anyhow::Result<(Explained, Outcome)> {
    let component = counted_as(room, component);
    let watch = room.watch()?;
    let before = kernels_figure(room, component)?;
    let expected = Expected {
        component,
        ..work()?
    };
    room.cgroup.read_settled()?;
    let after = kernels_figure(room, component)?;
    let explained = watch.finish()?;
    let outcome = judge(room, &explained, &expected, after - before)?;
    Ok((explained, outcome))
}

/// The component is the kernel's figure, it leads, and the verdict names what it must.
pub(super) fn judge(
    room: &Room<'_>,
    explained: &Explained,
    expected: &Expected<'_>,
    kernel_bytes: i64,
) -> anyhow::Result<Outcome> {
    let answer = &explained.answer;
    let Expected {
        component,
        rules,
        names,
    } = expected;
    let told = answer
        .component(component)
        .with_context(|| format!("no component {component}"))?;
    let slack = bound::justified_bytes(room.host) as i64;
    ensure!(
        (told - kernel_bytes).abs() <= slack,
        "{component} {told}, the kernel says {kernel_bytes}"
    );
    let largest = answer
        .components
        .iter()
        .max_by_key(|part| part.delta_bytes.abs())
        .context("no components")?;
    ensure!(
        largest.name == *component,
        "{component} changed by {told}, but {largest:?} more: the workload did something else"
    );
    let verdict = verdict(explained)?;
    let (rule, text) = (&verdict.0, &verdict.1);
    ensure!(rules.contains(&rule.as_str()), "{rule}: {text}");
    for name in names {
        ensure!(text.contains(name.as_str()), "{name:?} is not in {text:?}");
    }
    Ok(Outcome::Passed(format!(
        "{component} {told:+}, kernel {kernel_bytes:+}; {rule}: {text}"
    )))
}

/// The first sentence's rule, and all that was said.
pub(super) fn verdict(explained: &Explained) -> anyhow::Result<(String, String)> {
    let answer: serde_json::Value = serde_json::from_slice(&explained.finished.stdout)
        .or_else(|_| last_object(&explained.finished.stdout))?;
    let rule = answer["verdict_rules"][0].as_str().context("no rule")?;
    let text = answer["verdict"].as_str().context("no verdict")?;
    Ok((rule.to_owned(), text.to_owned()))
}

/// The answer, after what a command printed.
fn last_object(stdout: &[u8]) -> anyhow::Result<serde_json::Value> {
    let text = String::from_utf8_lossy(stdout);
    let start = text.rfind("\n{").context("no answer")?;
    Ok(serde_json::from_str(&text[start..])?)
}

/// `memtrace-hog (pid 4711)`: how the verdict names a workload.
pub(super) fn hog(pid: u32) -> String {
    format!("memtrace-hog (pid {pid})")
}

/// A component as the kernel counts it, in bytes.
fn kernels_figure(room: &Room<'_>, component: &str) -> anyhow::Result<i64> {
    let cgroup = &room.cgroup;
    let stat = |key: &str| {
        cgroup
            .key("memory.stat", key)
            .with_context(|| format!("no {key} in memory.stat"))
    };
    let bytes = match (cgroup.version(), component) {
        (Version::V1, "kernel") => cgroup.number("memory.kmem.usage_in_bytes")?,
        (Version::V1, "anon") => stat("rss")?,
        (Version::V2, KERNEL_OTHER) => {
            let named = KERNEL.iter().chain(&["zswap"]);
            let named: u64 = named.filter_map(|key| stat(key).ok()).sum();
            return Ok(stat("kernel")? as i64 - named as i64);
        }
        (Version::V2, "pagetables") => stat(component).or_else(|_| vm_pte_bytes(cgroup))?,
        _ => stat(component)?,
    };
    Ok(bytes as i64)
}

/// Page tables of the cgroup's processes: for 5.10, whose memory.stat does not count them.
fn vm_pte_bytes(cgroup: &TestCgroup) -> anyhow::Result<u64> {
    let procs = std::fs::read_to_string(cgroup.procs()).context("reading cgroup.procs")?;
    let kib = procs.lines().map(|pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmPTE:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.with_context(|| format!("no VmPTE of process {pid}"))
    });
    Ok(kib.sum::<anyhow::Result<u64>>()? << 10)
}
