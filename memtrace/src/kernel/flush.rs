//! Runs the flush program on every CPU that has runs to send.

use std::collections::BTreeMap;

use aya::{
    maps::MapError,
    programs::{ProgramError, RawTracePointRunOptions, TestRun as _},
};
use memtrace_ebpf::{hook::Hook, run::RUN_TABLES};

use super::attach::Attached;

/// Why runs could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// The counters could not be read.
    #[error("reading the hooks' counters: {0}")]
    Stats(#[from] MapError),
    /// The program could not be run.
    #[error("running the flush program on CPU {cpu}: {error}")]
    Run {
        /// Where.
        cpu: u32,
        /// What happened.
        error: ProgramError,
    },
}

/// Remembers what each hook had produced on each CPU when it was flushed last: an idle CPU is left
/// asleep.
#[derive(Debug, Default)]
pub struct Flusher {
    flushed: BTreeMap<(u32, usize), u64>,
}

impl Flusher {
    /// Sends the runs older than `min_age_ns` of every hook and CPU that produced something since.
    ///
    /// The program is run on the CPU by an interrupt (`BPF_F_TEST_RUN_ON_CPU`), which also works
    /// where a cpuset keeps memtrace itself off that CPU. It leaves alone a table whose hook it
    /// interrupted, and such a table is visited again next time.
    ///
    /// # Errors
    /// If the kernel refuses to run the program. An offline CPU is not an error.
    ///
    /// Returns how many runs stayed: too young, or no room in the ring buffer.
    pub fn flush(&mut self, attached: &Attached, min_age_ns: u64) -> Result<u64, FlushError> {
        let mut kept = 0;
        let Some(program) = attached.flush_program() else {
            return Ok(0);
        };
        for hook in Hook::ALL.into_iter().take(RUN_TABLES as usize) {
            for (cpu, stats) in attached.stats(hook)?.enumerate() {
                let hook = hook as u32;
                // A hook that never ran produced nothing.
                let flushed = self.flushed.entry((hook, cpu)).or_default();
                if *flushed == stats.pages_produced {
                    continue;
                }
                let cpu = u32::try_from(cpu).unwrap_or(u32::MAX);
                let mut options = RawTracePointRunOptions::new();
                options.args[..2].copy_from_slice(&[min_age_ns, u64::from(hook)]);
                options.cpu = Some(cpu);
                match program.test_run(options) {
                    Ok(result) if result.return_value == 0 => *flushed = stats.pages_produced,
                    Ok(result) => kept += u64::from(result.return_value),
                    Err(error) if is_offline(&error) => {}
                    Err(error) => return Err(FlushError::Run { cpu, error }),
                }
            }
        }
        Ok(kept)
    }
}

/// `ENXIO`: the CPU is possible but offline (net/bpf/test_run.c).
fn is_offline(error: &ProgramError) -> bool {
    matches!(error, ProgramError::SyscallError(error) if error.io_error.raw_os_error() == Some(6))
}
