//! What this kernel is and allows, gathered before anything is loaded.

use std::{collections::BTreeSet, fs, io, path::Path};

use memtrace_ebpf::layout::Layout;

use super::{
    btf::{Btf, BtfError, Kind},
    callers::Callers,
    hooks::{self, AttachPoint},
    layout::ResolvedLayout,
};
use crate::{
    input::{LruKind, RssCounters, StatError},
    tasks::field_bytes,
};

/// Where the kernel publishes its own types.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";
const LRU_GEN_PATH: &str = "/sys/kernel/mm/lru_gen/enabled";
const KPROBE_PMU: &str = "/sys/bus/event_source/devices/kprobe/type";
const LOCKDOWN_PATH: &str = "/sys/kernel/security/lockdown";

/// Why the kernel's facts could not be gathered.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// No BTF.
    #[error(
        "reading {BTF_PATH}: {0}: memtrace learns the kernel's layout there; it needs a kernel built with CONFIG_DEBUG_INFO_BTF and /sys mounted"
    )]
    NoBtf(#[source] io::Error),
    /// BTF that cannot be understood.
    #[error("reading the types in {BTF_PATH}: {0}")]
    BadBtf(#[from] BtfError),
}

/// Everything that decides which hooks are tried, and how the numbers are read.
#[derive(Debug)]
pub struct KernelFacts {
    /// `uname -r`, for people.
    pub release: String,
    /// Bytes of a base page.
    pub page_size_bytes: u64,
    /// Online CPUs.
    pub cpus: u64,
    /// Which LRU is on now.
    pub lru: LruKind,
    /// `bpf_probe_read_kernel` is refused.
    pub locked_down: bool,
    /// Why no kprobe can be attached, if none can.
    pub no_kprobes: Option<&'static str>,
    /// Members, enum values and switches the programs need.
    pub resolved: ResolvedLayout,
    /// Tracepoints (`btf_trace_*`) and functions of the hooks that this kernel has.
    pub known_targets: Vec<&'static str>,
    /// BTF that holds those alone, by the kernel's own type numbers.
    pub target_types: Vec<u8>,
    /// How far memory.stat and usage may lag.
    pub stat_error: StatError,
    /// What the OOM killer counts of a process.
    pub rss_counters: RssCounters,
    /// Bytes of a thread's stack in the kernel; `None` if it could not be measured.
    pub thread_stack_bytes: Option<u64>,
    /// Size of a `struct dentry`.
    pub dentry_bytes: Option<u64>,
    /// Who calls for reclaim.
    pub callers: Callers,
}

impl KernelFacts {
    /// Asks the kernel.
    ///
    /// # Errors
    /// If BTF is absent or damaged: without it nothing can be attached safely.
    pub fn gather() -> Result<Self, FactsError> {
        let blob = fs::read(BTF_PATH).map_err(FactsError::NoBtf)?;
        let btf = Btf::parse(&blob)?;
        let mut resolved = ResolvedLayout::resolve(&btf);
        let locked_down = locked_down();
        resolved.layout.set("probe_read", u32::from(!locked_down));
        if let Some(cpus) = possible_cpus() {
            resolved.layout.set("possible_cpus", cpus);
        }
        if locked_down {
            // What needs a name, or counters that lie in an array, would read zeros.
            let reason = "the lockdown forbids reading it (lockdown=confidentiality)";
            resolved.missing.push(("task_comm", reason.to_owned()));
        }
        let (known_targets, target_ids) = known_targets(&btf);
        let cpus = online_cpus();
        let uname = rustix::system::uname();
        Ok(Self {
            release: uname.release().to_string_lossy().into_owned(),
            page_size_bytes: rustix::param::page_size() as u64,
            cpus,
            lru: lru_kind(),
            locked_down,
            no_kprobes: no_kprobes(),
            known_targets,
            target_types: btf.sparse(&target_ids),
            stat_error: stat_error(&btf, cpus),
            rss_counters: rss_counters(&btf, cpus),
            thread_stack_bytes: thread_stack_bytes(),
            dentry_bytes: btf.struct_bytes("dentry").map(u64::from),
            callers: Callers::default(),
            resolved,
        })
    }

    /// The layout that the BPF programs get.
    pub fn layout(&self) -> &Layout {
        &self.resolved.layout
    }
}

/// Which LRU is on now; it can be switched at run time.
pub fn lru_kind() -> LruKind {
    // Absent: not compiled in. Otherwise a hexadecimal mask whose bit 0 is LRU_GEN_CORE
    // (Documentation/admin-guide/mm/multigen_lru.rst).
    let on = fs::read_to_string(LRU_GEN_PATH).is_ok_and(|mask| {
        u32::from_str_radix(mask.trim().trim_start_matches("0x"), 16)
            .is_ok_and(|mask| mask & 1 != 0)
    });
    if on {
        LruKind::MultiGen
    } else {
        LruKind::Classic
    }
}

/// Why there are no kprobes here, if there are none: the BPF object is built once for all
/// architectures and reads x86_64's registers, and the kernel may lack them (CONFIG_KPROBE_EVENTS).
/// Asked before their programs are loaded: the verifier takes some 20 ms for each.
fn no_kprobes() -> Option<&'static str> {
    if !cfg!(target_arch = "x86_64") {
        Some("the BPF object knows the registers of x86_64 only")
    } else if !Path::new(KPROBE_PMU).exists() {
        Some("this kernel has no kprobes for perf: no /sys/bus/event_source/devices/kprobe")
    } else {
        None
    }
}

/// Whether `bpf_probe_read_kernel` is refused (security/lockdown, LOCKDOWN_BPF_READ_KERNEL).
fn locked_down() -> bool {
    fs::read_to_string(Path::new(LOCKDOWN_PATH))
        .is_ok_and(|modes| modes.contains("[confidentiality]"))
}

fn online_cpus() -> u64 {
    cpu_ranges("/sys/devices/system/cpu/online")
        .map(|ranges| ranges.iter().map(|(first, last)| last - first + 1).sum())
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get() as u64))
}

/// A list of ranges, "0-3,8".
fn cpu_ranges(path: &str) -> Option<Vec<(u64, u64)>> {
    let list = fs::read_to_string(path).ok()?;
    let range = |text: &str| match text.split_once('-') {
        Some((first, last)) => {
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            (first <= last).then_some((first, last))
        }
        None => text.parse().ok().map(|cpu| (cpu, cpu)),
    };
    list.trim().split(',').map(range).collect()
}

/// `nr_cpu_ids`: how many CPUs there may ever be.
fn possible_cpus() -> Option<u32> {
    let ranges = cpu_ranges("/sys/devices/system/cpu/possible")?;
    let most = ranges.iter().map(|(_, last)| last + 1).max()?;
    u32::try_from(most).ok()
}

/// `THREAD_SIZE`, which BTF does not tell: what all stacks take, by the number of threads
/// (`/proc/meminfo`, `/proc/loadavg`), to the next power of two, since the counter lags.
fn thread_stack_bytes() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let loadavg = fs::read_to_string("/proc/loadavg").ok()?;
    measured_stack_bytes(&meminfo, &loadavg)
}

fn measured_stack_bytes(meminfo: &str, loadavg: &str) -> Option<u64> {
    let all = field_bytes(meminfo, "KernelStack")?;
    // `0.05 0.10 0.09 2/512 4711`: runnable and all threads.
    let threads: u64 = loadavg
        .split_whitespace()
        .nth(3)?
        .split_once('/')?
        .1
        .parse()
        .ok()?;
    // Half of a power of two more rounds up, half of it less down.
    let each = all.checked_div(threads)?;
    let above = each.checked_next_power_of_two()?;
    Some(if above - each <= each - above / 2 {
        above
    } else {
        above / 2
    })
    .filter(|bytes| *bytes >= 4096)
}

/// Three kinds of counters, by what BTF tells. KERNEL: include/linux/mm.h, `get_mm_counter`;
/// mm/oom_kill.c, `oom_badness`, which reads `percpu_counter.count` from 6.2 on and sums over all
/// CPUs from 7.0 on. That last change shows nowhere in BTF, so a function that came with the same
/// release stands for it; where a distribution has backported one without the other, the answer's
/// error bound still covers both readings.
fn rss_counters(btf: &Btf<'_>, cpus: u64) -> RssCounters {
    if btf
        .member("mm_struct.rss_stat[MM_FILEPAGES].count")
        .is_err()
    {
        RssCounters::Atomic
    } else if btf.has_func("bpf_mem_cgroup_page_state") {
        RssCounters::Summed
    } else {
        // lib/percpu_counter.c, `compute_batch_value`: a CPU keeps less than a batch to itself.
        RssCounters::PerCpu {
            lag_pages: 32.max(2 * cpus) * cpus,
        }
    }
}

/// Targets of the hooks that this kernel has, and the numbers of their types.
fn known_targets(btf: &Btf<'_>) -> (Vec<&'static str>, BTreeSet<u32>) {
    hooks::signals()
        .flat_map(|signal| signal.rungs)
        .flat_map(|rung| rung.probes)
        .filter_map(|probe| {
            let id = match probe.attach {
                AttachPoint::TpBtf(name) => {
                    // What is no prototype is no tracepoint.
                    btf.tracepoint_args(name)?;
                    btf.ids(Kind::Typedef, &format!("btf_trace_{name}")).next()
                }
                AttachPoint::Fentry(name)
                | AttachPoint::Fexit(name)
                | AttachPoint::Kprobe(name)
                | AttachPoint::Kretprobe(name) => btf.func_ids(name).next(),
                AttachPoint::Iter(name) => btf.func_ids(&format!("bpf_iter_{name}")).next(),
            };
            Some((probe.attach.target(), id?))
        })
        .unzip()
}

/// KERNEL: mm/memcontrol.c. Usage holds up to `MEMCG_CHARGE_BATCH` (64; 32 before 6.0) pages a CPU
/// that nobody uses yet. With rstat (from 5.15) a read of memory.stat leaves up to 64 updates a CPU
/// unflushed, and up to 63 more a CPU are not counted as pending. Before, each counter keeps up to
/// 32 pages a CPU to itself and is never flushed.
fn stat_error(btf: &Btf<'_>, cpus: u64) -> StatError {
    let rstat = btf.has_struct("memcg_vmstats");
    let (stat_pages, counter_pages) = if rstat {
        ((64 + 63) * cpus, (64 + 63) * cpus)
    } else {
        // Five counters make up the identity: anon, file, slab (two) and kernel stacks.
        (5 * 32 * cpus, 32 * cpus)
    };
    StatError {
        stock_pages: 64 * cpus,
        stat_pages,
        counter_pages,
    }
}

#[cfg(test)]
mod tests {
    use super::measured_stack_bytes;

    #[test]
    fn a_stack_is_a_power_of_two_however_the_counter_lags() {
        let of = |kib: u64, threads: u64| {
            let meminfo = format!("MemFree: 1 kB\nKernelStack:    {kib} kB\n");
            measured_stack_bytes(&meminfo, &format!("0.1 0.2 0.3 6/{threads} 163"))
        };
        assert_eq!(of(1764, 112), Some(16 << 10));
        assert_eq!(of(1900, 112), Some(16 << 10));
        assert_eq!(of(64 * 300, 300), Some(64 << 10));
        assert_eq!(of(1764, 0), None);
        assert_eq!(measured_stack_bytes("", "0 0 0 1/2 3"), None);
    }
}
