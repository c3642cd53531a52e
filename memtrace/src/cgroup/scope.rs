//! A cgroup of memtrace's own, in which a command runs.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::{
    Cgroup, CgroupError, Hierarchy, Places, TargetError,
    processes::{PROCS, move_process, name_of_process, processes_in},
    stale::{own_name, remove_stale},
    target::cgroup_of_process,
    tree::{self, Visit},
};
use crate::input::CgroupVersion;

/// How long [`OwnCgroup::remove`] tries: a task that has just died holds its cgroup until the
/// kernel has taken it apart.
const PATIENCE: Duration = Duration::from_secs(2);

/// The same when nobody asked for the result.
const DROP_PATIENCE: Duration = Duration::from_millis(200);

/// How often stragglers are looked for again: they may fork while they are moved.
const MOVE_ROUNDS: usize = 100;

/// No cgroup could be made, or not be removed.
#[derive(Debug, thiserror::Error)]
pub enum ScopeError {
    /// Where this process is could not be told.
    #[error("cannot make a cgroup for the command: {0}")]
    Own(#[from] TargetError),
    /// The kernel refused.
    #[error("cannot make a cgroup for the command: {0}")]
    Make(#[source] CgroupError),
    /// v2: no cgroup from ours up to the top can have children with the memory controller.
    #[error(
        "cannot make a cgroup for the command: no cgroup from {} up hands the memory controller \
         down to children, and none can be made to ({reason}). Run memtrace in a delegated cgroup, \
         `systemd-run --scope -p Delegate=yes memtrace ...`; in a container, move all processes \
         into a child cgroup first, then `echo +memory > {}/cgroup.subtree_control`",
        own.display(),
        own.display()
    )]
    NoPlace {
        /// The cgroup memtrace runs in.
        own: PathBuf,
        /// What the kernel said of the highest one.
        reason: io::Error,
    },
    /// It is still there.
    #[error(
        "the command's cgroup is still there: {0}; remove it with `rmdir` when its processes have \
         ended"
    )]
    Remove(#[source] CgroupError),
}

/// A cgroup made for one command: `memtrace-<pid>-<n>`, in the memory hierarchy only.
///
/// It is removed by [`OwnCgroup::remove`], or when dropped; processes that are still in it move
/// to the cgroup memtrace runs in, alive. If memtrace itself is killed (SIGKILL), the cgroup stays
/// with the command in it; the next memtrace in the same place removes it once it is empty.
#[derive(Debug)]
pub struct OwnCgroup {
    cgroup: Cgroup,
    home: PathBuf,
    procs: File,
    remark: Option<String>,
    removed: bool,
}

impl OwnCgroup {
    /// Makes one below the cgroup that memtrace runs in. On v2 a cgroup with processes cannot
    /// have children with the memory controller (cgroup-v2.rst, "No Internal Process
    /// Constraint"), so there it is the nearest cgroup upwards that can: as a rule the parent,
    /// and [`OwnCgroup::remark`] says so.
    ///
    /// # Errors
    /// [`ScopeError`]: not permitted, or no place for it; the message says what to do.
    pub fn create(hierarchy: &Hierarchy) -> Result<Self, ScopeError> {
        let home = cgroup_of_process(hierarchy, &Places::default().proc, process::id())?;
        Self::create_from(hierarchy, &home.directory)
    }

    /// The same for a memtrace that runs in `home`.
    pub(crate) fn create_from(hierarchy: &Hierarchy, home: &Path) -> Result<Self, ScopeError> {
        let parent = match hierarchy.version() {
            CgroupVersion::V1 => home.to_owned(),
            CgroupVersion::V2 => parent_on_v2(hierarchy, home)?,
        };
        remove_stale(&parent, &Places::default().proc);
        let directory = make_directory(&parent).map_err(ScopeError::Make)?;
        Self::open(hierarchy, home, &parent, &directory).map_err(|error| {
            // Nothing is in it yet; the first error is the one to tell.
            _ = fs::remove_dir(&directory);
            ScopeError::Make(error)
        })
    }

    fn open(
        hierarchy: &Hierarchy,
        home: &Path,
        parent: &Path,
        directory: &Path,
    ) -> Result<Self, CgroupError> {
        let path = directory.join(PROCS);
        let procs = File::options()
            .write(true)
            .open(&path)
            .map_err(|source| CgroupError::on("open", directory, &path, source))?;
        let show = |directory: &Path| hierarchy.path_of(directory).unwrap_or_default();
        let remark = (parent != home).then(|| {
            format!(
                "the command's cgroup is in {}, not below memtrace's own {}: cgroup v2 allows no \
                 memory-controlled cgroup below one that has processes, so limits between the two \
                 do not apply to the command",
                show(parent),
                show(home)
            )
        });
        Ok(Self {
            cgroup: hierarchy.cgroup_at(directory)?,
            home: home.to_owned(),
            procs,
            remark,
            removed: false,
        })
    }

    /// The cgroup.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// What a user should know about where it is.
    pub fn remark(&self) -> Option<&str> {
        self.remark.as_deref()
    }

    /// Its open `cgroup.procs`: a process that writes `0` there moves itself in.
    pub fn procs(&self) -> BorrowedFd<'_> {
        self.procs.as_fd()
    }

    /// Moves a process in, with all its threads; `false` if it has ended meanwhile.
    ///
    /// # Errors
    /// [`CgroupError`] if the kernel refuses.
    pub fn add(&self, pid: u32) -> Result<bool, CgroupError> {
        move_process(pid, &self.cgroup.directory)
    }

    /// The processes in it and below it.
    ///
    /// # Errors
    /// As [`processes_in`].
    pub fn processes(&self) -> Result<Vec<u32>, CgroupError> {
        processes_in(&self.cgroup.directory)
    }

    /// Moves everything that is left to the cgroup memtrace runs in, alive, and tells
    /// (pid, name) of each.
    ///
    /// # Errors
    /// [`CgroupError`] if a process could not be moved.
    pub fn release(&self) -> Result<Vec<(u32, String)>, CgroupError> {
        let mut released = Vec::new();
        for _ in 0..MOVE_ROUNDS {
            let pids = self.processes()?;
            // A process of another PID namespace is listed as 0 and cannot be named or moved.
            let mut pids = pids.into_iter().filter(|pid| *pid != 0).peekable();
            if pids.peek().is_none() {
                break;
            }
            for pid in pids {
                if let Some(name) = name_of_process(pid)
                    && move_process(pid, &self.home)?
                {
                    released.push((pid, name));
                }
            }
        }
        Ok(released)
    }

    /// Releases what is left and removes the cgroup, trying for at most two seconds.
    ///
    /// # Errors
    /// [`ScopeError::Remove`] if it is still there.
    pub fn remove(mut self) -> Result<(), ScopeError> {
        self.clear(PATIENCE).map_err(ScopeError::Remove)
    }

    fn clear(&mut self, patience: Duration) -> Result<(), CgroupError> {
        // Tried once: Drop must not wait a second time for what has just failed.
        self.removed = true;
        match self.release() {
            Ok(_) => remove_tree(&self.cgroup.directory, patience),
            Err(CgroupError::Gone { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        if !self.removed
            && let Err(error) = self.clear(DROP_PATIENCE)
        {
            log::warn!("{}", ScopeError::Remove(error));
        }
    }
}

/// A new directory with a name that nobody has.
fn make_directory(parent: &Path) -> Result<PathBuf, CgroupError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let directory = parent.join(own_name(
            process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed),
        ));
        match fs::create_dir(&directory) {
            Ok(()) => return Ok(directory),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(CgroupError::on("create", parent, &directory, source)),
        }
    }
}

/// The nearest cgroup, from `home` up, whose children have the memory controller; else the
/// nearest that lets itself be asked to give it to them, which changes nothing for its processes.
fn parent_on_v2(hierarchy: &Hierarchy, home: &Path) -> Result<PathBuf, ScopeError> {
    let mut upwards: Vec<_> = home.ancestors().collect();
    upwards.retain(|directory| directory.starts_with(hierarchy.mount_point()));
    let control = |directory: &Path| directory.join("cgroup.subtree_control");
    let has_memory = |directory: &Path| {
        fs::read_to_string(control(directory))
            .is_ok_and(|names| names.split_whitespace().any(|name| name == "memory"))
    };
    if let Some(parent) = upwards.iter().find(|directory| has_memory(directory)) {
        return Ok(parent.to_path_buf());
    }
    let mut reason = io::Error::from(io::ErrorKind::NotFound);
    for directory in upwards {
        match fs::write(control(directory), "+memory") {
            Ok(()) => return Ok(directory.to_owned()),
            Err(error) => reason = error,
        }
    }
    Err(ScopeError::NoPlace {
        own: home.to_owned(),
        reason,
    })
}

/// Removes a cgroup and those that were made below it, again and again while the kernel says that
/// they are busy.
pub(super) fn remove_tree(top: &Path, patience: Duration) -> Result<(), CgroupError> {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(1);
    loop {
        match try_remove_tree(top) {
            Err(CgroupError::Io { source, .. })
                if is_busy(&source) && Instant::now() + pause < deadline =>
            {
                thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            Err(CgroupError::Gone { .. }) => return Ok(()),
            ended => return ended,
        }
    }
}

fn try_remove_tree(top: &Path) -> Result<(), CgroupError> {
    let mut directories = Vec::new();
    tree::walk(top, |directory, _| {
        directories.push(directory.to_owned());
        Visit::Descend
    })?;
    for directory in directories.iter().rev() {
        match fs::remove_dir(directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(CgroupError::on("remove", directory, directory, error)),
        }
    }
    Ok(())
}

fn is_busy(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::BUSY | Errno::NOTEMPTY | Errno::AGAIN)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::fixture::Tree;

    #[test]
    fn v2_prefers_a_parent_that_already_hands_memory_down() {
        let tree = Tree::v2(&["user.slice/session.scope"]);
        let home = tree.root().join("user.slice/session.scope");
        let place = || parent_on_v2(&tree.hierarchy(), &home).unwrap();
        tree.write("cgroup.subtree_control", "cpu memory\n");
        assert_eq!(place(), tree.root());
        tree.write("user.slice/cgroup.subtree_control", "memory pids\n");
        assert_eq!(place(), tree.root().join("user.slice"));
        tree.write(
            "user.slice/session.scope/cgroup.subtree_control",
            "memory\n",
        );
        assert_eq!(place(), home);
    }

    #[test]
    fn v2_without_a_place_says_what_to_do() {
        let tree = Tree::v2(&["a"]);
        // A directory in the file's place refuses every write, also root's.
        for control in ["cgroup.subtree_control", "a/cgroup.subtree_control"] {
            fs::create_dir(tree.root().join(control)).unwrap();
        }
        let error = parent_on_v2(&tree.hierarchy(), &tree.root().join("a")).unwrap_err();
        assert!(error.to_string().contains("Delegate=yes"), "{error}");
    }

    #[test]
    fn a_tree_is_removed_bottom_up_and_a_missing_one_is_no_error() {
        let tree = Tree::v2(&["own/a/b", "own/c"]);
        let own = tree.root().join("own");
        remove_tree(&own, Duration::ZERO).unwrap();
        assert!(!own.exists());
        remove_tree(&own, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_busy_cgroup_is_tried_again_until_patience_ends() {
        let tree = Tree::v2(&["own"]);
        tree.write("own/busy", "");
        let own = tree.root().join("own");
        let error = remove_tree(&own, Duration::from_millis(5)).unwrap_err();
        assert!(matches!(
            error,
            CgroupError::Io {
                operation: "remove",
                ..
            }
        ));
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                fs::remove_file(own.join("busy")).unwrap();
            });
            remove_tree(&own, Duration::from_secs(5)).unwrap();
        });
        assert!(!own.exists());
    }
}
