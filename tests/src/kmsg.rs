//! The kernel log from now on: the OOM killer's own words.

use std::io;

use anyhow::Context as _;
use rustix::{
    fs::{Mode, OFlags, SeekFrom, open, seek},
    io::Errno,
};

/// `/dev/kmsg`, read from the end that it had when it was opened.
pub struct KernelLog(rustix::fd::OwnedFd);

/// A line `Memory cgroup out of memory: Killed process PID (NAME) ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KilledLine {
    /// Process id.
    pub pid: u32,
    /// What the line says of its memory: anonymous, file and shmem pages, kB, and page tables, kB.
    pub kilobytes: [u64; 4],
}

impl KernelLog {
    /// Opens it.
    pub fn open() -> anyhow::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let log = open("/dev/kmsg", flags, Mode::empty()).context("opening /dev/kmsg")?;
        seek(&log, SeekFrom::End(0)).context("going to the end of /dev/kmsg")?;
        Ok(Self(log))
    }

    /// Lines since it was opened or read.
    pub fn lines(&mut self) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            match rustix::io::read(&self.0, &mut buffer) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(lines),
                // Lines were overwritten before they were read.
                Err(Errno::PIPE) => {}
                Err(errno) => return Err(io::Error::from(errno)).context("reading /dev/kmsg"),
                Ok(bytes) => {
                    let record = String::from_utf8_lossy(&buffer[..bytes]);
                    // "6,339,5140900,-;text", then properties on lines of their own.
                    let text = record.split_once(';').map_or("", |(_, text)| text);
                    lines.extend(text.lines().next().map(str::to_owned));
                }
            }
        }
    }

    /// Who was killed since it was opened or read, in order.
    pub fn killed(&mut self) -> anyhow::Result<Vec<KilledLine>> {
        Ok(self
            .lines()?
            .iter()
            .filter_map(|line| killed(line))
            .collect())
    }
}

/// mm/oom_kill.c, `__oom_kill_process`.
fn killed(line: &str) -> Option<KilledLine> {
    let (_, rest) = line.split_once("Killed process ")?;
    let field = |key: &str| -> Option<u64> {
        let (_, value) = rest.split_once(key)?;
        value.split_once("kB")?.0.parse().ok()
    };
    Some(KilledLine {
        pid: rest.split_once(' ')?.0.parse().ok()?,
        kilobytes: [
            field("anon-rss:")?,
            field("file-rss:")?,
            field("shmem-rss:")?,
            field("pgtables:")?,
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_read() {
        let line = "Memory cgroup out of memory: Killed process 166 (memtrace-hog) total-vm:12345kB, \
                    anon-rss:11776kB, file-rss:1540kB, shmem-rss:0kB, UID:0 pgtables:64kB \
                    oom_score_adj:0";
        let expected = KilledLine {
            pid: 166,
            kilobytes: [11776, 1540, 0, 64],
        };
        assert_eq!(killed(line), Some(expected));
        assert_eq!(killed("oom_reaper: reaped process 166"), None);
    }
}
