//! Processes from `/proc/PID/status` and `stat`.

use std::{fs, io};

use crate::input::{CgroupMember, TICK_NS, TaskUsage};

pub(super) fn scan(
    members: &[CgroupMember],
    pids: &[u32],
    page_bytes: u64,
) -> io::Result<Vec<TaskUsage>> {
    // One member: its id is known. Several: a process could be in any, and /proc tells a path only.
    let cgroup_id = match members {
        [only] => Some(only.id),
        _ => None,
    };
    Ok(pids
        .iter()
        .filter_map(|pid| {
            // A process that has gone meanwhile is not an error.
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let adj = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).ok()?;
            parse(*pid, &status, &stat, &adj, cgroup_id, page_bytes)
        })
        .collect())
}

/// What stands after `key:` in a file of `/proc` such as `status` or `meminfo`.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .map(str::trim)
}

/// Bytes of a `key:  N kB` in such a file.
pub(crate) fn field_bytes(text: &str, key: &str) -> Option<u64> {
    Some(field(text, key)?.strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// `None` for a process without memory (a kernel thread, a zombie) and for text that is not as
/// proc(5) says.
fn parse(
    pid: u32,
    status: &str,
    stat: &str,
    adj: &str,
    cgroup_id: Option<u64>,
    page_bytes: u64,
) -> Option<TaskUsage> {
    let bytes = |key| field_bytes(status, key);
    // Field 22 of stat, counted after the name, which may hold anything in its parentheses.
    let start_ticks: u64 = stat
        .rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()?;
    Some(TaskUsage {
        pid,
        start_boottime_ns: start_ticks * TICK_NS,
        comm: field(status, "Name")?.to_owned(),
        cgroup_id,
        anon_pages: bytes("RssAnon")? / page_bytes,
        file_pages: bytes("RssFile")? / page_bytes,
        shmem_pages: bytes("RssShmem")? / page_bytes,
        swap_pages: bytes("VmSwap")? / page_bytes,
        pagetable_bytes: bytes("VmPTE")?,
        oom_score_adj: adj.trim().parse().ok()?,
        threads: None,
        kernel_time_ns: None,
        sockets: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tmy (odd) name\nRssAnon:\t    4096 kB\nRssFile:\t     512 kB\nRssShmem:\t       0 kB\nVmPTE:\t      60 kB\nVmSwap:\t       8 kB\n";
    const STAT: &str = "7 (my (odd) name) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 321 1 1\n";

    #[test]
    fn a_process_is_read_in_pages() {
        let usage = parse(7, STATUS, STAT, "-5\n", Some(9), 4096).unwrap();
        assert_eq!(usage.comm, "my (odd) name");
        assert_eq!((usage.anon_pages, usage.file_pages), (1024, 128));
        assert_eq!((usage.swap_pages, usage.pagetable_bytes), (2, 61440));
        assert_eq!(usage.start_boottime_ns, 3_210_000_000);
        assert_eq!(usage.oom_score_adj, -5);
    }

    #[test]
    fn a_kernel_thread_holds_nothing() {
        assert!(parse(2, "Name:\tkthreadd\n", STAT, "0", None, 4096).is_none());
    }

    #[test]
    fn this_process_can_be_read() {
        let own = scan(&[], &[std::process::id()], 4096).unwrap();
        assert_eq!(own.len(), 1);
        assert!(own[0].anon_pages > 0);
    }
}
