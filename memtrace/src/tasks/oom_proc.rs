//! Every process from `/proc`, where the iterator is not to be had.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::proc::field_bytes;
use crate::{
    cgroup::Hierarchy,
    input::{OomTask, RssPages, TICK_NS},
};

/// `PF_EXITING` and `PF_KTHREAD` (include/linux/sched.h) in field 9 of `/proc/PID/stat`.
const PF_EXITING: u64 = 0x0000_0004;
const PF_KTHREAD: u64 = 0x0020_0000;

/// Every process that `/proc` shows, with the cgroup whose directory's inode `ids` tells. Those that
/// end meanwhile are left out.
///
/// # Errors
/// If `/proc` cannot be listed.
pub fn oom_tasks_from_proc(
    hierarchy: &Hierarchy,
    ids: &BTreeMap<PathBuf, u64>,
    page_size_bytes: u64,
) -> io::Result<Vec<OomTask>> {
    let mut tasks = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let task = pid.and_then(|pid| read(pid, &entry.path(), page_size_bytes));
        if let Some(mut task) = task {
            task.cgroup_id = fs::read_to_string(entry.path().join("cgroup"))
                .ok()
                .and_then(|text| hierarchy.directory_of_proc_cgroup(&text))
                .and_then(|directory| ids.get(&directory).copied());
            tasks.push(task);
        }
    }
    Ok(tasks)
}

/// Adds what the CPUs keep to themselves of the counters, where the iterator could not sum it: the
/// sums that `/proc` shows, less the shared parts. Processes that have ended stay as they are.
pub fn sum_counters(tasks: &mut [OomTask], page_size_bytes: u64) {
    let unknown =
        |task: &&mut OomTask| task.unsynced.is_none() && !task.no_memory && !task.kernel_thread;
    for task in tasks.iter_mut().filter(unknown) {
        let directory = PathBuf::from(format!("/proc/{}", task.pid));
        let Some(shown) = read(task.pid, &directory, page_size_bytes) else {
            continue;
        };
        if !shown.no_memory {
            task.unsynced = Some(RssPages {
                file: shown.rss.file - task.rss.file,
                anon: shown.rss.anon - task.rss.anon,
                shmem: shown.rss.shmem - task.rss.shmem,
                swap: shown.rss.swap - task.rss.swap,
            });
        }
    }
}

fn read(pid: u32, directory: &Path, page_size_bytes: u64) -> Option<OomTask> {
    let text = |name: &str| fs::read_to_string(directory.join(name)).ok();
    let (stat, adj) = (text("stat")?, text("oom_score_adj")?);
    let mut task = parse_stat(pid, &stat, &adj)?;
    let found = text("status").and_then(|status| memory(&status, page_size_bytes));
    // A leader that has exited shows no memory; its threads do.
    let of_threads = || {
        fs::read_dir(directory.join("task"))
            .ok()?
            .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("status")).ok())
            .find_map(|status| memory(&status, page_size_bytes))
    };
    match found {
        Some((rss, pagetable_bytes)) => (task.rss, task.pagetable_bytes) = (rss, pagetable_bytes),
        None => match of_threads() {
            Some((rss, pagetable_bytes)) => {
                (task.rss, task.pagetable_bytes) = (rss, pagetable_bytes);
                task.leader_exited = true;
            }
            None => task.no_memory = true,
        },
    }
    Some(task)
}

/// proc(5): the name stands in parentheses and may hold anything; flags are field 9, the start is
/// field 22.
fn parse_stat(pid: u32, stat: &str, adj: &str) -> Option<OomTask> {
    let (before, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_whitespace();
    let flags: u64 = fields.nth(6)?.parse().ok()?;
    let start_ticks: u64 = fields.nth(12)?.parse().ok()?;
    Some(OomTask {
        pid,
        comm: before.split_once('(')?.1.to_owned(),
        start_boottime_ns: start_ticks * TICK_NS,
        oom_score_adj: adj.trim().parse().ok()?,
        kernel_thread: flags & PF_KTHREAD != 0,
        exiting: flags & PF_EXITING != 0,
        ..OomTask::default()
    })
}

/// Counters and page tables of a `status`; `None` if it shows no memory.
pub(super) fn memory(status: &str, page_size_bytes: u64) -> Option<(RssPages, u64)> {
    let bytes = |key| field_bytes(status, key);
    let pages = |key| Some((bytes(key)? / page_size_bytes) as i64);
    let rss = RssPages {
        file: pages("RssFile")?,
        anon: pages("RssAnon")?,
        shmem: pages("RssShmem")?,
        swap: pages("VmSwap")?,
    };
    Some((rss, bytes("VmPTE")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_read() {
        let own = read(std::process::id(), Path::new("/proc/self"), 4096).unwrap();
        assert!(own.rss.anon > 0 && own.pagetable_bytes > 0);
        assert!(!own.kernel_thread && !own.no_memory && !own.leader_exited);
        assert_eq!((own.vfork, own.oom_skip, own.memory), (None, None, None));
    }

    #[test]
    fn proc_tells_what_the_iterator_could_not_sum() {
        let own = read(std::process::id(), Path::new("/proc/self"), 4096).unwrap();
        let shared = OomTask {
            rss: RssPages {
                anon: own.rss.anon - 7,
                ..own.rss
            },
            ..own
        };
        let gone = OomTask {
            pid: u32::MAX,
            ..shared.clone()
        };
        let mut tasks = [shared, gone];
        sum_counters(&mut tasks, 4096);
        // Other tests allocate meanwhile; what was left out is found again, more or less.
        assert!(tasks[0].unsynced.unwrap().anon >= -1_000);
        assert_eq!(tasks[1].unsynced, None);
    }

    #[test]
    fn a_kernel_thread_and_an_odd_name() {
        let stat = "2 (a) b) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 7 0 0";
        let task = parse_stat(2, stat, "-17\n").unwrap();
        assert!(task.kernel_thread && !task.exiting);
        assert_eq!((task.comm.as_str(), task.oom_score_adj), ("a) b", -17));
        assert_eq!(task.start_boottime_ns, 70_000_000);
    }
}
