//! A program that traces or samples while something else is measured.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::process::{Finished, Running};
use rustix::process::Signal;

use super::Bench;

/// bpftrace does not say when it has attached.
const BPFTRACE_STARTS: Duration = Duration::from_secs(3);

/// Hooks are attached when none came for so long; and they come within so much.
const NO_MORE_HOOKS: Duration = Duration::from_millis(300);
const HOOKS_WITHIN: Duration = Duration::from_secs(60);

/// What runs beside the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tracer {
    Off,
    /// `memtrace explain` of a cgroup: every default hook.
    Memtrace,
    /// bpftrace that counts activations by cgroup.
    BpftraceCount,
    /// bpftrace that prints each.
    BpftracePrint,
}

impl Tracer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Memtrace => "memtrace explain",
            Self::BpftraceCount => "bpftrace, count() by cgroup",
            Self::BpftracePrint => "bpftrace, a line each",
        }
    }

    /// Whether it can run here.
    pub(super) fn is_there(self, bench: &Bench) -> bool {
        match self {
            Self::Off | Self::Memtrace => true,
            Self::BpftraceCount | Self::BpftracePrint => bench.peers.bpftrace.is_some(),
        }
    }

    /// Starts it, on `cgroup`; returns once it is at work.
    pub(super) fn start(self, bench: &Bench, cgroup: &Path) -> Result<Option<Running>> {
        match self {
            Self::Off => Ok(None),
            Self::Memtrace => explain(bench, cgroup).map(Some),
            Self::BpftraceCount => bpftrace(bench, "@[cgroup] = count();").map(Some),
            Self::BpftracePrint => {
                bpftrace(bench, r#"printf("%d %d %s\n", cgroup, pid, comm);"#).map(Some)
            }
        }
    }
}

/// `memtrace explain` of a cgroup, attached.
pub(super) fn explain(bench: &Bench, cgroup: &Path) -> Result<Running> {
    let mut command = Command::new(&bench.memtrace);
    command
        .args(["explain", "-o", "json", "--for", "3600s"])
        .arg(cgroup);
    let running = Running::start(&mut command)?;
    wait_for_hooks(running.pid())?;
    Ok(running)
}

/// Waits until a process holds BPF links, and no more come. Not by what memtrace says with `-v`: that
/// lets its programs log, which costs.
pub(super) fn wait_for_hooks(pid: u32) -> Result<()> {
    let start = Instant::now();
    let mut last = (0, Instant::now());
    loop {
        let links = bpf_links(pid)?;
        if links != last.0 {
            last = (links, Instant::now());
        } else if links > 0 && last.1.elapsed() >= NO_MORE_HOOKS {
            return Ok(());
        }
        ensure!(
            start.elapsed() < HOOKS_WITHIN,
            "process {pid} attached {links} hooks in {HOOKS_WITHIN:?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// How many BPF links a process holds (`link_type:` in their fdinfo, from 5.8).
fn bpf_links(pid: u32) -> Result<usize> {
    let folder = format!("/proc/{pid}/fdinfo");
    let entries = fs::read_dir(&folder)
        .with_context(|| format!("list {folder}: has the program ended early?"))?;
    Ok(entries
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .filter(|text| text.lines().any(|line| line.starts_with("link_type:")))
        .count())
}

/// In a mount namespace of its own: bpftrace needs tracefs, which need not be mounted here.
fn bpftrace(bench: &Bench, action: &str) -> Result<Running> {
    let program = bench.peers.bpftrace.as_ref().context("no bpftrace")?;
    let script = format!("tracepoint:pagemap:mm_lru_activate {{ {action} }}");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg(
            "[ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing; \
             exec \"$0\" -o /dev/null -e \"$1\"",
        )
        .arg(program)
        .arg(script);
    let running = Running::start(&mut command)?;
    thread::sleep(BPFTRACE_STARTS);
    Ok(running)
}

/// Asks it to end, as a user would, and waits.
pub(super) fn stop(running: Running) -> Result<Finished> {
    running.signal(Signal::INT)?;
    running.wait()
}

/// What a process used of the CPU between two looks, and its memory at the last.
pub(super) struct Usage {
    start: Instant,
    cpu_seconds: f64,
}

impl Usage {
    pub(super) fn begin(pid: u32) -> Result<Self> {
        Ok(Self {
            start: Instant::now(),
            cpu_seconds: cpu_seconds(pid)?,
        })
    }

    /// Percent of one core since the beginning.
    pub(super) fn percent_of_core(&self, pid: u32) -> Result<f64> {
        let used = cpu_seconds(pid)? - self.cpu_seconds;
        Ok(100.0 * used / self.start.elapsed().as_secs_f64())
    }
}

/// CPU time of all threads so far, from the scheduler's sums, which are exact to the nanosecond where
/// `/proc/PID/stat` counts ticks (proc_pid_schedstat(5)). Threads that have ended are left out.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let folder = format!("/proc/{pid}/task");
    let mut total_ns = 0u64;
    for task in fs::read_dir(&folder).with_context(|| format!("list {folder}"))? {
        let path = task?.path().join("schedstat");
        // A thread that ended meanwhile.
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let first = text.split(' ').next().unwrap_or_default();
        total_ns += first
            .parse::<u64>()
            .with_context(|| format!("read {}: {text:?}", path.display()))?;
    }
    Ok(total_ns as f64 / 1e9)
}

/// Resident memory now, MiB.
pub(super) fn resident_mib(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.trim().parse::<f64>().ok())
        .with_context(|| format!("no VmRSS in {path}"))?;
    Ok(kib / 1024.0)
}
