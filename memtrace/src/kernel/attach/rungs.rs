//! Each signal gets the best rung that the kernel allows.
//!
//! The verifier takes most of the time of an attach, up to tens of milliseconds a program, and works
//! on several programs at once for a caller with CAP_BPF (kernel/bpf/verifier.c, `bpf_check`: only
//! others wait for `bpf_verifier_lock`). So every CPU takes the next signal that waits.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use aya::{
    Btf, Ebpf,
    programs::{
        BtfTracePoint, FEntry, FExit, Iter, KProbe, Program, ProgramError, RawTracePoint,
        fentry::FEntryLink, fexit::FExitLink, kprobe::KProbeLink, tp_btf::BtfTracePointLink,
    },
};

use super::refusal::words;
use crate::{
    input::HookOutcome,
    kernel::{
        hooks::{AttachPoint, Probe, Rung},
        plan::Planned,
    },
};

/// What a kprobe in a trampoline's place costs: it tells the same.
const KPROBE_COST: &str =
    "each call costs more time, and is not seen while another kprobe is at work on that CPU";

/// Threads that load at most: there are some ten programs of weight.
const MOST_THREADS: usize = 4;

/// What keeps a program on its hook.
#[expect(dead_code, reason = "held for its Drop")]
pub(super) enum Link {
    TpBtf(BtfTracePointLink),
    Fentry(FEntryLink),
    Fexit(FExitLink),
    Kprobe(KProbeLink),
}

/// A signal after the kernel was asked.
pub(super) struct Taken {
    pub outcome: HookOutcome,
    /// Of the rung that was taken; empty if none.
    pub probes: &'static [Probe],
    pub links: Vec<Link>,
}

/// The programs, by name. A thread takes out those of the rung that it tries.
type Programs<'a> = Mutex<BTreeMap<&'a str, &'a mut Program>>;

/// Attaches what the plan allows, and loads the flush program. The signals are in the plan's order.
pub(super) fn attach_plan(
    ebpf: &mut Ebpf,
    plan: Vec<Planned>,
    btf: &Btf,
) -> (Vec<Taken>, Result<(), ProgramError>) {
    let programs: Programs<'_> = Mutex::new(ebpf.programs_mut().collect());
    let threads = thread::available_parallelism().map_or(1, |cpus| cpus.get().min(MOST_THREADS));
    let waiting = Mutex::new(plan.into_iter().enumerate());
    let taken = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            // Apart from the body, so that the lock is not held while it runs.
            let next = lock(&waiting).next();
            let Some((place, planned)) = next else { break };
            let signal = attach_signal(&programs, planned, btf);
            lock(&taken).insert(place, signal);
        }
    };
    let flush = thread::scope(|scope| {
        for _ in 1..threads {
            // Where there is no room for one more thread, this one does it all.
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        // One of the heaviest, so it comes first.
        let flush = load_flush(&programs);
        work();
        flush
    });
    let taken = taken.into_inner().unwrap_or_else(PoisonError::into_inner);
    (taken.into_values().collect(), flush)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tries the rungs of one signal, best first.
fn attach_signal(programs: &Programs<'_>, planned: Planned, btf: &Btf) -> Taken {
    let signal = planned.signal;
    let mut refused = Vec::new();
    let mut taken = None;
    for (rung, reason) in planned.rungs {
        let result = match reason {
            Some(reason) => Err(reason),
            None => attach_rung(programs, rung, btf),
        };
        match result {
            Ok(links) => {
                taken = Some((rung, links));
                break;
            }
            Err(reason) => refused.push((rung.to_string(), reason)),
        }
    }
    let by_kprobe = taken.as_ref().is_some_and(|(rung, _)| rung.is_kprobe());
    let cost = if by_kprobe { KPROBE_COST } else { signal.cost };
    Taken {
        outcome: HookOutcome {
            signal: signal.name.to_owned(),
            attached: taken.as_ref().map(|(rung, _)| rung.to_string()),
            refused,
            cost: cost.to_owned(),
            optional: signal.optional,
            opt_in: signal.opt_in.map(str::to_owned),
        },
        probes: taken.as_ref().map_or(&[], |(rung, _)| rung.probes),
        links: taken.map_or_else(Vec::new, |(_, links)| links),
    }
}

/// Attaches every program of a rung, or none: what hangs already is dropped when a later one is
/// refused. The error says why, in one line.
fn attach_rung(programs: &Programs<'_>, rung: Rung, btf: &Btf) -> Result<Vec<Link>, String> {
    let mut links = Vec::new();
    for probe in rung.probes {
        match with_program(programs, probe.program, |program| {
            attach_one(program, probe.attach, btf)
        }) {
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

/// Works on one program while others have theirs.
fn with_program<T>(
    programs: &Programs<'_>,
    name: &'static str,
    work: impl FnOnce(&mut Program) -> Result<T, ProgramError>,
) -> Result<T, ProgramError> {
    let taken = lock(programs).remove(name);
    let program = taken.ok_or(ProgramError::NotLoaded)?;
    let result = work(program);
    lock(programs).insert(name, program);
    result
}

/// Loads and attaches one program. An iterator is only loaded: it is attached anew for each scan.
pub(super) fn attach_one(
    program: &mut Program,
    attach: AttachPoint,
    btf: &Btf,
) -> Result<Option<Link>, ProgramError> {
    match attach {
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

fn load_flush(programs: &Programs<'_>) -> Result<(), ProgramError> {
    with_program(programs, "flush", |program| {
        let program: &mut RawTracePoint = program.try_into()?;
        program.load()
    })
}
