//! The machine the suite runs on.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, bail, ensure};

use crate::{
    cgroup::Hierarchy,
    steal::{CpuTicks, STOLEN_PERCENT},
};

/// Facts about this machine, and where the programs under test are.
pub struct Host {
    /// The `memtrace` under test.
    pub memtrace: PathBuf,
    /// The workload program.
    pub hog: PathBuf,
    /// Where the memory controller is.
    pub hierarchy: Hierarchy,
    /// `PAGE_SIZE`.
    pub page_bytes: u64,
    /// Online CPUs.
    pub cpus: u64,
    /// `uname -r`.
    pub kernel_release: String,
    /// Pages are kept in generations, which know no activation.
    pub multi_gen_lru: bool,
    /// A folder on a file system with a disk behind it, for the files of the cases.
    pub scratch: PathBuf,
    /// When the case began.
    began: Mutex<Option<CpuTicks>>,
}

impl Host {
    /// Looks around. An error says what is missing for the suite to run at all.
    pub fn probe() -> anyhow::Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "needs root: BPF programs and cgroups"
        );
        let own = env::current_exe().context("finding this program")?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .context("becoming the parent of orphans")?;
        Ok(Self {
            memtrace: find_memtrace()?,
            hog: find_beside(&own, "memtrace-hog", "MEMTRACE_HOG")?,
            hierarchy: Hierarchy::find()?,
            page_bytes: rustix::param::page_size() as u64,
            cpus: online_cpus()?,
            kernel_release: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            multi_gen_lru: multi_gen_lru(),
            scratch: scratch()?,
            began: Mutex::new(None),
        })
    }

    /// How much of a load fits the time: the whole of it, but an eighth where the CPU is emulated.
    pub fn scaled(&self, load: u64) -> u64 {
        if self.is_emulated() { load / 8 } else { load }
    }

    /// Largest file, in bytes and at most `wish` (half of it where the CPU is emulated), that leaves
    /// room on the scratch file system for another of its size.
    pub fn file_bytes(&self, wish: u64) -> anyhow::Result<u64> {
        let wish = if self.is_emulated() { wish / 2 } else { wish };
        let space = rustix::fs::statvfs(&self.scratch)
            .with_context(|| format!("statvfs {}", self.scratch.display()))?;
        let free = space.f_bavail * space.f_frsize;
        let file = wish.min(free / 2) / (1 << 20) * (1 << 20);
        ensure!(
            file >= wish.min(8 << 20),
            "only {free} bytes free in {}",
            self.scratch.display()
        );
        Ok(file)
    }

    /// The memtrace under test was not optimised.
    pub fn is_debug_build(&self) -> bool {
        self.memtrace
            .parent()
            .is_some_and(|folder| folder.ends_with("debug"))
    }

    /// The CPU is emulated in software (QEMU's TCG), so times mean nothing.
    pub fn is_emulated(&self) -> bool {
        fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("TCG"))
    }

    /// The kernel forbids reading its memory (`lockdown=confidentiality`).
    pub fn is_locked_down(&self) -> bool {
        fs::read_to_string("/sys/kernel/security/lockdown")
            .is_ok_and(|modes| modes.contains("[confidentiality]"))
    }

    /// A case begins.
    pub fn begin_case(&self) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = CpuTicks::now().ok();
    }

    /// `Some(percent)` if other machines took so much of this one's CPUs since the case began that
    /// wall-clock times say nothing.
    pub fn is_robbed(&self) -> anyhow::Result<Option<u64>> {
        let began = *self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let now = CpuTicks::now()?;
        let stolen = began.map(|began| began.stolen_percent_until(&now));
        Ok(stolen.filter(|stolen| *stolen >= STOLEN_PERCENT))
    }

    /// DAMON runs here: it evicts pages of any cgroup that it finds cold, and no counter of reclaim
    /// tells of it (mm/damon/paddr.c).
    pub fn has_damon(&self) -> bool {
        fs::read_dir("/proc").is_ok_and(|processes| {
            processes.flatten().any(|process| {
                fs::read_to_string(process.path().join("comm"))
                    .is_ok_and(|comm| comm.starts_with("kdamond"))
            })
        })
    }

    /// Tracepoint programs can be preempted (from 7.2 on), and the kernel then skips a second one
    /// on the same CPU.
    pub fn preemptible_hooks(&self) -> bool {
        // An oracle may know the release; memtrace itself may not.
        let mut parts = self.kernel_release.split(['.', '-']);
        let mut next = || parts.next().and_then(|part| part.parse::<u32>().ok());
        next().zip(next()).is_some_and(|release| release >= (7, 2))
    }

    /// `Some(reason)` if file pages are not activated one by one here.
    pub fn no_activations(&self) -> Option<String> {
        self.multi_gen_lru
            .then(|| "MGLRU: reading a page again does not activate it".to_owned())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} on Linux {}, {} CPUs, cgroup v{}, {}, files in {}",
            self.memtrace.display(),
            self.kernel_release,
            self.cpus,
            self.hierarchy.version as u8,
            if self.multi_gen_lru {
                "MGLRU"
            } else {
                "classic LRU"
            },
            self.scratch.display()
        )
    }
}

fn find_memtrace() -> anyhow::Result<PathBuf> {
    if let Some(path) = env::var_os("MEMTRACE_BIN") {
        return fs::canonicalize(&path).with_context(|| format!("MEMTRACE_BIN={}", path.display()));
    }
    // Tests run in the folder of their crate, programs anywhere.
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    for profile in ["release", "debug"] {
        if let Ok(path) = fs::canonicalize(target.join(profile).join("memtrace")) {
            return Ok(path);
        }
    }
    bail!("no memtrace: run `cargo build --release`, or set MEMTRACE_BIN")
}

/// A program built with this one: beside it, or above it if this is a test in `deps/`.
fn find_beside(own: &Path, name: &str, variable: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = env::var_os(variable) {
        return Ok(path.into());
    }
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("no {name} near {}; set {variable}", own.display()))
}

fn online_cpus() -> anyhow::Result<u64> {
    let path = "/sys/devices/system/cpu/online";
    let list = fs::read_to_string(path).context(path)?;
    parse_cpu_list(&list).with_context(|| format!("{path}: {list:?}"))
}

/// The number of CPUs in a list such as `0-3,8`.
fn parse_cpu_list(list: &str) -> Option<u64> {
    list.trim()
        .split(',')
        .map(|range| match range.split_once('-') {
            Some((first, last)) => Some(last.parse::<u64>().ok()? - first.parse::<u64>().ok()? + 1),
            None => range.parse::<u64>().ok().map(|_| 1),
        })
        .sum()
}

/// Bit 0 of `lru_gen/enabled` is `LRU_GEN_CORE` (include/linux/mmzone.h).
fn multi_gen_lru() -> bool {
    fs::read_to_string("/sys/kernel/mm/lru_gen/enabled")
        .ok()
        .and_then(|text| u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok())
        .is_some_and(|bits| bits & 1 == 1)
}

/// `TMPDIR`, or else a temporary folder that is not a tmpfs, whose pages are shmem.
fn scratch() -> anyhow::Result<PathBuf> {
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    const RAMFS_MAGIC: i64 = 0x8584_58f6;
    let candidates = env::var_os("TMPDIR")
        .map(PathBuf::from)
        .into_iter()
        .chain(["/var/tmp", "/tmp"].map(PathBuf::from));
    for folder in candidates {
        let Ok(found) = rustix::fs::statfs(&folder) else {
            continue;
        };
        if ![TMPFS_MAGIC, RAMFS_MAGIC].contains(&found.f_type) {
            return Ok(folder);
        }
    }
    bail!("no temporary folder on a file system with a disk behind it; set TMPDIR")
}

#[cfg(test)]
mod tests {
    use super::parse_cpu_list;

    #[test]
    fn cpu_lists() {
        assert_eq!(parse_cpu_list("0-1\n"), Some(2));
        assert_eq!(parse_cpu_list("0"), Some(1));
        assert_eq!(parse_cpu_list("0-3,8,10-11"), Some(7));
        assert_eq!(parse_cpu_list("x"), None);
    }
}
