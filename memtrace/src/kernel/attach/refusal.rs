//! A refusal by the kernel, in words.

use std::io;

use aya::programs::ProgramError;

/// Some error beneath is a want of privilege.
pub(super) fn is_permission(error: &(dyn std::error::Error + 'static)) -> bool {
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
pub(super) fn words(error: &ProgramError) -> String {
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
