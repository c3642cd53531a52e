//! What is in the kernel, and what it has counted so far.

use std::{
    io::{self, Read as _},
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{
    Ebpf,
    maps::{MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues, RingBuf},
    programs::{Iter, Program, ProgramError, RawTracePoint},
};
use memtrace_ebpf::{
    exact::{COUNTERS, CounterFlow},
    hook::{Hook, HookStats},
    record::{ShrinkCounts, ShrinkKey},
    run::{HookState, RunTable},
};

use super::{
    AttachError,
    rungs::{Link, Taken},
    take_map,
};
use crate::{
    input::{ExactCounters, ExactFlow, HookCounters, HookOutcome},
    kernel::{
        hooks::{AttachPoint, Probe},
        programs::map,
    },
};

/// Programs in the kernel, attached until this is dropped.
pub struct Attached {
    pub(super) ebpf: Ebpf,
    /// What became of each signal.
    pub outcomes: Vec<HookOutcome>,
    pub(super) probes: Vec<Probe>,
    /// Dropped to detach: programs and their counters outlive it.
    pub(super) links: Vec<Link>,
    /// The flush program is loaded.
    flushes: bool,
    states: PerCpuArray<MapData, HookState>,
    counter_flows: PerCpuHashMap<MapData, u64, CounterFlow>,
    runs: PerCpuArray<MapData, RunTable>,
    shrinks: PerCpuHashMap<MapData, ShrinkKey, ShrinkCounts>,
}

/// One entry of the map of shrunk lists.
pub type ShrinkEntry = (ShrinkKey, PerCpuValues<ShrinkCounts>);

impl Attached {
    /// Of the programs that were loaded; takes the maps that are read.
    pub(super) fn new(
        mut ebpf: Ebpf,
        taken: Vec<Taken>,
        flushes: bool,
    ) -> Result<Self, AttachError> {
        let mut outcomes = Vec::new();
        let mut probes = Vec::new();
        let mut links = Vec::new();
        for signal in taken {
            outcomes.push(signal.outcome);
            probes.extend(signal.probes);
            links.extend(signal.links);
        }
        Ok(Self {
            outcomes,
            probes,
            links,
            flushes,
            states: take_map(&mut ebpf, map::STATES)?,
            runs: take_map(&mut ebpf, map::RUNS)?,
            shrinks: take_map(&mut ebpf, map::SHRINKS)?,
            counter_flows: take_map(&mut ebpf, map::COUNTER_FLOWS)?,
            ebpf,
        })
    }

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
    pub(in crate::kernel) fn flush_program(&self) -> Option<&RawTracePoint> {
        match self.ebpf.program("flush")? {
            Program::RawTracePoint(program) if self.flushes => Some(program),
            _ => None,
        }
    }

    /// Counters of one hook on each CPU.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn stats(&self, hook: Hook) -> Result<impl Iterator<Item = HookStats>, MapError> {
        let states = self.states.get(&(hook as u32), 0)?;
        let stats: Vec<HookStats> = states.iter().map(|state| state.stats).collect();
        Ok(stats.into_iter())
    }

    /// Runs of one hook that still sit on each CPU.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn runs(&self, hook: Hook) -> Result<Vec<RunTable>, MapError> {
        let states = self.states.get(&(hook as u32), 0)?;
        let tables = self.runs.get(&(hook as u32), 0)?;
        let mut runs = Vec::new();
        for (state, table) in states.iter().zip(tables.iter()) {
            let mut table = *table;
            let mut state = *state;
            state.put_back(&mut table);
            runs.push(table);
        }
        Ok(runs)
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
                for cpu in self.stats(hook)? {
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
