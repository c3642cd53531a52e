//! Memory cgroups of the suite's own, read without memtrace's help.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};

/// Version of the memory controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy of its own.
    V1 = 1,
    /// The unified hierarchy.
    V2 = 2,
}

/// Where the memory controller is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its version.
    pub version: Version,
    /// Its mount point.
    pub mount: PathBuf,
}

impl Hierarchy {
    /// Finds it in `/proc/self/mountinfo`.
    pub fn find() -> anyhow::Result<Self> {
        let path = "/proc/self/mountinfo";
        let mounts = fs::read_to_string(path).context(path)?;
        Self::from_mountinfo(&mounts, |mount| {
            fs::read_to_string(mount.join("cgroup.controllers"))
                .is_ok_and(|controllers| controllers.split_whitespace().any(|c| c == "memory"))
        })
        .context("no mounted cgroup hierarchy has the memory controller")
    }

    fn from_mountinfo(mounts: &str, has_memory: impl Fn(&Path) -> bool) -> Option<Self> {
        mounts.lines().find_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mount = PathBuf::from(left.split(' ').nth(4)?);
            let mut right = right.split(' ');
            let (fstype, options) = (right.next()?, right.nth(1)?);
            let version = match fstype {
                "cgroup" if options.split(',').any(|option| option == "memory") => Version::V1,
                "cgroup2" if has_memory(&mount) => Version::V2,
                _ => return None,
            };
            Some(Self { version, mount })
        })
    }
}

/// A cgroup that is removed, with the processes in it, when dropped.
pub struct TestCgroup {
    /// Its directory.
    pub path: PathBuf,
    mount: PathBuf,
    version: Version,
}

/// `usage`, and `inactive_file` from memory.stat, as kubelet reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Bytes charged.
    pub usage_bytes: u64,
    /// Bytes on the inactive file list.
    pub inactive_file_bytes: u64,
    /// Bytes on the active file list.
    pub active_file_bytes: u64,
    /// Bytes in the swap cache; the machine's where the kernel does not count them for a cgroup.
    pub swapcached_bytes: u64,
}

impl Reading {
    /// usage - inactive_file, not below 0.
    pub fn working_set_bytes(&self) -> u64 {
        self.usage_bytes.saturating_sub(self.inactive_file_bytes)
    }
}

impl TestCgroup {
    /// Makes one at the root of the hierarchy.
    pub fn create(hierarchy: &Hierarchy) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = hierarchy
            .mount
            .join(format!("memtrace-live-{}-{number}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("making cgroup {}", path.display()))?;
        Ok(Self {
            path,
            mount: hierarchy.mount.clone(),
            version: hierarchy.version,
        })
    }

    /// Makes one below this one, which must have no processes of its own; to be dropped first.
    pub fn child(&self, name: &str) -> anyhow::Result<Self> {
        if self.version == Version::V2 {
            self.set("cgroup.subtree_control", "+memory")?;
        }
        let path = self.path.join(name);
        fs::create_dir(&path).with_context(|| format!("making cgroup {}", path.display()))?;
        Ok(Self {
            path,
            mount: self.mount.clone(),
            version: self.version,
        })
    }

    /// Its path from the root of the hierarchy, `/memtrace-live-...`.
    pub fn name(&self) -> String {
        let below = self.path.strip_prefix(&self.mount).unwrap_or(&self.path);
        format!("/{}", below.display())
    }

    /// The file to write a pid to.
    pub fn procs(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Version of its controller.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Writes one of its files, such as `memory.high`.
    pub fn set(&self, file: &str, value: &str) -> anyhow::Result<()> {
        let path = self.path.join(file);
        fs::write(&path, value).with_context(|| format!("writing {value} to {}", path.display()))
    }

    /// Sets its hard limit in bytes.
    pub fn set_limit(&self, bytes: u64) -> anyhow::Result<()> {
        let file = match self.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        self.set(file, &bytes.to_string())
    }

    /// A key of a flat file such as `memory.stat` by its v2 name; `None` if this kernel has none.
    pub fn key(&self, file: &str, key: &str) -> Option<u64> {
        let prefix = match (self.version, file) {
            (Version::V1, "memory.stat") => "total_",
            _ => "",
        };
        let text = self.file(file).ok()?;
        let key = format!("{prefix}{key} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&key))?;
        value.trim().parse().ok()
    }

    /// The one number of one of its files.
    pub fn number(&self, file: &str) -> anyhow::Result<u64> {
        let text = self.file(file)?;
        text.trim()
            .parse()
            .with_context(|| format!("{file} of {}: {text:?}", self.path.display()))
    }

    /// Reads usage, then memory.stat.
    pub fn read(&self) -> anyhow::Result<Reading> {
        let (usage, prefix) = match self.version {
            Version::V1 => ("memory.usage_in_bytes", "total_"),
            Version::V2 => ("memory.current", ""),
        };
        let usage = self.file(usage)?;
        let usage_bytes = usage.trim().parse().with_context(|| usage.clone())?;
        let stat = self.file("memory.stat")?;
        let key = |key: &str| {
            stat.lines()
                .filter_map(|line| line.split_once(' '))
                .find(|(name, _)| name.strip_prefix(prefix) == Some(key))
                .and_then(|(_, value)| value.parse().ok())
                .with_context(|| format!("no {key} in memory.stat of {}", self.path.display()))
        };
        Ok(Reading {
            usage_bytes,
            inactive_file_bytes: key("inactive_file")?,
            active_file_bytes: key("active_file")?,
            swapcached_bytes: key("swapcached")
                .ok()
                .or_else(|| meminfo_bytes("SwapCached"))
                .unwrap_or(0),
        })
    }

    /// [`read`](Self::read), after the counters' lag (a flush every 2 s) is over.
    pub fn read_settled(&self) -> anyhow::Result<Reading> {
        let mut last = self.read()?;
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(250));
            let now = self.read()?;
            if now == last {
                return Ok(now);
            }
            last = now;
        }
        bail!("{} does not come to rest: {last:?}", self.path.display())
    }

    fn file(&self, name: &str) -> anyhow::Result<String> {
        let path = self.path.join(name);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            eprintln!("{error:#}");
        }
    }
}

/// A line of `/proc/meminfo`, in bytes.
pub fn meminfo_bytes(key: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{key}:")))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Kills what runs in a cgroup of ours, and removes it.
pub fn remove(path: &Path) -> anyhow::Result<()> {
    let mut last = None;
    for _ in 0..50 {
        for pid in fs::read_to_string(path.join("cgroup.procs"))
            .unwrap_or_default()
            .lines()
            .filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?))
        {
            // It may be gone already.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => last = Some(error),
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(last.map_or_else(|| anyhow::anyhow!("busy"), Into::into))
        .with_context(|| format!("removing cgroup {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
31 24 0:28 / /sys/fs/cgroup/memory rw,relatime shared:5 - cgroup cgroup rw,memory
32 24 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";

    #[test]
    fn finds_v1_on_a_hybrid_host() {
        let found = Hierarchy::from_mountinfo(HYBRID, |_| false);
        assert_eq!(
            found,
            Some(Hierarchy {
                version: Version::V1,
                mount: "/sys/fs/cgroup/memory".into()
            })
        );
    }

    #[test]
    fn finds_v2_only_with_its_controller() {
        let unified = "32 24 0:29 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        assert!(Hierarchy::from_mountinfo(unified, |_| false).is_none());
        let found = Hierarchy::from_mountinfo(unified, |_| true);
        assert_eq!(found.map(|h| h.version), Some(Version::V2));
    }
}
