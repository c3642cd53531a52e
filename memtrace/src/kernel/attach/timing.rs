//! What the kernel measures of programs: how often they ran, and how long that took.

use std::{io, os::fd::OwnedFd};

use aya::{
    Btf, Endianness,
    sys::{Stats, enable_stats},
};

use super::{AttachError, Attached, rungs::attach_one};
use crate::kernel::facts::KernelFacts;

/// Runs of one program since it was attached, all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// How many.
    pub calls: u64,
    /// How long they took together.
    pub total_ns: u64,
}

/// A program on its hook.
#[derive(Clone, Debug)]
pub struct TimedProgram {
    /// The hook, as `doctor` names it.
    pub hook: String,
    /// The program's runs.
    pub runs: Runs,
    /// Those of an empty program on the same hook: what the measuring takes. `None` where there is
    /// no such program.
    pub empty: Option<Runs>,
}

/// While it lives, the kernel measures every BPF program of the machine (`BPF_ENABLE_STATS`, from
/// 5.8; kernel/bpf/syscall.c, `bpf_enable_runtime_stats`), which takes some 20 ns a run.
pub struct Measuring {
    /// Closing it ends the measuring.
    _stats: OwnedFd,
}

impl Measuring {
    /// Begins.
    ///
    /// # Errors
    /// If the kernel refuses: it takes CAP_SYS_ADMIN.
    pub fn begin() -> io::Result<Self> {
        match enable_stats(Stats::RunTime) {
            Ok(stats) => Ok(Self { _stats: stats }),
            Err(error) => Err(error.io_error),
        }
    }
}

impl Attached {
    /// Puts an empty program on each hook that has one for it. One that is refused is left out.
    ///
    /// # Errors
    /// If the hooks' types cannot be read.
    pub fn attach_empty_programs(&mut self, facts: &KernelFacts) -> Result<(), AttachError> {
        let btf = Btf::parse(&facts.target_types, Endianness::default())?;
        for probe in &self.probes {
            let Some(program) = self.ebpf.program_mut(&twin(probe.program)) else {
                continue;
            };
            match attach_one(program, probe.attach, &btf) {
                Ok(link) => self.links.extend(link),
                Err(error) => log::debug!("an empty program on {}: {error}", probe.attach),
            }
        }
        Ok(())
    }

    /// What was measured of each program so far. The task iterator, which runs when it is read, is
    /// left out.
    pub fn timed_programs(&self) -> Vec<TimedProgram> {
        let on_hooks = self.probes.iter().filter(|probe| probe.hook.is_some());
        on_hooks
            .filter_map(|probe| {
                Some(TimedProgram {
                    hook: probe.attach.to_string(),
                    runs: self.runs_of(probe.program)?,
                    empty: self.runs_of(&twin(probe.program)),
                })
            })
            .collect()
    }

    /// Each program in the kernel, by name, with the instructions that the verifier walked through;
    /// `None` before 5.16.
    pub fn verified_instructions(&self) -> Vec<(&'static str, Option<u32>)> {
        let programs = self.probes.iter().map(|probe| probe.program);
        programs
            .filter_map(|name| {
                let info = self.ebpf.program(name)?.info().ok()?;
                Some((name, info.verified_instruction_count()))
            })
            .collect()
    }

    /// `None` of a program that is not loaded.
    fn runs_of(&self, program: &str) -> Option<Runs> {
        let info = self.ebpf.program(program)?.info().ok()?;
        Some(Runs {
            calls: info.run_count(),
            total_ns: u64::try_from(info.run_time().as_nanos()).ok()?,
        })
    }
}

/// The empty program for a program's hook (memtrace-ebpf/src/bpf/empty.rs).
fn twin(program: &str) -> String {
    format!("empty_{program}")
}
