//! Which processes are in a cgroup, and moving them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::{
    CgroupError,
    tree::{self, Visit},
};

/// The file that lists the processes of a cgroup, and takes the pid of one to move in.
pub(super) const PROCS: &str = "cgroup.procs";

/// The pids of a cgroup and all below it, ascending, as this PID namespace numbers them; 0 stands
/// for processes that it cannot see.
///
/// # Errors
/// [`CgroupError::Gone`] if the cgroup is gone, [`CgroupError::Io`] if a list cannot be read.
pub fn processes_in(top: &Path) -> Result<Vec<u32>, CgroupError> {
    let mut pids = Vec::new();
    let mut failed = None;
    tree::walk(top, |directory, _| {
        match processes_of_directory(directory) {
            Ok(mut more) => {
                pids.append(&mut more);
                Visit::Descend
            }
            Err(CgroupError::Gone { .. }) if directory != top => Visit::Descend,
            Err(error) => {
                failed = Some(error);
                Visit::Stop
            }
        }
    })?;
    pids.sort_unstable();
    pids.dedup();
    failed.map_or(Ok(pids), Err)
}

/// The pids of one cgroup without those below it. A threaded v2 cgroup lists its processes in
/// the nearest ancestor that is not threaded, and refuses here: that is an empty list.
pub(super) fn processes_of_directory(directory: &Path) -> Result<Vec<u32>, CgroupError> {
    let path = directory.join(PROCS);
    match fs::read_to_string(&path) {
        Ok(text) => text
            .lines()
            .map(|line| {
                line.parse().map_err(|_| CgroupError::Malformed {
                    path: path.clone(),
                    line: line.to_owned(),
                })
            })
            .collect(),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::OPNOTSUPP) => Ok(Vec::new()),
        Err(error) => Err(CgroupError::on("read", directory, &path, error)),
    }
}

/// The name of a process (`/proc/PID/comm`); `None` if it has ended.
pub fn name_of_process(pid: u32) -> Option<String> {
    let comm = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(comm.trim_ascii_end()).into_owned())
}

/// Moves a process, with all its threads. `false` if it has ended meanwhile.
pub(super) fn move_process(pid: u32, to: &Path) -> Result<bool, CgroupError> {
    let path: PathBuf = to.join(PROCS);
    match fs::write(&path, pid.to_string()) {
        Ok(()) => Ok(true),
        // ESRCH: no such process, or one that is exiting (cgroup_procs_write_start).
        Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => Ok(false),
        Err(error) => Err(CgroupError::on("move a process to", to, &path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::fixture::Tree;

    #[test]
    fn processes_of_the_whole_subtree() {
        let tree = Tree::v2(&["a/x", "b"]);
        tree.write("a/cgroup.procs", "30\n7\n");
        tree.write("a/x/cgroup.procs", "8\n");
        tree.write("b/cgroup.procs", "9\n");
        assert_eq!(processes_in(&tree.root().join("a")).unwrap(), [7, 8, 30]);
    }

    #[test]
    fn a_malformed_list_and_a_vanished_cgroup_are_errors() {
        let tree = Tree::v2(&["a"]);
        tree.write("a/cgroup.procs", "seven\n");
        let error = processes_in(&tree.root().join("a")).unwrap_err();
        assert!(matches!(error, CgroupError::Malformed { .. }));
        let error = processes_in(&tree.root().join("b")).unwrap_err();
        assert!(matches!(error, CgroupError::Gone { .. }));
    }

    #[test]
    fn this_process_has_a_name() {
        assert!(name_of_process(std::process::id()).is_some());
        assert_eq!(name_of_process(u32::MAX), None);
    }
}
