//! Plan -> programs in the kernel. A refused rung is a fact to report, not a failure.

mod attached;
mod refusal;
mod relocate;
mod rungs;
mod timing;

use aya::{
    Btf, Ebpf, EbpfLoader, Endianness, VerifierLogLevel, maps::MapError, programs::ProgramError,
};

pub use self::{
    attached::{Attached, ShrinkEntry},
    timing::{Measuring, Runs, TimedProgram},
};
use self::{refusal::is_permission, rungs::attach_plan};
use super::{
    facts::KernelFacts,
    plan::Planned,
    programs::{OBJECT, map},
};

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
    /// The object is no ELF file.
    #[error("reading the BPF object: {0}")]
    Object(#[from] object::Error),
    /// aya does not take the types of the hooks.
    #[error("reading the hooks' types: {0}")]
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
    let object = relocate::relocated(OBJECT, facts.layout())?;
    // aya-log's levels: 0 lets nothing pass, and the verifier prunes the calls.
    let log_level: u8 = if options.verbose { 5 } else { 0 };
    let mut ebpf = EbpfLoader::new()
        // The log is only fetched when a program is refused.
        .verifier_log_level(VerifierLogLevel::DEBUG)
        .override_global("AYA_LOG_LEVEL", &log_level, false)
        .map_max_entries(map::EVENTS, options.ring_bytes)
        .map_max_entries(
            map::COUNTER_FLOWS,
            if options.exact { EXACT_CGROUPS } else { 1 },
        )
        .load(&object)
        .map_err(|error| {
            if is_permission(&error) {
                AttachError::NotPermitted
            } else {
                error.into()
            }
        })?;
    let btf = Btf::parse(&facts.target_types, Endianness::default())?;
    let (taken, flush) = attach_plan(&mut ebpf, plan, &btf);
    // Without a hook there is nothing to flush, and what refused the hooks refused this too.
    let flushes = taken.iter().any(|signal| !signal.links.is_empty());
    if flushes {
        flush.map_err(|error| AttachError::Program {
            name: "flush",
            error,
        })?;
    }
    Attached::new(ebpf, taken, flushes)
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
