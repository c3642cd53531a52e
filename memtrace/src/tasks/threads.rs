//! Threads of a process, and the time they spend in the kernel: what its memory in the kernel is
//! known by.

use procfs::process::Process;

use super::ASKED;
use crate::input::{TICK_NS, TaskUsage};

/// Asks `/proc/PID/stat` of each process; not if there are more than 1,024, which would make a sample
/// slow. One that has ended stays unknown.
pub fn add_threads(tasks: &mut [TaskUsage]) {
    if tasks.len() > ASKED {
        return;
    }
    for task in tasks {
        let stat = i32::try_from(task.pid)
            .ok()
            .and_then(|pid| Process::new(pid).ok()?.stat().ok());
        task.threads = stat
            .as_ref()
            .and_then(|stat| u64::try_from(stat.num_threads).ok());
        task.kernel_time_ns = stat.map(|stat| stat.stime.saturating_mul(TICK_NS));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

    use super::*;
    use crate::tasks::from_proc;

    #[test]
    fn new_threads_of_this_process_are_counted() {
        const THREADS: usize = 40;
        let threads = || {
            let mut own = from_proc(&[], &[std::process::id()], 4096).unwrap();
            add_threads(&mut own);
            own[0].threads.unwrap()
        };
        let before = threads();
        let all_are_there = Arc::new(Barrier::new(THREADS + 1));
        let started: Vec<_> = (0..THREADS)
            .map(|_| {
                let barrier = Arc::clone(&all_are_there);
                std::thread::spawn(move || barrier.wait())
            })
            .collect();
        let after = threads();
        all_are_there.wait();
        for thread in started {
            thread.join().unwrap();
        }
        // Other tests end threads of theirs meanwhile, but not as many.
        assert!(after >= before + 10, "{before} -> {after}");
    }
}
