//! What a case, or memtrace, left behind: cgroups, processes, pinned BPF objects.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

use crate::{cgroup, host::Host};

/// What was there before.
pub struct Leaks {
    cgroups: BTreeSet<PathBuf>,
    pins: BTreeSet<PathBuf>,
}

impl Leaks {
    /// Looks before a case.
    pub fn baseline(host: &Host) -> Self {
        Self {
            cgroups: named_memtrace(&host.hierarchy.mount),
            pins: named_memtrace(Path::new("/sys/fs/bpf")),
        }
    }

    /// Looks after a case, says what is there that was not, and removes it.
    pub fn find_and_remove(&self, host: &Host) -> Vec<String> {
        let mut found = Vec::new();
        for (pid, comm) in children_left() {
            found.push(format!("process {pid} ({comm})"));
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
        }
        for path in named_memtrace(&host.hierarchy.mount).difference(&self.cgroups) {
            // Somebody else's run of memtrace may make cgroups at the same time.
            if !names_a_living_process(path) {
                found.push(format!("cgroup {}", path.display()));
                let _ = cgroup::remove(path);
            }
        }
        for path in named_memtrace(Path::new("/sys/fs/bpf")).difference(&self.pins) {
            found.push(format!("pinned {}", path.display()));
        }
        found
    }
}

fn named_memtrace(folder: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(b"memtrace")
        })
        .map(|entry| entry.path())
        .collect()
}

/// A number in the name is the pid of a process that lives, and is not this one.
fn names_a_living_process(path: &Path) -> bool {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok().and_then(Pid::from_raw))
        .any(|pid| pid != getpid() && Path::new(&format!("/proc/{pid}")).exists())
}

/// Living children, after a second to end by themselves. Orphans are ours too: the suite is their
/// subreaper.
fn children_left() -> Vec<(Pid, String)> {
    let start = Instant::now();
    loop {
        // Orphans that have ended only wait to be reaped.
        while let Ok(Some(_)) = waitpid(None, WaitOptions::NOHANG) {}
        let left = children();
        if left.is_empty() || start.elapsed() > Duration::from_secs(1) {
            return left;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn children() -> Vec<(Pid, String)> {
    let own = getpid().as_raw_nonzero().get();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (comm, ppid) = comm_and_parent(&stat)?;
            (ppid == own).then_some((pid, comm))
        })
        .collect()
}

/// From `/proc/PID/stat`: `PID (COMM) STATE PPID ...`, where COMM may hold anything.
fn comm_and_parent(stat: &str) -> Option<(String, i32)> {
    let (left, right) = stat.rsplit_once(") ")?;
    let comm = left.split_once('(')?.1.to_owned();
    Some((comm, right.split(' ').nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stat_of_a_nasty_name() {
        assert_eq!(
            comm_and_parent("7 (a) (b) S 42 7 7 0"),
            Some(("a) (b".to_owned(), 42))
        );
    }

    #[test]
    fn own_pid_in_a_name_is_no_excuse() {
        let own = PathBuf::from(format!("/x/memtrace-live-{}-0", std::process::id()));
        assert!(!names_a_living_process(&own));
        assert!(names_a_living_process(Path::new("/x/memtrace-1")));
    }
}
