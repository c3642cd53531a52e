//! One cgroup's memory files, read again and again.

use std::{fs, os::fd::AsFd, path::Path, sync::Arc};

use rustix::{
    fs::{Mode, OFlags, open},
    io::retry_on_intr,
};

use super::{
    CgroupError,
    kept::Kept,
    kernel_file::KernelFile,
    stat::{parse_memory_events, parse_memory_stat, parse_pressure},
};
use crate::{
    input::{CgroupSample, CgroupVersion, MemoryEvents, Pressure},
    tasks::field_bytes,
};

/// The largest page size of any machine (arm64, ppc64).
const MAX_PAGE_SIZE_BYTES: u64 = 64 << 10;

/// Limits from here on mean "no limit": v1 shows none as `PAGE_COUNTER_MAX` pages, which is
/// `LONG_MAX / PAGE_SIZE` (include/linux/page_counter.h), so the value depends on the page size.
pub(super) const UNLIMITED_BYTES: u64 = i64::MAX as u64 - MAX_PAGE_SIZE_BYTES;

/// Which files are read: a file that is opened anew each time takes as long to open as to read.
pub(super) enum Files<'a> {
    /// All there are.
    All,
    /// What a risk is reckoned from: usage and statistics, which are open already, limit, swap where
    /// there is any, kills, stalls. The rest stays unknown.
    OfRisk(&'a Kept),
}

/// The memory files of one cgroup, kept open: a cgroup that is removed and made again under the
/// same name is another cgroup, and never mistaken for the first.
#[derive(Debug)]
pub struct CgroupReader {
    version: CgroupVersion,
    directory: Arc<Path>,
    stat: KernelFile,
    usage: Option<KernelFile>,
    peak: Option<KernelFile>,
    limit: Option<KernelFile>,
    high: Option<KernelFile>,
    /// v2: swap; v1: memory and swap together.
    swap: Option<KernelFile>,
    /// v2: limit of swap; v1: of memory and swap together.
    swap_limit: Option<KernelFile>,
    kmem: Option<KernelFile>,
    /// v1: how often the limit was hit, which v2 has in its events.
    failcnt: Option<KernelFile>,
    events: Option<KernelFile>,
    pressure: Option<KernelFile>,
    buffer: Vec<u8>,
}

impl CgroupReader {
    /// Opens the files of a cgroup directory. Files that this kernel or this cgroup lacks (v2's
    /// root has no `memory.current`) are simply not read.
    ///
    /// # Errors
    /// [`CgroupError::Gone`] if there is no such directory, [`CgroupError::NoMemoryController`]
    /// if it has no `memory.stat`, [`CgroupError::Io`] if a file may not be opened.
    pub fn open(version: CgroupVersion, directory: &Path) -> Result<Self, CgroupError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| open(directory, flags, Mode::empty()))
            .map_err(|errno| CgroupError::on("open", directory, directory, errno.into()))?;
        Self::open_at(version, &directory.into(), &fd, Files::All, Vec::new())
    }

    /// The same for a cgroup directory that is open already, to be read into `buffer`, which may come
    /// from another reader.
    pub(super) fn open_at(
        version: CgroupVersion,
        directory: &Arc<Path>,
        fd: impl AsFd,
        files: Files<'_>,
        buffer: Vec<u8>,
    ) -> Result<Self, CgroupError> {
        let file = |name| KernelFile::open(directory, &fd, name);
        let only = |wanted, name| match version == wanted {
            true => file(name),
            false => Ok(None),
        };
        let of = |v1, v2| match version {
            CgroupVersion::V1 => file(v1),
            CgroupVersion::V2 => file(v2),
        };

        let (Kept { stat, usage }, all) = match files {
            Files::All => (Kept::open(version, directory, &fd)?, true),
            Files::OfRisk(kept) => (kept.clone(), false),
        };
        let mut own = Self {
            version,
            directory: Arc::clone(directory),
            stat,
            usage,
            peak: None,
            limit: of("memory.limit_in_bytes", "memory.max")?,
            high: None,
            swap: None,
            swap_limit: None,
            kmem: None,
            failcnt: None,
            events: of("memory.oom_control", "memory.events")?,
            pressure: only(CgroupVersion::V2, "memory.pressure")?,
            buffer,
        };
        if all || rustix::system::sysinfo().totalswap != 0 {
            own.swap = of("memory.memsw.usage_in_bytes", "memory.swap.current")?;
            own.swap_limit = of("memory.memsw.limit_in_bytes", "memory.swap.max")?;
        }
        if all {
            own.peak = of("memory.max_usage_in_bytes", "memory.peak")?;
            own.high = only(CgroupVersion::V2, "memory.high")?;
            own.kmem = only(CgroupVersion::V1, "memory.kmem.usage_in_bytes")?;
            own.failcnt = only(CgroupVersion::V1, "memory.failcnt")?;
        }
        Ok(own)
    }

    /// Its buffer, for the next reader.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// The directory that was opened.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Reads everything once: usage, `memory.stat`, usage again, then the rest.
    ///
    /// # Errors
    /// [`CgroupError::Gone`] if the cgroup was removed, an ordinary event;
    /// [`CgroupError::Malformed`] with file and line if a file is not understood.
    pub fn sample(&mut self) -> Result<CgroupSample, CgroupError> {
        let buffer = &mut self.buffer;
        let mut sample = CgroupSample {
            usage_bytes: number(self.usage.as_ref(), buffer)?,
            ..CgroupSample::default()
        };
        if let Some(text) = self.stat.read(buffer)? {
            sample.stat = parse_memory_stat(self.version, text)
                .map_err(|line| self.stat.malformed(&line.0))?;
        }
        sample.usage_after_bytes = number(self.usage.as_ref(), buffer)?;
        // Before 5.12 the kernel does not count it for a cgroup: the node's is the most it can be.
        if sample.stat.swapcached.is_none() {
            sample.stat.swapcached = node_swap_cache_bytes();
        }

        let limited = |bytes: &u64| *bytes < UNLIMITED_BYTES;
        sample.usage_peak_bytes = number(self.peak.as_ref(), buffer)?;
        sample.limit_bytes = number(self.limit.as_ref(), buffer)?.filter(limited);
        sample.high_bytes = number(self.high.as_ref(), buffer)?.filter(limited);
        sample.kmem_bytes = number(self.kmem.as_ref(), buffer)?;
        sample.swap_bytes = self.swap_bytes(&sample)?;
        sample.swap_available_bytes = Some(self.swap_available_bytes()?);
        sample.events = self.events()?;
        sample.pressure = self.pressure()?;
        Ok(sample)
    }

    /// On v1 the statistic, where the kernel keeps it: the difference of two counters that were
    /// read one after the other is off by whatever was charged in between.
    fn swap_bytes(&mut self, sample: &CgroupSample) -> Result<Option<u64>, CgroupError> {
        match self.version {
            CgroupVersion::V2 => number(self.swap.as_ref(), &mut self.buffer),
            CgroupVersion::V1 if sample.stat.swap.is_some() => Ok(sample.stat.swap),
            CgroupVersion::V1 => {
                let usage = number(self.usage.as_ref(), &mut self.buffer)?;
                let both = number(self.swap.as_ref(), &mut self.buffer)?;
                Ok(both
                    .zip(usage)
                    .map(|(both, usage)| both.saturating_sub(usage)))
            }
        }
    }

    /// The node's free swap (sysinfo(2)), or what the cgroup's own limit leaves, if that is less.
    fn swap_available_bytes(&mut self) -> Result<u64, CgroupError> {
        let node = rustix::system::sysinfo();
        let free_bytes = node.freeswap.saturating_mul(u64::from(node.mem_unit));
        if free_bytes == 0 {
            return Ok(0);
        }
        // On v1 both are of memory and swap together, so the difference is swap at the limit.
        let limit = number(self.swap_limit.as_ref(), &mut self.buffer)?;
        let used = number(self.swap.as_ref(), &mut self.buffer)?;
        Ok(match limit.zip(used) {
            Some((limit, used)) => free_bytes.min(limit.saturating_sub(used)),
            None => free_bytes,
        })
    }

    fn events(&mut self) -> Result<MemoryEvents, CgroupError> {
        let mut events = MemoryEvents::default();
        if let Some(file) = &self.events
            && let Some(text) = file.read(&mut self.buffer)?
        {
            events = parse_memory_events(text).map_err(|line| file.malformed(&line.0))?;
        }
        if self.failcnt.is_some() {
            events.max = number(self.failcnt.as_ref(), &mut self.buffer)?;
        }
        Ok(events)
    }

    fn pressure(&mut self) -> Result<Option<Pressure>, CgroupError> {
        let Some(file) = &self.pressure else {
            return Ok(None);
        };
        match file.read(&mut self.buffer)? {
            None => Ok(None),
            Some(text) => parse_pressure(text).map_err(|line| file.malformed(&line.0)),
        }
    }
}

/// The node's swap cache (`/proc/meminfo`); `None` without swap.
fn node_swap_cache_bytes() -> Option<u64> {
    if rustix::system::sysinfo().totalswap == 0 {
        return None;
    }
    field_bytes(&fs::read_to_string("/proc/meminfo").ok()?, "SwapCached")
}

/// The one number of a file, if there is such a file.
pub(super) fn number(
    file: Option<&KernelFile>,
    buffer: &mut Vec<u8>,
) -> Result<Option<u64>, CgroupError> {
    file.map_or(Ok(None), |file| file.read_number(buffer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::fixture::Tree;

    const V1_STAT: &str = include_str!("fixture/memory.stat.v1-6.18");
    const V2_STAT: &str = include_str!("fixture/memory.stat.v2-6.12");

    fn v1() -> Tree {
        let tree = Tree::v1(&["c"]);
        tree.write("c/memory.stat", V1_STAT);
        tree.write("c/memory.usage_in_bytes", "564736000\n");
        tree.write("c/memory.max_usage_in_bytes", "600000000\n");
        tree.write("c/memory.limit_in_bytes", "1073741824\n");
        tree.write("c/memory.memsw.usage_in_bytes", "564740096\n");
        tree.write("c/memory.kmem.usage_in_bytes", "25000000\n");
        tree.write("c/memory.failcnt", "17\n");
        tree.write(
            "c/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        );
        tree
    }

    fn v2() -> Tree {
        let tree = Tree::v2(&["c"]);
        tree.write("c/memory.stat", V2_STAT);
        tree.write("c/memory.current", "215000000\n");
        tree.write("c/memory.peak", "216000000\n");
        tree.write("c/memory.max", "max\n");
        tree.write("c/memory.high", "300000000\n");
        tree.write("c/memory.swap.current", "4096\n");
        tree.write(
            "c/memory.events",
            "low 0\nhigh 5\nmax 6\noom 1\noom_kill 1\n",
        );
        tree.write(
            "c/memory.pressure",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=77\n\
             full avg10=0.00 avg60=0.00 avg300=0.00 total=66\n",
        );
        tree
    }

    fn read(version: CgroupVersion, tree: &Tree) -> Result<CgroupSample, CgroupError> {
        CgroupReader::open(version, &tree.root().join("c"))?.sample()
    }

    #[test]
    fn v1_files() {
        let sample = read(CgroupVersion::V1, &v1()).unwrap();
        assert_eq!(sample.usage_bytes, Some(564_736_000));
        assert_eq!(sample.usage_after_bytes, Some(564_736_000));
        assert_eq!(sample.usage_peak_bytes, Some(600_000_000));
        assert_eq!(sample.limit_bytes, Some(1 << 30));
        assert_eq!(sample.high_bytes, None);
        assert_eq!(sample.kmem_bytes, Some(25_000_000));
        assert_eq!(sample.swap_bytes, Some(0));
        assert_eq!(
            (sample.events.max, sample.events.oom_kill),
            (Some(17), Some(2))
        );
        assert_eq!(sample.pressure, None);
        assert_eq!(sample.working_set_bytes(), Some(564_736_000 - 432_840_704));
    }

    #[test]
    fn v2_files() {
        let sample = read(CgroupVersion::V2, &v2()).unwrap();
        assert_eq!(sample.usage_bytes, Some(215_000_000));
        assert_eq!(sample.usage_peak_bytes, Some(216_000_000));
        assert_eq!(sample.limit_bytes, None);
        assert_eq!(sample.high_bytes, Some(300_000_000));
        assert_eq!(sample.swap_bytes, Some(4096));
        assert_eq!(sample.kmem_bytes, None);
        assert_eq!((sample.events.high, sample.events.max), (Some(5), Some(6)));
        let pressure = sample.pressure.unwrap();
        assert_eq!((pressure.some_total_us, pressure.full_total_us), (77, 66));
    }

    #[test]
    fn v1_without_a_limit_for_each_page_size() {
        let tree = v1();
        for page_size in [4096, 16384, 65536_u64] {
            let unlimited = i64::MAX as u64 / page_size * page_size;
            tree.write("c/memory.limit_in_bytes", &format!("{unlimited}\n"));
            assert_eq!(read(CgroupVersion::V1, &tree).unwrap().limit_bytes, None);
        }
        tree.write("c/memory.limit_in_bytes", "0\n");
        assert_eq!(read(CgroupVersion::V1, &tree).unwrap().limit_bytes, Some(0));
    }

    #[test]
    fn v1_swap_is_a_difference_where_the_statistic_is_missing() {
        let tree = v1();
        tree.write("c/memory.stat", &V1_STAT.replace("total_swap 0\n", ""));
        assert_eq!(
            read(CgroupVersion::V1, &tree).unwrap().swap_bytes,
            Some(4096)
        );
    }

    #[test]
    fn absent_files_are_unknown() {
        let tree = Tree::v2(&["c"]);
        tree.write("c/memory.stat", "file 1\n");
        let sample = read(CgroupVersion::V2, &tree).unwrap();
        assert_eq!(sample.stat.file, Some(1));
        assert_eq!(
            sample,
            CgroupSample {
                stat: sample.stat,
                // Free swap is the node's, and not from a file of the cgroup.
                swap_available_bytes: sample.swap_available_bytes,
                ..CgroupSample::default()
            }
        );
        assert_eq!(sample.working_set_bytes(), None);
    }

    #[test]
    fn malformed_numbers_name_file_and_text() {
        let tree = v2();
        tree.write("c/memory.current", "lots\n");
        let error = read(CgroupVersion::V2, &tree).unwrap_err().to_string();
        assert!(
            error.contains("c/memory.current") && error.contains("lots"),
            "{error}"
        );
        let tree = v2();
        tree.write("c/memory.stat", "anon 1\nfile one\n");
        let error = read(CgroupVersion::V2, &tree).unwrap_err().to_string();
        assert!(
            error.contains("c/memory.stat") && error.contains("file one"),
            "{error}"
        );
    }

    #[test]
    fn gone_and_without_controller_are_told_apart() {
        let tree = Tree::v2(&["c"]);
        let error = read(CgroupVersion::V2, &tree).unwrap_err();
        assert!(matches!(error, CgroupError::NoMemoryController { .. }));
        assert!(error.to_string().contains("cgroup.subtree_control"));
        std::fs::remove_dir(tree.root().join("c")).unwrap();
        let error = read(CgroupVersion::V2, &tree).unwrap_err();
        assert!(matches!(error, CgroupError::Gone { .. }));
    }

    #[test]
    fn a_file_larger_than_the_buffer_is_read_whole() {
        let tree = v2();
        let padding: String = (0..2000).map(|n| format!("new_key_{n} {n}\n")).collect();
        tree.write("c/memory.stat", &format!("{padding}anon 42\n"));
        let sample = read(CgroupVersion::V2, &tree).unwrap();
        assert_eq!(sample.stat.anon, Some(42));
    }
}
