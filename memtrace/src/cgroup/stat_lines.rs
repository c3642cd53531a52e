//! `memory.stat` read over and over: a kernel prints the same keys in the same order for each cgroup,
//! so which of them a line is needs to be found out only once.

use super::stat::{MalformedLine, parse_memory_stat, v2_key};
use crate::input::{CgroupVersion, MemoryStat};

/// The lines of `memory.stat` as they came last.
#[derive(Debug)]
pub struct StatLines {
    version: CgroupVersion,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    /// The key and the space behind it.
    key: Box<[u8]>,
    /// Place of the key in [`MemoryStat::KEYS`], if memtrace keeps it.
    place: Option<usize>,
}

impl StatLines {
    /// None yet.
    pub fn new(version: CgroupVersion) -> Self {
        Self {
            version,
            lines: Vec::new(),
        }
    }

    /// As [`parse_memory_stat`].
    ///
    /// # Errors
    /// As there.
    pub fn parse(&mut self, text: &str) -> Result<MemoryStat, MalformedLine> {
        if let Some(stat) = self.parse_known(text.as_bytes()) {
            return Ok(stat);
        }
        let stat = parse_memory_stat(self.version, text)?;
        self.lines.clear();
        for line in text.lines() {
            let key = line.split_inclusive(' ').next().unwrap_or_default();
            let name = v2_key(self.version, key.trim_end());
            self.lines.push(Line {
                key: key.as_bytes().into(),
                place: name.and_then(|name| MemoryStat::KEYS.iter().position(|key| *key == name)),
            });
        }
        Ok(stat)
    }

    /// `None` if the text has other lines.
    fn parse_known(&self, text: &[u8]) -> Option<MemoryStat> {
        let mut values = [None; MemoryStat::KEYS.len()];
        let mut rest = text;
        for line in &self.lines {
            let (value, after) = number(rest.strip_prefix(&*line.key)?)?;
            if let Some(place) = line.place {
                values[place] = Some(value);
            }
            rest = after;
        }
        rest.is_empty().then(|| MemoryStat::from_values(values))
    }
}

/// The number up to the end of the line, and what comes after it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (place, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                let digit = u64::from(byte - b'0');
                value = value.checked_mul(10)?.checked_add(digit)?;
            }
            b'\n' if place > 0 => return Some((value, &text[place + 1..])),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Learned from the first text, asked of the second: what a fresh look at the second gives.
    fn assert_same(version: CgroupVersion, first: &str, second: &str) {
        let mut lines = StatLines::new(version);
        let _ = lines.parse(first);
        let expected = parse_memory_stat(version, second);
        assert_eq!(lines.parse(second), expected, "{first:?} {second:?}");
        assert_eq!(lines.parse(second), expected, "{second:?} again");
    }

    #[test]
    fn known_lines_are_read_as_unknown_ones_are() {
        let v1 = include_str!("fixture/memory.stat.v1-6.18");
        let v2 = include_str!("fixture/memory.stat.v2-7.2");
        let large = "anon 1\nfile 18446744073709551615\nnew_key 3\nslab 0\n";
        for (version, text) in [
            (CgroupVersion::V1, v1),
            (CgroupVersion::V2, v2),
            (CgroupVersion::V2, large),
        ] {
            let other = text.replace(" 1", " 7");
            assert_same(version, text, text);
            assert_same(version, text, &other);
            let mut lines = StatLines::new(version);
            let _ = lines.parse(text);
            assert!(lines.parse_known(text.as_bytes()).is_some());
        }
    }

    #[test]
    fn other_lines_are_learned_anew() {
        let text = "anon 1\nfile 2\nslab 3\n";
        for other in [
            "",
            "anon 1\nfile 2\n",
            "anon 1\nfile 2\nslab 3\nsock 4\n",
            "file 2\nanon 1\nslab 3\n",
            "anon 1\nfile_mapped 2\nslab 3\n",
            "anon 1\nfile 18446744073709551616\nslab 3\n",
            "anon 1\nfile\nslab 3\n",
            "anon 1\nfile x\nslab 3\n",
            "anon 1\nfile 2\nslab 3",
        ] {
            assert_same(CgroupVersion::V2, text, other);
        }
    }
}
