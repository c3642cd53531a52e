//! Counters with what each CPU keeps of them to itself.

use std::fs;

use super::proc::field_bytes;
use crate::input::TaskUsage;

/// Processes that are asked: each takes some 20 us.
const ASKED: usize = 1_024;

/// Puts the sums that `/proc/PID/status` shows in place of the shared parts that the iterator reads:
/// for kernels that weigh a process by the sum (`RssCounters::Summed`). Not if there are more than
/// 1,024 processes, which would make a sample slow. One that has ended, or whose leader has, stays.
pub fn sum_up(tasks: &mut [TaskUsage], page_bytes: u64) {
    if tasks.len() > ASKED {
        return;
    }
    for task in tasks {
        let Ok(status) = fs::read_to_string(format!("/proc/{}/status", task.pid)) else {
            continue;
        };
        for (key, pages) in [
            ("RssAnon", &mut task.anon_pages),
            ("RssFile", &mut task.file_pages),
            ("RssShmem", &mut task.shmem_pages),
            ("VmSwap", &mut task.swap_pages),
        ] {
            if let Some(bytes) = field_bytes(&status, key) {
                *pages = bytes / page_bytes;
            }
        }
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
