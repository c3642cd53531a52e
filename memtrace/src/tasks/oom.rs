//! Every process as the OOM killer reads it.

use std::collections::{BTreeMap, btree_map::Entry};

use memtrace_ebpf::record::TaskSample;

use crate::{
    input::OomTask,
    source::decode::{self, read_record},
};

/// Every process of the iterator's stream. Kernel addresses, by which it tells who shares memory,
/// become small numbers.
pub fn oom_tasks(stream: &[u8]) -> Vec<OomTask> {
    let mut by_pid: BTreeMap<u32, OomTask> = BTreeMap::new();
    let mut memories = BTreeMap::new();
    for record in stream.chunks_exact(size_of::<TaskSample>()) {
        let Some(sample) = read_record::<TaskSample>(record) else {
            continue;
        };
        let mut task = decode::oom::task(&sample);
        if sample.mm != 0 {
            let next = memories.len() as u32;
            task.memory = Some(*memories.entry(sample.mm).or_insert(next));
        }
        match by_pid.entry(task.pid) {
            Entry::Vacant(place) => _ = place.insert(task),
            // A leader that has exited comes first, then the threads that hold its memory.
            Entry::Occupied(mut place) if place.get().no_memory && !task.no_memory => {
                place.insert(task);
            }
            Entry::Occupied(_) => {}
        }
    }
    by_pid.into_values().collect()
}

#[cfg(test)]
mod tests {
    use memtrace_ebpf::record::task_sample_flags as flags;

    use super::*;

    fn bytes(tgid: u32, flags: u32, mm: u64) -> Vec<u8> {
        let sample = TaskSample {
            tgid,
            ppid: 1,
            flags,
            oom_score_adj: 0,
            memcg_id: 61,
            start_boottime_ns: 5,
            mm,
            rss_file_pages: 1,
            rss_anon_pages: 2,
            rss_shmem_pages: 3,
            swap_pages: 4,
            pagetable_bytes: 4096,
            unsynced_file_pages: 0,
            unsynced_anon_pages: -1,
            unsynced_shmem_pages: 0,
            unsynced_swap_pages: 0,
            comm: [0; 16],
        };
        // SAFETY: the type has no padding, so each of its bytes is initialised.
        unsafe { std::slice::from_raw_parts((&raw const sample).cast(), size_of::<TaskSample>()) }
            .to_vec()
    }

    #[test]
    fn a_dead_leader_gives_way_to_the_thread_that_holds_the_memory() {
        let stream = [
            bytes(7, flags::NO_MM | flags::EXITING, 0),
            bytes(7, flags::LEADER_EXITED | flags::UNSYNCED_KNOWN, 0xabc),
            bytes(8, flags::LEADER_EXITED, 0xabc),
            bytes(9, flags::OOM_VICTIM | flags::VFORK, 0xdef),
        ]
        .concat();
        let tasks = oom_tasks(&stream);
        assert_eq!(tasks.len(), 3);
        assert!(tasks[0].leader_exited && !tasks[0].no_memory);
        assert_eq!(tasks[0].unsynced.unwrap().anon, -1);
        assert_eq!(tasks[0].memory, tasks[1].memory);
        assert_eq!((tasks[2].memory, tasks[2].vfork), (Some(1), Some(true)));
        assert_eq!((tasks[2].victim, tasks[1].victim), (Some(false), None));
        assert!(tasks[1].unsynced.is_none());
    }
}
