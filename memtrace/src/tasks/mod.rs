//! The processes of a cgroup and what they hold: one pass of the kernel's task iterator, or `/proc`
//! where that is not to be had.

mod oom;
mod oom_proc;
mod proc;
mod sockets;
mod summed;
mod threads;

use std::{collections::BTreeMap, collections::BTreeSet, io};

use memtrace_ebpf::record::{TaskSample, task_sample_flags};

pub(crate) use self::proc::field_bytes;
pub use self::{
    oom::oom_tasks,
    oom_proc::{oom_tasks_from_proc, sum_counters},
    sockets::add_sockets,
    summed::sum_up,
    threads::add_threads,
};
use crate::{
    input::{CgroupMember, TaskUsage},
    source::decode::read_record,
};

/// Processes that are asked one by one in `/proc` besides: each takes some 10 us for each file.
const ASKED: usize = 1_024;

/// Processes in `members`, from the iterator's stream. A process whose leader has exited comes with
/// the memory of its other threads; kernel threads hold none and are left out.
pub fn from_iterator(stream: &[u8], members: &[CgroupMember]) -> Vec<TaskUsage> {
    let ids: BTreeSet<u64> = members.iter().map(|member| member.id).collect();
    let mut by_pid = BTreeMap::new();
    for record in stream.chunks_exact(size_of::<TaskSample>()) {
        let Some(sample) = read_record::<TaskSample>(record) else {
            continue;
        };
        if ids.contains(&sample.memcg_id) && sample.flags & task_sample_flags::NO_MM == 0 {
            by_pid.entry(sample.tgid).or_insert_with(|| usage(&sample));
        }
    }
    by_pid.into_values().collect()
}

/// The same from `/proc`, for kernels or policies without the iterator: slower, not at one instant,
/// and exact where the iterator may lag by the per-CPU counters' batches.
///
/// # Errors
/// If the processes of a cgroup cannot be listed.
pub fn from_proc(
    members: &[CgroupMember],
    pids: &[u32],
    page_bytes: u64,
) -> io::Result<Vec<TaskUsage>> {
    proc::scan(members, pids, page_bytes)
}

fn usage(sample: &TaskSample) -> TaskUsage {
    // The kernel clamps at 0 too: a per-CPU counter may read below (mm.h, get_mm_counter).
    let pages = |count: i64| u64::try_from(count).unwrap_or(0);
    TaskUsage {
        pid: sample.tgid,
        start_boottime_ns: sample.start_boottime_ns,
        comm: comm(&sample.comm),
        cgroup_id: (sample.memcg_id != 0).then_some(sample.memcg_id),
        anon_pages: pages(sample.rss_anon_pages),
        file_pages: pages(sample.rss_file_pages),
        shmem_pages: pages(sample.rss_shmem_pages),
        swap_pages: pages(sample.swap_pages),
        pagetable_bytes: pages(sample.pagetable_bytes),
        oom_score_adj: sample.oom_score_adj,
        threads: None,
        kernel_time_ns: None,
        sockets: None,
    }
}

fn comm(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}
