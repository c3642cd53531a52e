//! Counters with what each CPU keeps of them to itself.

use std::fs;

use super::{ASKED, oom_proc::memory};
use crate::input::TaskUsage;

/// Puts the sums that `/proc/PID/status` shows in place of the shared parts that the iterator reads:
/// for kernels that weigh a process by the sum (`RssCounters::Summed`). Not if there are more than
/// 1,024 processes. One that has ended, or whose leader has, stays as it is.
pub fn sum_up(tasks: &mut [TaskUsage], page_bytes: u64) {
    if tasks.len() > ASKED {
        return;
    }
    for task in tasks {
        let status = fs::read_to_string(format!("/proc/{}/status", task.pid));
        let Some((rss, _)) = status.ok().and_then(|text| memory(&text, page_bytes)) else {
            continue;
        };
        let pages = |count: i64| u64::try_from(count).unwrap_or(0);
        task.anon_pages = pages(rss.anon);
        task.file_pages = pages(rss.file);
        task.shmem_pages = pages(rss.shmem);
        task.swap_pages = pages(rss.swap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_what_proc_shows_and_one_that_is_gone_keeps_its_figures() {
        let of = |pid| TaskUsage {
            pid,
            ..crate::model::testing::process(pid, "x", 1)
        };
        let mut tasks = [of(std::process::id()), of(u32::MAX)];
        let kept = tasks[1].anon_pages;
        sum_up(&mut tasks, 4_096);
        assert!(tasks[0].file_pages > 0 && tasks[0].anon_pages > 0);
        assert_ne!(tasks[0].anon_pages, kept);
        assert_eq!(tasks[1].anon_pages, kept);
    }
}
