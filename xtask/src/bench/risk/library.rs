//! All recordings, by their workloads.

use anyhow::{Context as _, Result, ensure};
use memtrace::input::CgroupVersion;

use super::record::MACHINE;
use super::recording::{NodeRow, Recording};
use super::workload::{self, Life, Set, Workload};

/// See the module.
pub struct Library {
    known: Vec<(Workload, Recording)>,
    machine: Recording,
    /// Workloads without a recording.
    pub missing: Vec<Workload>,
}

impl Library {
    /// Reads them.
    pub fn open() -> Result<Self> {
        let machine = Recording::load(MACHINE)?
            .context("there is no recording of the machine: run with --record first")?;
        ensure!(
            !machine.node.is_empty(),
            "the recording of the machine is empty"
        );
        let (mut known, mut missing) = (Vec::new(), Vec::new());
        for workload in workload::all() {
            match Recording::load(workload.name)? {
                Some(recording) => known.push((workload, recording)),
                None => missing.push(workload),
            }
        }
        Ok(Self {
            known,
            machine,
            missing,
        })
    }

    /// What there is.
    pub fn all(&self) -> &[(Workload, Recording)] {
        &self.known
    }

    /// Those of a set that end in a kill, or do not.
    pub fn of(&self, set: Set, kills: bool) -> Vec<&(Workload, Recording)> {
        let is_kill = |life: Life| matches!(life, Life::Kill { .. });
        let wanted =
            |one: &&(Workload, Recording)| one.0.set == set && is_kill(one.0.life) == kills;
        self.known.iter().filter(wanted).collect()
    }

    /// The machine, second by second.
    pub fn machine(&self) -> &[NodeRow] {
        &self.machine.node
    }

    /// Version of the memory controller that all of it was recorded on.
    pub fn version(&self) -> CgroupVersion {
        self.machine.head.cgroups
    }
}
