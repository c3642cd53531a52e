//! Tests on this machine's own cgroups. They need root, and say so when they are skipped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio, id},
    time::Duration,
};

use memtrace_tests::skip;

use super::{
    Census, CgroupError, CgroupReader, Hierarchy, OwnCgroup, Places, TargetError, find_by_id,
    members, resolve_target, scope::remove_tree, target::cgroup_of_process,
};

/// A cgroup below the test's own that stands for the one memtrace runs in.
pub(crate) struct Home {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) directory: PathBuf,
}

impl Home {
    /// `None`, with the reason told, where the test cannot run.
    pub(crate) fn new(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip(test, "making cgroups needs root");
            return None;
        }
        let hierarchy = match Hierarchy::find() {
            Ok(hierarchy) => hierarchy,
            Err(error) => {
                skip(test, &error.to_string());
                return None;
            }
        };
        let own = cgroup_of_process(&hierarchy, Path::new("/proc"), id()).unwrap();
        let directory = own.directory.join(format!("memtrace-test-{}-{test}", id()));
        fs::create_dir(&directory).unwrap();
        Some(Self {
            hierarchy,
            directory,
        })
    }

    pub(crate) fn own_cgroup(&self) -> OwnCgroup {
        OwnCgroup::create_from(&self.hierarchy, &self.directory).unwrap()
    }

    /// The directories below.
    pub(crate) fn children(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.directory).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.is_dir()).collect()
    }

    /// The pids in it, without those below it.
    pub(crate) fn pids(&self) -> String {
        fs::read_to_string(self.directory.join("cgroup.procs")).unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let removed = remove_tree(&self.directory, Duration::from_secs(5));
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

/// A process that does nothing, killed and reaped at the end.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        let mut command = Command::new("sleep");
        Self(command.arg("60").stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_new_cgroup_shows_in_the_census() {
    let Some(home) = Home::new("census") else {
        return;
    };
    let Some(mut census) = Census::open(&home.hierarchy).unwrap() else {
        skip("census", "this kernel has no such file");
        return;
    };
    assert!(census.changed().unwrap());
    // Others make cgroups too, so that it stays the same is not for a test to say.
    let own = home.own_cgroup();
    assert!(census.changed().unwrap());
    own.remove().unwrap();
}

#[test]
fn a_cgroup_that_vanishes_between_reads_is_gone() {
    let Some(home) = Home::new("vanish") else {
        return;
    };
    let own = home.own_cgroup();
    let directory = own.cgroup().directory.clone();
    let mut reader = CgroupReader::open(home.hierarchy.version(), &directory).unwrap();
    let sample = reader.sample().unwrap();
    assert!(sample.usage_bytes.is_some() && sample.stat.inactive_file.is_some());
    assert!(sample.limit_bytes.is_none() && sample.events.oom_kill.is_some());
    own.remove().unwrap();
    assert!(!directory.exists());
    // The open files answer ENODEV; a new cgroup of the same name is another one.
    fs::create_dir(&directory).unwrap();
    let error = reader.sample().unwrap_err();
    fs::remove_dir(&directory).unwrap();
    assert!(matches!(error, CgroupError::Gone { .. }), "{error}");
}

#[test]
fn usage_and_statistics_follow_a_file_that_is_written() {
    let Some(home) = Home::new("usage") else {
        return;
    };
    let own = home.own_cgroup();
    let scratch = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let mut reader = CgroupReader::open(home.hierarchy.version(), &own.cgroup().directory).unwrap();
    let before = reader.sample().unwrap();
    let script =
        "echo $$ > $0/cgroup.procs && exec dd if=/dev/zero of=$1 bs=1M count=16 status=none";
    let status = Command::new("sh")
        .args(["-c", script])
        .args([own.cgroup().directory.as_path(), scratch.path()])
        .status();
    assert!(status.unwrap().success());
    let after = reader.sample().unwrap();
    let grown = |of: fn(&crate::input::CgroupSample) -> Option<u64>| {
        of(&after).unwrap() - of(&before).unwrap()
    };
    assert!(grown(|sample| sample.usage_bytes) >= 16 << 20);
    // memory.stat may lag by a batch of 64 pages per CPU.
    assert!(grown(|sample| sample.stat.file) >= 15 << 20);
    assert!(after.usage_peak_bytes >= after.usage_bytes || after.usage_peak_bytes.is_none());
    own.remove().unwrap();
}

#[test]
fn a_live_pid_an_id_and_a_path_lead_to_the_same_cgroup() {
    let Some(home) = Home::new("resolve") else {
        return;
    };
    let own = home.own_cgroup();
    let sleeper = Sleeper::new();
    assert!(own.add(sleeper.0.id()).unwrap());
    let resolve = |typed: &str| resolve_target(&home.hierarchy, &Places::default(), typed);
    let cgroup = own.cgroup().clone();
    assert_eq!(resolve(&sleeper.0.id().to_string()).unwrap(), cgroup);
    assert_eq!(resolve(&cgroup.path).unwrap(), cgroup);
    assert_eq!(
        resolve(&cgroup.directory.display().to_string()).unwrap(),
        cgroup
    );
    assert_eq!(
        find_by_id(&home.hierarchy, cgroup.id).unwrap(),
        Some(cgroup.clone())
    );
    let parent = cgroup.directory.parent().unwrap();
    let members = members(&home.hierarchy, parent).unwrap();
    assert!(
        members
            .iter()
            .any(|member| member.id == cgroup.id && member.path == cgroup.path)
    );

    let pid = sleeper.0.id();
    drop(sleeper);
    let error = resolve(&pid.to_string()).unwrap_err();
    assert!(matches!(error, TargetError::NoSuchProcess(_)), "{error}");
    assert!(!own.add(pid).unwrap());
    own.remove().unwrap();
}

#[test]
fn what_a_killed_memtrace_left_is_removed_once_it_is_empty() {
    let Some(home) = Home::new("stale") else {
        return;
    };
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    // Where a new one would be made: below home on v1, further up on v2.
    let parent = home
        .own_cgroup()
        .cgroup()
        .directory
        .parent()
        .unwrap()
        .to_owned();
    let name = |pid: u32, number: u32| parent.join(format!("memtrace-{pid}-{number}"));
    let [empty, busy, live] = [name(ended.id(), 0), name(ended.id(), 1), name(id(), 999)];
    for directory in [&empty, &busy, &live] {
        fs::create_dir(directory).unwrap();
    }
    let sleeper = Sleeper::new();
    fs::write(busy.join("cgroup.procs"), sleeper.0.id().to_string()).unwrap();

    drop(home.own_cgroup());
    assert!(!empty.exists());
    assert!(busy.exists() && live.exists());
    drop(sleeper);
    drop(home.own_cgroup());
    assert!(!busy.exists() && live.exists());
    fs::remove_dir(live).unwrap();
}
