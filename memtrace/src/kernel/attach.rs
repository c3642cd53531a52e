//! Plan -> programs in the kernel. A refused rung is a fact to report, not a failure.

use std::{
    io::{self, Read as _},
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{
    Btf, Ebpf, EbpfLoader, VerifierLogLevel,
    maps::{MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues, RingBuf},
    programs::{
        BtfTracePoint, FEntry, FExit, Iter, KProbe, Program, ProgramError, RawTracePoint,
        fentry::FEntryLink, fexit::FExitLink, kprobe::KProbeLink, tp_btf::BtfTracePointLink,
    },
};
use memtrace_ebpf::{
    exact::{COUNTERS, CounterFlow},
    hook::{Hook, HookStats},
    record::{ShrinkCounts, ShrinkKey},
    run::RunTable,
};

use super::{
    facts::KernelFacts,
    hooks::{AttachPoint, Probe, Rung},
    plan::Planned,
    programs::{OBJECT, map},
};
use crate::input::{ExactCounters, ExactFlow, HookCounters, HookOutcome};

/// Why memtrace could not start to trace at all.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kernel refused for want of privilege.
    #[error(
        "loading BPF programs: not permitted: run as root, or with CAP_BPF and CAP_PERFMON (and CAP_SYS_RESOURCE before 5.11)"
    )]
    NotPermitted,
    /// The object could not be loaded.
    #[error("loading the BPF object: {0}")]
    Load(#[from] aya::EbpfError),
    /// aya could not read the kernel's BTF.
    #[error("reading the kernel's BTF: {0}")]
    Btf(#[from] aya::BtfError),
    /// A map is not as expected.
    #[error("opening BPF map {name}: {error}")]
    Map {
        /// Which one.
        name: &'static str,
        /// What happened.
        error: MapError,
    },
    /// A program that nothing works without.
    #[error("loading BPF program {name}: {error}")]
    Program {
        /// Which one.
        name: &'static str,
        /// What happened.
        error: ProgramError,
    },
}

/// What a kprobe in a trampoline's place costs: it tells the same.
const KPROBE_COST: &str =
    "each call costs more time, and is not seen while another kprobe is at work on that CPU";

/// Cgroups whose counters exact mode can sum: 128 bytes each and CPU. A node has at most some
/// thousands that are in use at once.
const EXACT_CGROUPS: u32 = 8_192;

/// How to load.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Size of the ring buffer; a power of two and at least a page.
    pub ring_bytes: u32,
    /// Let the programs log.
    pub verbose: bool,
    /// Sum every update of a memcg's counters, too.
    pub exact: bool,
    /// Hooks to leave out, as `doctor` names them, e.g. `fentry/workingset_activation`.
    pub without: Vec<String>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        // 1 MiB: 13,000 runs, while a busy machine makes hundreds a second.
        Self {
            ring_bytes: 1 << 20,
            verbose: false,
            exact: false,
            without: Vec::new(),
        }
    }
}

/// Programs in the kernel, attached until this is dropped.
pub struct Attached {
    ebpf: Ebpf,
    /// What became of each signal.
    pub outcomes: Vec<HookOutcome>,
    probes: Vec<Probe>,
    /// Dropped to detach: programs and their counters outlive it.
    links: Vec<Link>,
    /// The flush program is loaded.
    flushes: bool,
    stats: PerCpuArray<MapData, HookStats>,
    counter_flows: PerCpuHashMap<MapData, u64, CounterFlow>,
    runs: PerCpuArray<MapData, RunTable>,
    shrinks: PerCpuHashMap<MapData, ShrinkKey, ShrinkCounts>,
}

/// One entry of the map of shrunk lists.
pub type ShrinkEntry = (ShrinkKey, PerCpuValues<ShrinkCounts>);

/// What keeps a program on its hook.
#[expect(dead_code, reason = "held for its Drop")]
enum Link {
    TpBtf(BtfTracePointLink),
    Fentry(FEntryLink),
    Fexit(FExitLink),
    Kprobe(KProbeLink),
}

/// Loads the object with the layout of this kernel, and attaches what the plan allows.
///
/// # Errors
/// Only if nothing can be loaded: no privilege, no object. A hook that is refused, and be it every
/// one (as with CAP_BPF alone), becomes part of [`Attached::outcomes`].
pub fn attach(
    facts: &KernelFacts,
    plan: Vec<Planned>,
    options: &LoadOptions,
) -> Result<Attached, AttachError> {
    // Kernels before 5.11 count maps against RLIMIT_MEMLOCK; failing to raise it shows up as EPERM
    // from the load below, so the result does not matter here.
    let unlimited = rustix::process::Rlimit {
        current: None,
        maximum: None,
    };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Memlock, unlimited);
    let layout = *facts.layout();
    // aya-log's levels: 0 lets nothing pass, and the verifier prunes the calls.
    let log_level: u8 = if options.verbose { 5 } else { 0 };
    let mut ebpf = EbpfLoader::new()
        // The log is only fetched when a program is refused.
        .verifier_log_level(VerifierLogLevel::DEBUG)
        .override_global("LAYOUT", &layout, true)
        .override_global("AYA_LOG_LEVEL", &log_level, false)
        .map_max_entries(map::EVENTS, options.ring_bytes)
        .map_max_entries(
            map::COUNTER_FLOWS,
            if options.exact { EXACT_CGROUPS } else { 1 },
        )
        .load(OBJECT)
        .map_err(|error| {
            if is_permission(&error) {
                AttachError::NotPermitted
            } else {
                error.into()
            }
        })?;
    let btf = Btf::from_sys_fs()?;
    let mut outcomes = Vec::new();
    let mut probes = Vec::new();
    let mut links = Vec::new();
    for planned in plan {
        let mut refused = Vec::new();
        let mut attached = None;
        let mut cost = planned.signal.cost;
        for (rung, reason) in planned.rungs {
            let result = match reason {
                Some(reason) => Err(reason),
                None => attach_rung(&mut ebpf, rung, &btf),
            };
            match result {
                Ok(taken) => {
                    attached = Some(rung.to_string());
                    if rung.is_kprobe() {
                        cost = KPROBE_COST;
                    }
                    probes.extend(rung.probes);
                    links.extend(taken);
                    break;
                }
                Err(reason) => refused.push((rung.to_string(), reason)),
            }
        }
        outcomes.push(HookOutcome {
            signal: planned.signal.name.to_owned(),
            attached,
            refused,
            cost: cost.to_owned(),
            optional: planned.signal.optional,
            opt_in: planned.signal.opt_in.map(str::to_owned),
        });
    }
    // Without a hook there is nothing to flush, and what refused the hooks would refuse this too.
    let flushes = !links.is_empty();
    if flushes {
        load_flush(&mut ebpf).map_err(|error| AttachError::Program {
            name: "flush",
            error,
        })?;
    }
    let stats = take_map(&mut ebpf, map::STATS)?;
    let runs = take_map(&mut ebpf, map::RUNS)?;
    let shrinks = take_map(&mut ebpf, map::SHRINKS)?;
    let counter_flows = take_map(&mut ebpf, map::COUNTER_FLOWS)?;
    Ok(Attached {
        ebpf,
        outcomes,
        probes,
        links,
        flushes,
        stats,
        counter_flows,
        runs,
        shrinks,
    })
}

/// Attaches every program of a rung, or none: what hangs already is dropped when a later one is
/// refused. The error says why, in one line.
fn attach_rung(ebpf: &mut Ebpf, rung: Rung, btf: &Btf) -> Result<Vec<Link>, String> {
    let mut links = Vec::new();
    for probe in rung.probes {
        match attach_one(ebpf, *probe, btf) {
            Ok(link) => links.extend(link),
            Err(error) => {
                if let ProgramError::LoadError { verifier_log, .. } = &error {
                    log::debug!("{}: the verifier says:\n{verifier_log}", probe.program);
                }
                let reason = words(&error);
                return Err(match rung.probes {
                    [_] => reason,
                    _ => format!("{}: {reason}", probe.attach),
                });
            }
        }
    }
    Ok(links)
}

/// Loads and attaches one program. An iterator is only loaded: it is attached anew for each scan.
fn attach_one(ebpf: &mut Ebpf, probe: Probe, btf: &Btf) -> Result<Option<Link>, ProgramError> {
    let program = ebpf
        .program_mut(probe.program)
        .ok_or(ProgramError::NotLoaded)?;
    match probe.attach {
        AttachPoint::TpBtf(name) => {
            let program: &mut BtfTracePoint = program.try_into()?;
            program.load(name, btf)?;
            let link = program.attach()?;
            Ok(Some(Link::TpBtf(program.take_link(link)?)))
        }
        AttachPoint::Fentry(name) => {
            let program: &mut FEntry = program.try_into()?;
            program.load(name, btf)?;
            let link = program.attach()?;
            Ok(Some(Link::Fentry(program.take_link(link)?)))
        }
        AttachPoint::Fexit(name) => {
            let program: &mut FExit = program.try_into()?;
            program.load(name, btf)?;
            let link = program.attach()?;
            Ok(Some(Link::Fexit(program.take_link(link)?)))
        }
        AttachPoint::Kprobe(name) | AttachPoint::Kretprobe(name) => {
            let program: &mut KProbe = program.try_into()?;
            program.load()?;
            let link = program.attach(name, 0)?;
            Ok(Some(Link::Kprobe(program.take_link(link)?)))
        }
        AttachPoint::Iter(name) => {
            let program: &mut Iter = program.try_into()?;
            program.load(name, btf)?;
            Ok(None)
        }
    }
}

fn load_flush(ebpf: &mut Ebpf) -> Result<(), ProgramError> {
    let program: &mut RawTracePoint = ebpf
        .program_mut("flush")
        .ok_or(ProgramError::NotLoaded)?
        .try_into()?;
    program.load()
}

fn take_map<M: TryFrom<aya::maps::Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<M, AttachError> {
    ebpf.take_map(name)
        .ok_or_else(|| MapError::InvalidName {
            name: name.to_owned(),
        })
        .and_then(M::try_from)
        .map_err(|error| AttachError::Map { name, error })
}

fn is_permission(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    })
}

/// Programs that look at the kernel need one of these (kernel/bpf/syscall.c, `bpf_prog_load`).
fn lacks_perfmon() -> bool {
    use rustix::thread::CapabilitySet as Set;
    rustix::thread::capabilities(None)
        .is_ok_and(|own| !own.effective.intersects(Set::PERFMON | Set::SYS_ADMIN))
}

/// A refusal in one line: the error number first, then what the verifier said last.
fn words(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let log = verifier_log.to_string();
            let last = log
                .lines()
                .rfind(|line| !line.is_empty() && !line.starts_with("processed "));
            match (io_error.raw_os_error(), last) {
                (Some(1), None) if lacks_perfmon() => {
                    "EPERM: needs CAP_PERFMON (or CAP_SYS_ADMIN)".to_owned()
                }
                (Some(1), None) => "EPERM: this kernel's policy refuses such programs".to_owned(),
                (_, Some(last)) => format!("{io_error}: {last}"),
                (_, None) => io_error.to_string(),
            }
        }
        // aya says what it was doing, the errors beneath say why it failed.
        other => std::iter::successors(Some(other as &dyn std::error::Error), |e| e.source())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": "),
    }
}

impl Attached {
    /// The ring buffer of all records. Once.
    ///
    /// # Errors
    /// If it was taken already, or cannot be mapped.
    pub fn take_ring(&mut self) -> Result<RingBuf<MapData>, AttachError> {
        take_map(&mut self.ebpf, map::EVENTS)
    }

    /// The programs' own log. Once, and only if they were loaded with `verbose`.
    ///
    /// # Errors
    /// As aya reports them.
    pub fn logger(&mut self) -> Result<aya_log::EbpfLogger<&'static dyn log::Log>, aya_log::Error> {
        aya_log::EbpfLogger::init(&mut self.ebpf)
    }

    /// Reads every process in one pass of the iterator: [`TaskSample`]s back to back. `None` if
    /// the iterator is off.
    ///
    /// [`TaskSample`]: memtrace_ebpf::record::TaskSample
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn task_samples(&mut self) -> Option<io::Result<Vec<u8>>> {
        let probe = self
            .probes
            .iter()
            .find(|probe| matches!(probe.attach, AttachPoint::Iter("task")))?;
        let program = self.ebpf.program_mut(probe.program)?;
        Some(read_iterator(program).map_err(io::Error::other).flatten())
    }

    /// Takes every hook out of the kernel. Maps and counters stay readable.
    pub fn detach(&mut self) {
        self.links.clear();
    }

    /// The flush program; `None` if no hook is attached that makes runs.
    pub(super) fn flush_program(&self) -> Option<&RawTracePoint> {
        match self.ebpf.program("flush")? {
            Program::RawTracePoint(program) if self.flushes => Some(program),
            _ => None,
        }
    }

    /// Counters of one hook on each CPU.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn stats(&self, hook: Hook) -> Result<PerCpuValues<HookStats>, MapError> {
        self.stats.get(&(hook as u32), 0)
    }

    /// Runs of one hook that still sit on each CPU.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn runs(&self, hook: u32) -> Result<PerCpuValues<RunTable>, MapError> {
        self.runs.get(&hook, 0)
    }

    /// Who was shrunk on whose behalf so far; `None` if that hook is off.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn shrinks(&self) -> Option<Result<Vec<ShrinkEntry>, MapError>> {
        let is_on = |probe: &Probe| probe.hook == Some(Hook::ShrinkReturn);
        self.probes
            .iter()
            .any(is_on)
            .then(|| self.shrinks.iter().collect())
    }

    /// What was added to and taken from the counters of some cgroups since the hooks were attached;
    /// `None` if exact mode is off. A cgroup of which nothing changed is absent.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn counter_flows(
        &self,
        cgroup_ids: impl Iterator<Item = u64>,
    ) -> Result<Option<Vec<ExactCounters>>, MapError> {
        let mut probes = self.probes.iter();
        if !probes.any(|probe| probe.hook == Some(Hook::CounterUpdate)) {
            return Ok(None);
        }
        let mut found = Vec::new();
        for cgroup_id in cgroup_ids {
            let cpus = match self.counter_flows.get(&cgroup_id, 0) {
                Ok(cpus) => cpus,
                Err(MapError::KeyNotFound) => continue,
                Err(error) => return Err(error),
            };
            let sum = |of: fn(&CounterFlow) -> &[u64; COUNTERS.len()]| {
                let mut sums = [0; COUNTERS.len()];
                for (counter, pages) in sums.iter_mut().enumerate() {
                    *pages = cpus.iter().map(|cpu| of(cpu)[counter]).sum();
                }
                sums
            };
            let (in_pages, out_pages) = (sum(|cpu| &cpu.in_pages), sum(|cpu| &cpu.out_pages));
            let flows = COUNTERS.iter().zip(in_pages).zip(out_pages);
            found.push(ExactCounters {
                cgroup_id,
                flows: flows
                    .map(|((counter, in_pages), out_pages)| ExactFlow {
                        counter: (*counter).to_owned(),
                        in_pages,
                        out_pages,
                    })
                    .collect(),
            });
        }
        Ok(Some(found))
    }

    /// What every attached hook did so far, all CPUs, and the flush program.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn counters(&self) -> Result<Vec<HookCounters>, MapError> {
        let flush = (Hook::Flush, "flush", "flush".to_owned());
        self.probes
            .iter()
            .filter_map(|probe| Some((probe.hook?, probe.program, probe.attach.to_string())))
            .chain([flush])
            .map(|(hook, program, name)| {
                let mut counters = HookCounters {
                    hook: name,
                    recursion_misses: self.recursion_misses(program).unwrap_or(0),
                    ..HookCounters::default()
                };
                for cpu in self.stats(hook)?.iter() {
                    counters.pages_produced += cpu.pages_produced;
                    counters.pages_lost += cpu.pages_lost;
                    counters.records_sent += cpu.sent.iter().sum::<u64>();
                    counters.records_lost += cpu.lost.iter().sum::<u64>();
                }
                Ok(counters)
            })
            .collect()
    }

    /// Times the kernel skipped a program because it was already running on that CPU
    /// (kernel/bpf/trampoline.c, kernel/trace/bpf_trace.c; from 5.12), or, a kprobe's, because any
    /// other kprobe's program was (`trace_call_bpf`; counted from 6.6).
    fn recursion_misses(&self, program: &str) -> Option<u64> {
        let fd = match self.ebpf.program(program)? {
            Program::BtfTracePoint(program) => program.fd(),
            Program::FEntry(program) => program.fd(),
            Program::FExit(program) => program.fd(),
            Program::KProbe(program) => program.fd(),
            Program::RawTracePoint(program) => program.fd(),
            _ => return None,
        }
        .ok()?;
        let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
        std::fs::read_to_string(path)
            .ok()?
            .lines()
            .find_map(|line| line.strip_prefix("recursion_misses:"))?
            .trim()
            .parse()
            .ok()
    }
}

fn read_iterator(program: &mut Program) -> Result<io::Result<Vec<u8>>, ProgramError> {
    let program: &mut Iter = program.try_into()?;
    let link = program.attach()?;
    let mut file = match program.take_link(link)?.into_file() {
        Ok(file) => file,
        Err(error) => return Ok(Err(io::Error::other(error))),
    };
    let mut bytes = Vec::new();
    Ok(file.read_to_end(&mut bytes).map(|_| bytes))
}
