//! `memory.stat` and the other files of `key value` lines.

use crate::input::{CgroupVersion, MemoryEvents, MemoryStat, Pressure};

/// A line that is not what this interface of the kernel prints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key and a number: {0:?}")]
pub struct MalformedLine(pub String);

/// `memory.stat` by name, v1's keys under v2's names. Keys that memtrace does not keep are
/// skipped unread, so a new kernel's new kind of line harms nothing; keys that are absent stay
/// `None`.
///
/// # Errors
/// The line, if a key that memtrace keeps has no number.
pub fn parse_memory_stat(version: CgroupVersion, text: &str) -> Result<MemoryStat, MalformedLine> {
    let mut stat = MemoryStat::default();
    for line in text.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let Some(key) = v2_key(version, key) else {
            continue;
        };
        match value.parse() {
            Ok(value) => _ = stat.set(key, value),
            Err(_) if MemoryStat::default().set(key, 0) => {
                return Err(MalformedLine(line.to_owned()));
            }
            Err(_) => {}
        }
    }
    Ok(stat)
}

/// The v2 name of a key. v1 prints each counter twice, local and hierarchical; only the second
/// (`total_`) means what v2's numbers mean (mm/memcontrol-v1.c, `memcg1_stat_format`).
pub(super) fn v2_key(version: CgroupVersion, key: &str) -> Option<&str> {
    match version {
        CgroupVersion::V2 => Some(key),
        CgroupVersion::V1 => Some(match key.strip_prefix("total_")? {
            "cache" => "file",
            "rss" => "anon",
            "rss_huge" => "anon_thp",
            "mapped_file" => "file_mapped",
            "dirty" => "file_dirty",
            "writeback" => "file_writeback",
            same => same,
        }),
    }
}

/// `memory.events`, or v1's `memory.oom_control`, whose `oom_kill` means the same.
pub(super) fn parse_memory_events(text: &str) -> Result<MemoryEvents, MalformedLine> {
    let mut events = MemoryEvents::default();
    for line in text.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let place = match key {
            "low" => &mut events.low,
            "high" => &mut events.high,
            "max" => &mut events.max,
            "oom" => &mut events.oom,
            "oom_kill" => &mut events.oom_kill,
            "oom_group_kill" => &mut events.oom_group_kill,
            _ => continue,
        };
        *place = Some(value.parse().map_err(|_| MalformedLine(line.to_owned()))?);
    }
    Ok(events)
}

/// The totals of `memory.pressure` (Documentation/accounting/psi.rst); `None` if there is no line
/// for `some` or for `full`.
pub fn parse_pressure(text: &str) -> Result<Option<Pressure>, MalformedLine> {
    let total = |kind: &str| {
        let Some(line) = text
            .lines()
            .find(|line| line.split(' ').next() == Some(kind))
        else {
            return Ok(None);
        };
        line.split(' ')
            .find_map(|field| field.strip_prefix("total="))
            .and_then(|total| total.parse().ok())
            .map(Some)
            .ok_or_else(|| MalformedLine(line.to_owned()))
    };
    let (some, full) = (total("some")?, total("full")?);
    Ok(some
        .zip(full)
        .map(|(some_total_us, full_total_us)| Pressure {
            some_total_us,
            full_total_us,
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read from a v1 hierarchy of Linux 6.18.
    const V1_6_18: &str = include_str!("fixture/memory.stat.v1-6.18");
    /// Read from v2 hierarchies of Debian's cloud kernels 5.10.0-46, 6.1.0-56, 6.12.107 and 7.2.12.
    const V2_5_10: &str = include_str!("fixture/memory.stat.v2-5.10");
    const V2_6_1: &str = include_str!("fixture/memory.stat.v2-6.1");
    const V2_6_12: &str = include_str!("fixture/memory.stat.v2-6.12");
    const V2_7_2: &str = include_str!("fixture/memory.stat.v2-7.2");

    #[test]
    fn v1_takes_the_hierarchical_numbers_under_v2_names() {
        let stat = parse_memory_stat(CgroupVersion::V1, V1_6_18).unwrap();
        assert_eq!(stat.file, Some(493_633_536));
        assert_eq!(stat.anon, Some(36_450_304));
        assert_eq!(stat.anon_thp, Some(0));
        assert_eq!(stat.shmem, Some(8_998_912));
        assert_eq!(stat.file_mapped, Some(19_525_632));
        assert_eq!(stat.file_dirty, Some(22_466_560));
        assert_eq!(stat.file_writeback, Some(0));
        assert_eq!(stat.swap, Some(0));
        assert_eq!(stat.swapcached, Some(0));
        assert_eq!(stat.inactive_anon, Some(24_444_928));
        assert_eq!(stat.active_anon, Some(1_622_016));
        assert_eq!(stat.inactive_file, Some(432_840_704));
        assert_eq!(stat.active_file, Some(51_793_920));
        assert_eq!(stat.unevictable, Some(19_271_680));
        assert_eq!(stat.workingset_refault_file, Some(328_677));
        assert_eq!(stat.pgfault, Some(5_707_792));
        assert_eq!(stat.pgmajfault, Some(1_644));
        // v1 has no such keys: unknown, not 0.
        assert_eq!(stat.kernel, None);
        assert_eq!(stat.slab_reclaimable, None);
        assert_eq!(stat.pgactivate, None);
        assert_eq!(stat.workingset_activate_file, None);
    }

    #[test]
    fn v2_keeps_its_names_on_every_kernel() {
        let stats = [V2_5_10, V2_6_1, V2_6_12, V2_7_2]
            .map(|text| parse_memory_stat(CgroupVersion::V2, text).unwrap());
        let each = |of: fn(&MemoryStat) -> Option<u64>| stats.each_ref().map(of);
        assert_eq!(
            each(|stat| stat.file),
            [4_055_040, 4_136_960, 4_136_960, 4_136_960].map(Some)
        );
        assert_eq!(
            each(|stat| stat.slab),
            [131_776, 142_944, 157_360, 158_784].map(Some)
        );
        assert_eq!(each(|stat| stat.active_file), [Some(0); 4]);
        assert_eq!(each(|stat| stat.pgactivate), [990, 1033, 0, 0].map(Some));
        // 5.10 keeps less; nobody keeps swap here (it is in memory.swap.current).
        assert_eq!(
            each(|stat| stat.kernel),
            [None, Some(208_896), Some(237_568), Some(294_912)]
        );
        assert_eq!(each(|stat| stat.vmalloc), [None, Some(0), Some(0), Some(0)]);
        assert_eq!(each(|stat| stat.swap), [None; 4]);
    }

    #[test]
    fn absent_keys_and_the_empty_file_are_unknown() {
        let stat = parse_memory_stat(CgroupVersion::V2, "file 5\n").unwrap();
        assert_eq!((stat.file, stat.anon), (Some(5), None));
        let stat = parse_memory_stat(CgroupVersion::V1, "").unwrap();
        assert_eq!(stat, MemoryStat::default());
    }

    #[test]
    fn a_kept_key_without_a_number_is_an_error() {
        for line in [
            "anon",
            "anon ",
            "anon x",
            "anon -1",
            "anon 99999999999999999999",
        ] {
            let text = format!("file 5\n{line}\n");
            let error = parse_memory_stat(CgroupVersion::V2, &text).unwrap_err();
            assert_eq!(error, MalformedLine(line.to_owned()));
        }
        let new = parse_memory_stat(CgroupVersion::V2, "brand_new a b c\n\nfile 5\n").unwrap();
        assert_eq!(new.file, Some(5));
    }

    #[test]
    fn events_of_both_versions() {
        let v2 = "low 0\nhigh 1\nmax 22\noom 3\noom_kill 2\noom_group_kill 1\nsock_throttled 0\n";
        let events = parse_memory_events(v2).unwrap();
        assert_eq!(events.high, Some(1));
        assert_eq!(events.max, Some(22));
        assert_eq!(events.oom_group_kill, Some(1));
        // 5.10 has no oom_group_kill.
        let events = parse_memory_events("low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n").unwrap();
        assert_eq!((events.oom_kill, events.oom_group_kill), (Some(0), None));
        let v1 = parse_memory_events("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n").unwrap();
        assert_eq!((v1.oom_kill, v1.max), (Some(4), None));
        assert!(parse_memory_events("oom many\n").is_err());
    }

    #[test]
    fn pressure_totals() {
        let text = "some avg10=0.00 avg60=0.12 avg300=0.00 total=1234\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=99\n";
        let pressure = parse_pressure(text).unwrap().unwrap();
        assert_eq!((pressure.some_total_us, pressure.full_total_us), (1234, 99));
        assert_eq!(parse_pressure("").unwrap(), None);
        assert!(parse_pressure("some avg10=0.00 total=\nfull total=1\n").is_err());
    }
}
