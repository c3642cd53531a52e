//! Cgroups that a killed memtrace could not remove.

use std::{fs, path::Path, time::Duration};

use super::{container::name_of, processes::processes_in, scope::remove_tree};

/// The name of a cgroup of memtrace's own.
pub(super) fn own_name(pid: u32, number: u32) -> String {
    format!("memtrace-{pid}-{number}")
}

/// The pid in such a name.
fn pid_in_name(name: &str) -> Option<u32> {
    let (pid, number) = name.strip_prefix("memtrace-")?.split_once('-')?;
    number.parse::<u32>().ok()?;
    pid.parse().ok()
}

/// Removes the cgroups of memtraces that have ended, if no process is in them. Never fails: what
/// cannot be removed now is tried by the next memtrace.
///
/// A pid that lives is left alone even if it may be another program's by now. A memtrace in
/// another PID namespace that shares this parent looks dead from here; its cgroup is in danger
/// only in the moment before its command is in it, and then its start fails with a clear error.
pub(super) fn remove_stale(parent: &Path, proc: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let directory = entry.path();
        let Some(pid) = name_of(&directory).and_then(pid_in_name) else {
            continue;
        };
        if proc.join(pid.to_string()).exists()
            || !processes_in(&directory).is_ok_and(|pids| pids.is_empty())
        {
            continue;
        }
        match remove_tree(&directory, Duration::ZERO) {
            Ok(()) => log::info!("removed {}, left by a killed memtrace", directory.display()),
            Err(error) => log::debug!("{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_own_have_a_pid() {
        assert_eq!(pid_in_name(&own_name(12, 3)), Some(12));
        for name in ["memtrace-test-1", "memtrace-12", "memtrace-12-x", "x-12-3"] {
            assert_eq!(pid_in_name(name), None, "{name}");
        }
    }
}
