//! What a process that watches for months may do: as little as it can.

use std::io;

use rustix::{
    io::Errno,
    thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs},
};

/// What attaching takes: BPF programs and maps, tracing, the memory of maps before Linux 5.11, the
/// kernel log and symbols.
const TO_ATTACH: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_RESOURCE)
    .union(CapabilitySet::SYSLOG);

/// Which of the capabilities that attaching always takes this thread lacks.
///
/// # Errors
/// If the kernel does not tell.
pub fn missing() -> io::Result<Vec<&'static str>> {
    let own = capabilities(None)?.effective;
    let needed = [
        (CapabilitySet::BPF, "CAP_BPF"),
        (CapabilitySet::PERFMON, "CAP_PERFMON"),
    ];
    let missing = needed.into_iter().filter(|(one, _)| !own.contains(*one));
    Ok(missing.map(|(_, name)| name).collect())
}

/// Gives up everything that attaching does not take, and the way to ever get more. A thread hands
/// what it has down to those it starts, so this comes before all others.
///
/// # Errors
/// If the kernel refuses.
pub fn keep_what_attaching_takes() -> io::Result<()> {
    set_no_new_privs(true)?;
    keep(TO_ATTACH)
}

/// Gives up what attaching took, in this thread and those it starts from now on. Kernels before
/// 5.19 ask for CAP_BPF at each look into a map where BPF is closed to others
/// (kernel/bpf/syscall.c, `__sys_bpf`): `still_works` tells, and then that one is kept.
///
/// # Errors
/// If the kernel refuses.
pub fn keep_what_watching_takes(still_works: impl FnOnce() -> bool) -> io::Result<CapabilitySet> {
    let sets = capabilities(None)?;
    let without = CapabilitySets {
        effective: CapabilitySet::empty(),
        ..sets
    };
    set_capabilities(None, without)?;
    let kept = match still_works() {
        true => CapabilitySet::empty(),
        false => CapabilitySet::BPF,
    };
    // What is not effective is still permitted, so this raises it again.
    let kept = kept.intersection(sets.permitted);
    keep(kept)?;
    Ok(kept)
}

fn keep(wanted: CapabilitySet) -> io::Result<()> {
    let sets = capabilities(None)?;
    let kept = sets.permitted.intersection(wanted);
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).map_err(|errno: Errno| errno.into())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// In a thread of its own: capabilities are each thread's.
    #[test]
    fn what_is_given_up_is_gone() {
        let work = || -> io::Result<()> {
            keep_what_attaching_takes()?;
            let before = capabilities(None)?;
            assert_eq!(
                missing()?.is_empty(),
                before
                    .effective
                    .contains(CapabilitySet::BPF | CapabilitySet::PERFMON)
            );
            assert!(TO_ATTACH.contains(before.permitted));
            let kept = keep_what_watching_takes(|| false)?;
            let after = capabilities(None)?;
            assert_eq!((after.permitted, after.effective), (kept, kept));
            assert!(CapabilitySet::BPF.contains(kept));
            keep_what_watching_takes(|| true)?;
            assert_eq!(capabilities(None)?.permitted, CapabilitySet::empty());
            assert_eq!(missing()?, ["CAP_BPF", "CAP_PERFMON"]);
            assert!(keep(TO_ATTACH).is_ok());
            assert_eq!(capabilities(None)?.permitted, CapabilitySet::empty());
            Ok(())
        };
        thread::spawn(work).join().unwrap().unwrap();
    }
}
