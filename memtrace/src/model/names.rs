//! Files, processes and cgroups as people know them.

use std::collections::{BTreeMap, BTreeSet};

use crate::input::{CgroupPath, FileEvent, FileId, FileLocation, Sample, TaskEvent};

/// A file with everything known of its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileRef {
    /// As the kernel tells files apart.
    pub id: FileId,
    /// Path as the target sees it; `None` if it is mounted nowhere there.
    pub path: Option<String>,
    /// Path inside the container, if an overlay's layer holds the file.
    pub container_path: Option<String>,
    /// Path from the root of its own file system.
    pub fs_path: Option<String>,
    /// File system type.
    pub fstype: Option<String>,
    /// The name leads to this file no more; `None` if no name is known.
    pub deleted: Option<bool>,
    /// `fs_path` lacks its first components; `None` if no name is known.
    pub truncated: Option<bool>,
}

impl FileRef {
    /// The name a person would look for: as the target sees it, else inside the container, else in
    /// its own file system; `None` if the file is known by number only.
    pub fn name(&self) -> Option<&str> {
        self.path
            .as_deref()
            .or(self.container_path.as_deref())
            .or(self.fs_path.as_deref())
    }
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskRef {
    /// Process id.
    pub pid: u32,
    /// Its latest name.
    pub comm: Option<String>,
    /// Its own memory cgroup.
    pub cgroup_id: Option<u64>,
    /// It is known to have done it; `false` if it is a best guess.
    pub certain: bool,
}

/// A cgroup.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CgroupRef {
    /// Inode number of its directory.
    pub id: u64,
    /// From the root of its hierarchy; `None` if it was not looked for, or is gone.
    pub path: Option<String>,
    /// It was looked for and does not exist any more: what is charged to it is its parent's.
    pub gone: bool,
}

/// The latest name of a process.
#[derive(Clone, Debug)]
struct TaskName {
    comm: String,
    cgroup_id: Option<u64>,
}

/// Names of files, and of processes, that are kept at most; some 200 bytes each.
const MOST: usize = 49_152;
/// Of these, those learned last, which may be of pages that are still on their way.
const LATEST: usize = 16_384;

/// What is known of names so far. Later news replaces earlier: a process that has called `execve`
/// goes by its new name, also for what it did before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    files: BTreeMap<FileId, Learned<FileEvent>>,
    locations: BTreeMap<FileId, FileLocation>,
    tasks: BTreeMap<u32, Learned<TaskName>>,
    /// How often a name was learned.
    learned: u64,
    /// The target and everything below it that was ever seen there.
    members: BTreeMap<u64, String>,
    /// Cgroups elsewhere that were looked for; `None` if they are gone.
    elsewhere: BTreeMap<u64, Option<String>>,
}

/// What was learned, and as the how-manieth.
#[derive(Clone, Debug)]
struct Learned<T> {
    what: T,
    turn: u64,
}

impl Names {
    pub(crate) fn learn_file(&mut self, file: &FileEvent) {
        let learned = self.learn(file.clone());
        self.files.insert(file.id, learned);
    }

    fn learn<T>(&mut self, what: T) -> Learned<T> {
        self.learned += 1;
        Learned {
            what,
            turn: self.learned,
        }
    }

    /// There are more names than are kept.
    pub(crate) fn are_too_many(&self) -> bool {
        self.files.len() > MOST || self.tasks.len() > MOST
    }

    /// Forgets old names of what is not among these. The kernel tells a name again when it has told
    /// 16,384 others since.
    pub(crate) fn keep_only(&mut self, files: &BTreeSet<FileId>, pids: &BTreeSet<u32>) {
        let newest = self.learned.saturating_sub(LATEST as u64);
        self.files
            .retain(|id, name| name.turn > newest || files.contains(id));
        self.tasks
            .retain(|pid, name| name.turn > newest || pids.contains(pid));
    }

    pub(crate) fn learn_location(&mut self, location: &FileLocation) {
        self.locations.insert(location.id, location.clone());
    }

    pub(crate) fn learn_task(&mut self, task: &TaskEvent) {
        // A kernel that is locked down tells no names.
        if task.comm.is_empty() {
            return;
        }
        let learned = self.learn(TaskName {
            comm: task.comm.clone(),
            cgroup_id: task.cgroup_id,
        });
        self.tasks.insert(task.pid, learned);
    }

    pub(crate) fn learn_member(&mut self, id: u64, path: &str) {
        self.members.insert(id, path.to_owned());
    }

    pub(crate) fn learn_cgroup(&mut self, found: &CgroupPath) {
        self.elsewhere.insert(found.id, found.path.clone());
    }

    /// Takes the cgroups of a sample, and the processes, as they are called at that moment.
    pub(crate) fn learn_sample(&mut self, sample: &Sample) {
        for member in &sample.members {
            self.learn_member(member.id, &member.path);
        }
        for task in sample.tasks.iter().flatten() {
            let learned = self.learn(TaskName {
                comm: task.comm.clone(),
                cgroup_id: task.cgroup_id,
            });
            self.tasks.insert(task.pid, learned);
        }
    }

    /// The cgroup is the target or below it.
    pub(crate) fn is_member(&self, cgroup_id: Option<u64>) -> bool {
        cgroup_id.is_some_and(|id| self.members.contains_key(&id))
    }

    /// The process lives in the target or below it.
    pub(crate) fn is_member_task(&self, pid: Option<u32>) -> bool {
        pid.and_then(|pid| self.tasks.get(&pid))
            .is_some_and(|task| self.is_member(task.what.cgroup_id))
    }

    /// The process is known to live in another cgroup.
    pub(crate) fn is_outsider(&self, pid: Option<u32>) -> bool {
        pid.and_then(|pid| self.tasks.get(&pid)?.what.cgroup_id)
            .is_some_and(|id| !self.members.contains_key(&id))
    }

    pub(crate) fn file_event(&self, id: FileId) -> Option<&FileEvent> {
        self.files.get(&id).map(|name| &name.what)
    }

    pub(crate) fn file(&self, id: FileId) -> FileRef {
        let file = self.file_event(id);
        let location = self.locations.get(&id);
        let deleted = [file.map(|f| f.deleted), location.map(|l| l.deleted)];
        FileRef {
            id,
            path: location.and_then(|l| l.path.clone()),
            container_path: location.and_then(|l| l.container_path.clone()),
            fs_path: file.map(|f| f.fs_path.clone()),
            fstype: file.map(|f| f.fstype.clone()),
            deleted: deleted.into_iter().flatten().reduce(|a, b| a || b),
            truncated: file.map(|f| f.truncated),
        }
    }

    pub(crate) fn task(&self, pid: u32, certain: bool) -> TaskRef {
        let task = self.tasks.get(&pid).map(|name| &name.what);
        TaskRef {
            pid,
            comm: task.map(|t| t.comm.clone()),
            cgroup_id: task.and_then(|t| t.cgroup_id),
            certain,
        }
    }

    pub(crate) fn cgroup(&self, id: u64) -> CgroupRef {
        let found = self.elsewhere.get(&id);
        CgroupRef {
            id,
            path: (self.members.get(&id).cloned()).or_else(|| found.cloned().flatten()),
            gone: matches!(found, Some(None)),
        }
    }

    /// Files that runs named but nobody gave a name for.
    pub(crate) fn unnamed<'a>(&self, files: impl Iterator<Item = &'a FileId>) -> usize {
        files
            .filter(|id| !self.files.contains_key(id))
            .collect::<BTreeSet<_>>()
            .len()
    }
}
