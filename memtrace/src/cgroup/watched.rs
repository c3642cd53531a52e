//! A cgroup read every second for months: usage and statistics by files kept open, the rest at times.

use super::{CgroupError, CgroupHandle, StatLines, kept::Kept, reader::number};
use crate::input::CgroupSample;

/// From this share of its limit on, all but the kills is read each time.
const NEAR: f64 = 0.8;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Usage and statistics; near the limit also limits, swap and stalls. Kills stay as of the last
    /// whole look, so that those of all cgroups are of one moment: on v2 a kill counts in each cgroup
    /// above the victim's, too.
    Part,
    /// All that a risk takes.
    Whole,
}

/// What a risk is reckoned from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RiskSample {
    /// Usage, statistics, limit, swap where there is any, kills and stalls; the rest is unknown.
    pub cgroup: CgroupSample,
    /// What `memory.min` protects, bytes.
    pub min_bytes: u64,
}

/// A cgroup with two files open. An open kernel file keeps a page of kernel memory, which is charged
/// to who opened it (fs/seq_file.c, `seq_buf_alloc`), and opening one takes as long as reading it: the
/// two that are read each second are kept, the others are opened when they are read.
#[derive(Debug)]
pub struct WatchedCgroup {
    handle: CgroupHandle,
    kept: Kept,
}

impl WatchedCgroup {
    /// Opens the two.
    ///
    /// # Errors
    /// As [`super::CgroupReader::open`].
    pub fn new(handle: CgroupHandle) -> Result<Self, CgroupError> {
        Ok(Self {
            kept: handle.keep()?,
            handle,
        })
    }

    /// As it is now, `last` being what the look before gave: without one it is a whole one. `lines` and
    /// `buffer` are meant to be used again, for other cgroups, too.
    ///
    /// # Errors
    /// As [`super::CgroupReader::sample`].
    pub fn sample(
        &self,
        look: Look,
        last: Option<&RiskSample>,
        lines: &mut StatLines,
        buffer: &mut Vec<u8>,
    ) -> Result<RiskSample, CgroupError> {
        let stat = &self.kept.stat;
        match (look, last) {
            (Look::Part, Some(last)) => {
                let mut sample = *last;
                sample.cgroup.usage_bytes = number(self.kept.usage.as_ref(), buffer)?;
                sample.cgroup.usage_after_bytes = None;
                match is_near(&sample.cgroup) {
                    true => {
                        sample = self.whole(buffer)?;
                        sample.cgroup.events = last.cgroup.events;
                    }
                    false => {
                        if let Some(text) = stat.read(buffer)? {
                            sample.cgroup.stat =
                                lines.parse(text).map_err(|line| stat.malformed(&line.0))?;
                        }
                    }
                }
                Ok(sample)
            }
            _ => self.whole(buffer),
        }
    }

    fn whole(&self, buffer: &mut Vec<u8>) -> Result<RiskSample, CgroupError> {
        Ok(RiskSample {
            cgroup: self.handle.sample_of_risk(&self.kept, buffer)?,
            min_bytes: self.handle.min_bytes(buffer)?,
        })
    }
}

fn is_near(sample: &CgroupSample) -> bool {
    let both = sample.usage_bytes.zip(sample.limit_bytes);
    both.is_some_and(|(usage, limit)| usage as f64 >= NEAR * limit as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cgroup::fixture::Tree, input::CgroupVersion};

    #[test]
    fn usage_and_statistics_are_fresh_and_the_rest_is_near_the_limit() {
        let tree = Tree::v2(&["a"]);
        let write = |file: &str, text: &str| tree.write(&format!("a/{file}"), text);
        write("memory.stat", "anon 1\nfile 2\n");
        write("memory.current", "4096\n");
        write("memory.max", "81920\n");
        write("memory.min", "max\n");
        write("memory.events", "oom_kill 1\n");
        let handle = CgroupHandle::open(CgroupVersion::V2, &tree.root().join("a")).unwrap();
        let watched = WatchedCgroup::new(handle).unwrap();
        let mut last = None;
        let (mut lines, mut buffer) = (StatLines::new(CgroupVersion::V2), Vec::new());
        let mut look = |look| {
            let sample = watched.sample(look, last.as_ref(), &mut lines, &mut buffer);
            *last.insert(sample.unwrap())
        };

        let first = look(Look::Part);
        assert_eq!(first.min_bytes, u64::MAX);
        assert_eq!(first.cgroup.limit_bytes, Some(81_920));
        write("memory.stat", "anon 5\nfile 6\n");
        write("memory.current", "8192\n");
        write("memory.max", "163840\n");
        write("memory.events", "oom_kill 2\n");
        let part = look(Look::Part).cgroup;
        assert_eq!((part.usage_bytes, part.stat.anon), (Some(8_192), Some(5)));
        assert_eq!(part.limit_bytes, Some(81_920));
        assert_eq!(part.events.oom_kill, Some(1));

        write("memory.current", "65536\n");
        let near = look(Look::Part).cgroup;
        assert_eq!(near.limit_bytes, Some(163_840));
        assert_eq!(near.events.oom_kill, Some(1));
        assert_eq!(look(Look::Whole).cgroup.events.oom_kill, Some(2));
    }
}
