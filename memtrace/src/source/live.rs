//! A live kernel: the ring buffer read as inputs, and what the hooks count.

use std::io;

use aya::maps::MapError;
use memtrace_ebpf::{
    hook::Hook,
    record::{Header, Tag},
    run::RUN_TABLES,
};
use rustix::time::{ClockId, clock_gettime};

use super::{decode, ring::Ring};
use crate::{
    input::{ExactCounters, HookCounters, HookOutcome, Input, ShrinkSum},
    kernel::{
        attach::{self, AttachError, Attached, LoadOptions},
        facts::KernelFacts,
        flush::{FlushError, Flusher},
        hooks, plan,
    },
};

/// Why the kernel could not be read any more.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Nothing could be attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// Runs could not be sent.
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// Counters could not be read.
    #[error("reading the hooks' counters: {0}")]
    Counters(#[from] MapError),
    /// The task iterator failed.
    #[error("reading the kernel's task iterator: {0}")]
    Tasks(#[source] io::Error),
}

/// Hooks in the kernel and the stream that comes from them.
pub struct Live {
    attached: Attached,
    ring: Ring,
    logger: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
    flusher: Flusher,
    undecodable: u64,
}

impl Live {
    /// Loads and attaches what an explanation needs. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If nothing at all can be attached.
    pub fn start(facts: &KernelFacts, options: &LoadOptions) -> Result<Self, LiveError> {
        Self::start_some(facts, options, |signal| {
            !hooks::OOM_REPORT_SIGNALS.contains(&signal)
        })
    }

    /// Loads and attaches the signals whose name is wanted. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If nothing at all can be attached.
    pub fn start_some(
        facts: &KernelFacts,
        options: &LoadOptions,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Self, LiveError> {
        let mut plan = plan::plan(facts, options.exact, &options.without);
        plan.retain(|planned| wanted(planned.signal.name));
        let mut attached = attach::attach(facts, plan, options)?;
        let ring = attached.take_ring()?;
        let logger = if options.verbose {
            match attached.logger() {
                Ok(logger) => Some(logger),
                Err(error) => {
                    log::warn!("the BPF programs' log cannot be read: {error}");
                    None
                }
            }
        } else {
            None
        };
        let ring = Ring::new(ring, facts.callers.clone());
        Ok(Self {
            ring,
            attached,
            logger,
            flusher: Flusher::default(),
            undecodable: 0,
        })
    }

    /// What became of each signal.
    pub fn outcomes(&self) -> &[HookOutcome] {
        &self.attached.outcomes
    }

    /// The programs in the kernel.
    pub fn attached(&mut self) -> &mut Attached {
        &mut self.attached
    }

    /// Records that could not be decoded: a programming error, never silent.
    pub fn undecodable(&self) -> u64 {
        self.undecodable + self.ring.undecodable()
    }

    /// Waits until something was told.
    pub async fn readable(&mut self) {
        self.ring.readable().await;
    }

    /// All that was told by now.
    pub fn drain(&mut self) -> Vec<Input> {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        self.ring.drain()
    }

    /// Sends the runs that are older than `min_age_ns` into the ring buffer. Returns how many stay.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn flush(&mut self, min_age_ns: u64) -> Result<u64, LiveError> {
        Ok(self.flusher.flush(&self.attached, min_age_ns)?)
    }

    /// Every process, as the iterator's stream; `None` if the iterator is off.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn task_samples(&mut self) -> Result<Option<Vec<u8>>, LiveError> {
        self.attached
            .task_samples()
            .transpose()
            .map_err(LiveError::Tasks)
    }

    /// Who was shrunk on whose behalf so far; `None` if that hook is off.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn shrinks(&mut self) -> Result<Option<Vec<ShrinkSum>>, LiveError> {
        let Some(entries) = self.attached.shrinks().transpose()? else {
            return Ok(None);
        };
        let mut sums = Vec::new();
        for (key, counts) in entries {
            match decode::shrink(&key, &counts) {
                Ok(sum) => sums.push(sum),
                Err(error) => {
                    self.undecodable += 1;
                    log::error!("an entry of the kernel's reclaim sums could not be read: {error}");
                }
            }
        }
        Ok(Some(sums))
    }

    /// Exact mode: what came to and left the counters of some cgroups; `None` if it is off.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn counter_flows(
        &self,
        cgroup_ids: impl Iterator<Item = u64>,
    ) -> Result<Option<Vec<ExactCounters>>, LiveError> {
        Ok(self.attached.counter_flows(cgroup_ids)?)
    }

    /// What the hooks did so far.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn counters(&self) -> Result<Vec<HookCounters>, LiveError> {
        Ok(self.attached.counters()?)
    }

    /// Detaches every hook, brings in what they still held, and returns what they did in all.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn finish(mut self, mut sink: impl FnMut(Input)) -> Result<Vec<HookCounters>, LiveError> {
        self.attached.detach();
        // A hook may still be running on another CPU; an RCU grace period later it has ended
        // (membarrier(2)). Should that be refused, its table is busy below, and waited for.
        let _ = rustix::thread::membarrier(rustix::thread::MembarrierCommand::Global);
        // With a small ring buffer it takes several rounds to get everything through.
        for _ in 0..1_000 {
            let kept = self.flush(0)?;
            self.drain().into_iter().for_each(&mut sink);
            if kept == 0 {
                break;
            }
        }
        self.leftovers(&mut sink)?;
        Ok(self.attached.counters()?)
    }

    /// Runs on CPUs where the flush program could not run, read from the map itself.
    fn leftovers(&mut self, sink: &mut impl FnMut(Input)) -> Result<(), LiveError> {
        let now_ns = monotonic_ns();
        for hook in Hook::ALL.into_iter().take(RUN_TABLES as usize) {
            for (cpu, table) in self.attached.runs(hook)?.iter().enumerate() {
                for run in table.runs.iter().filter(|run| run.pages != 0) {
                    let header = Header {
                        tag: Tag::Run as u32,
                        cpu: u32::try_from(cpu).unwrap_or(u32::MAX),
                        sent_ns: now_ns,
                    };
                    match decode::run(&run.record(header, hook as u32), now_ns) {
                        Ok(event) => sink(Input::Run(event)),
                        Err(error) => {
                            self.undecodable += 1;
                            log::error!("a run left in the kernel could not be read: {error}");
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// `CLOCK_MONOTONIC`, the clock of `bpf_ktime_get_ns`.
pub fn monotonic_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// `CLOCK_REALTIME`, ns since 1970.
pub fn unix_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

fn nanoseconds(time: rustix::time::Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}
