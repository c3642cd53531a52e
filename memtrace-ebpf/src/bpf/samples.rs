//! What `oom_badness` (mm/oom_kill.c) reads of a process: for the iterator over all processes, and
//! for the OOM hooks.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_seq_write};
use memtrace_ebpf::record::{TaskSample, task_sample_flags};

use crate::{
    layout::{Offset, enabled, layout, present, probe, probe_at},
    memory::{Memory, Probed, Typed},
    percpu, tasks,
};

/// `PF_EXITING` (include/linux/sched.h).
const PF_EXITING: u32 = 0x0000_0004;
/// `PF_KTHREAD` (include/linux/sched.h).
const PF_KTHREAD: u32 = 0x0020_0000;
/// `MMF_OOM_SKIP`, a bit number (include/linux/sched/coredump.h; mm_types.h from 6.16).
const MMF_OOM_SKIP: u64 = 21;
/// CPUs whose share of a counter is summed at most; on a larger machine it stays unknown.
const MAX_CPUS: u64 = 1_024;
/// Threads looked at for one that has memory still.
const MAX_THREADS: u32 = 64;

/// Writes one [`TaskSample`] per process. The kernel calls it for every thread, and once more with
/// a null task at the end.
// aya has no macro for iterators; the section name is the whole declaration.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn task_samples(ctx: *mut c_void) -> i32 {
    // SAFETY: the context of iter/task is `struct bpf_iter__task { meta, task }`, two pointers.
    let (meta, task) = unsafe {
        (
            core::ptr::read_volatile(ctx.cast::<*const u8>()),
            core::ptr::read_volatile(ctx.cast::<*const u8>().add(1)),
        )
    };
    if task.is_null() {
        return 0;
    }
    // SAFETY: `task` is a BTF pointer, checked for null; `meta` starts with the seq_file.
    unsafe {
        if let Some(sample) = of_thread(task) {
            let seq = core::ptr::read_volatile(meta.cast::<*mut c_void>());
            bpf_seq_write(
                seq.cast(),
                (&raw const sample).cast(),
                size_of::<TaskSample>() as u32,
            );
        }
    }
    0
}

/// The process of a thread: of the leader, or, if that has exited, of any thread with memory
/// (mm/oom_kill.c, `find_lock_task_mm`); userspace keeps the first. `None` for other threads.
///
/// # Safety
/// `task` must be a BTF pointer to a `task_struct`.
#[inline(always)]
unsafe fn of_thread(task: *const u8) -> Option<TaskSample> {
    // SAFETY: every load starts at the task and follows typed members.
    unsafe {
        let tgid: u32 = Typed::load(task, layout!(task_tgid));
        let pid: u32 = Typed::load(task, layout!(task_pid));
        let leader = Typed::load_pointer(task, layout!(task_group_leader));
        let mm = Typed::load_pointer(task, layout!(task_mm));
        let mut sample = identity::<Typed>(leader);
        if tgid != pid {
            // A leader that has exited has no mm any more.
            let leader_mm: u64 = Typed::load(leader, layout!(task_mm));
            if leader_mm != 0 || mm.is_null() {
                return None;
            }
            sample.flags |= task_sample_flags::LEADER_EXITED;
        }
        state::<Typed>(task, &mut sample);
        memory::<Typed>(mm, &mut sample);
        Some(sample)
    }
}

/// The process of a group leader, as the OOM killer's scan passes them.
///
/// # Safety
/// `leader` must be a pointer to a `task_struct` as `M` wants it.
#[inline(always)]
pub unsafe fn of_leader<M: Memory>(leader: *const u8) -> TaskSample {
    // SAFETY: as the caller promises; members from there.
    unsafe {
        let mut sample = identity::<M>(leader);
        state::<M>(leader, &mut sample);
        let mm = M::load_pointer(leader, layout!(task_mm));
        if !mm.is_null() {
            memory::<M>(mm, &mut sample);
            return sample;
        }
        sample.flags |= task_sample_flags::NO_MM;
        let other = thread_with_memory(M::load(leader, layout!(task_signal)));
        if other != 0 {
            sample.flags &= !task_sample_flags::NO_MM;
            sample.flags |= task_sample_flags::LEADER_EXITED;
            state::<Probed>(other as *const u8, &mut sample);
            memory::<Probed>(
                probe_at::<u64>(other, layout!(task_mm)) as *const u8,
                &mut sample,
            );
        }
        sample
    }
}

/// Address of the first thread of a process that has an `mm`; 0 if there is none.
#[inline(always)]
fn thread_with_memory(signal: u64) -> u64 {
    let head = signal.wrapping_add(layout!(signal_thread_head).value());
    let mut node: u64 = probe(head);
    let mut seen = 0;
    while seen < MAX_THREADS && node != head && node != 0 {
        let task = node.wrapping_sub(layout!(task_thread_node).value());
        if probe_at::<u64>(task, layout!(task_mm)) != 0 {
            return task;
        }
        node = probe(node);
        seen += 1;
    }
    0
}

/// Who it is, and what is true of the whole process.
///
/// # Safety
/// As [`of_leader`].
#[inline(always)]
unsafe fn identity<M: Memory>(leader: *const u8) -> TaskSample {
    // SAFETY: as the caller promises; members from there.
    unsafe {
        let signal = M::load_pointer(leader, layout!(task_signal));
        let css_set = M::load_pointer(leader, layout!(task_cgroups));
        let css = M::load_pointer(css_set, layout!(css_set_memory));
        let cgroup = M::load_pointer(css, layout!(css_cgroup));
        let mut flags = 0;
        let oom_mm = M::load_pointer(signal, layout!(signal_oom_mm));
        if !oom_mm.is_null() {
            flags |= task_sample_flags::OOM_VICTIM;
            if M::load::<u64>(oom_mm, layout!(mm_flags)) & (1 << MMF_OOM_SKIP) != 0 {
                flags |= task_sample_flags::OOM_VICTIM_REAPED;
            }
        }
        if M::load::<u8>(signal, layout!(signal_oom_flag_origin)) != 0 {
            flags |= task_sample_flags::OOM_ORIGIN;
        }
        TaskSample {
            tgid: M::load(leader, layout!(task_tgid)),
            ppid: M::load(
                M::load_pointer(leader, layout!(task_real_parent)),
                layout!(task_tgid),
            ),
            flags,
            oom_score_adj: i32::from(M::load::<i16>(signal, layout!(signal_oom_score_adj))),
            memcg_id: M::load(M::load_pointer(cgroup, layout!(cgroup_kn)), layout!(kn_id)),
            start_boottime_ns: M::load(leader, layout!(task_start_boottime)),
            mm: 0,
            rss_file_pages: 0,
            rss_anon_pages: 0,
            rss_shmem_pages: 0,
            swap_pages: 0,
            pagetable_bytes: 0,
            unsynced_file_pages: 0,
            unsynced_anon_pages: 0,
            unsynced_shmem_pages: 0,
            unsynced_swap_pages: 0,
            comm: tasks::name_of(leader),
        }
    }
}

/// What the kernel asks of the thread whose memory it counts.
///
/// # Safety
/// As [`of_leader`], for `task`.
#[inline(always)]
unsafe fn state<M: Memory>(task: *const u8, sample: &mut TaskSample) {
    // SAFETY: as the caller promises; members from there.
    unsafe {
        let flags: u32 = M::load(task, layout!(task_flags));
        if flags & PF_KTHREAD != 0 {
            sample.flags |= task_sample_flags::KERNEL_THREAD;
        }
        if flags & PF_EXITING != 0 {
            sample.flags |= task_sample_flags::EXITING;
        }
        // mm/oom_kill.c, `in_vfork` (include/linux/sched/mm.h).
        let mm: u64 = M::load(task, layout!(task_mm));
        let vfork_done: u64 = M::load(task, layout!(task_vfork_done));
        if vfork_done != 0 {
            let parent = M::load_pointer(task, layout!(task_real_parent));
            if M::load::<u64>(parent, layout!(task_mm)) == mm {
                sample.flags |= task_sample_flags::VFORK;
            }
        }
        sample.mm = mm;
        if mm == 0 {
            sample.flags |= task_sample_flags::NO_MM;
        }
    }
}

/// What the memory of a process counts; nothing if `mm` is null.
///
/// # Safety
/// `mm` must be a pointer to an `mm_struct` as `M` wants it.
#[inline(always)]
unsafe fn memory<M: Memory>(mm: *const u8, sample: &mut TaskSample) {
    // SAFETY: as the caller promises; members from there.
    unsafe {
        sample.rss_file_pages = counter::<M>(mm, layout!(mm_rss_file));
        sample.rss_anon_pages = counter::<M>(mm, layout!(mm_rss_anon));
        sample.rss_shmem_pages = counter::<M>(mm, layout!(mm_rss_shmem));
        sample.swap_pages = counter::<M>(mm, layout!(mm_rss_swap));
        sample.pagetable_bytes = M::load(mm, layout!(mm_pgtables_bytes));
        if M::load::<u64>(mm, layout!(mm_flags)) & (1 << MMF_OOM_SKIP) != 0 {
            sample.flags |= task_sample_flags::OOM_SKIP;
        }
        if !enabled!(rss_percpu) {
            sample.flags |= task_sample_flags::UNSYNCED_KNOWN;
        } else if present!(array_pptrs)
            && present!(percpu_counters)
            && enabled!(probe_read)
            && layout!(possible_cpus).value() <= MAX_CPUS
            && sample.mm != 0
        {
            unsynced::<M>(mm, sample);
        }
    }
}

/// One rss counter, as `oom_badness` reads it; of a percpu_counter, without what the CPUs hold.
///
/// # Safety
/// As [`memory`].
#[inline(always)]
unsafe fn counter<M: Memory>(mm: *const u8, offset: impl Offset) -> i64 {
    if enabled!(rss_percpu) {
        // SAFETY: as the caller promises.
        return unsafe { M::load(mm, offset) };
    }
    let mut pages = 0i64;
    if enabled!(probe_read) {
        // SAFETY: the destination has the stated size; the helper checks the source.
        unsafe {
            bpf_probe_read_kernel(
                (&raw mut pages).cast(),
                8,
                mm.add(offset.bytes() as usize).cast(),
            );
        }
    }
    pages
}

/// What the CPUs hold of the percpu_counters (lib/percpu_counter.c, `__percpu_counter_sum`). From 6.6 on
/// their shares lie side by side (`percpu_counter_init_many`), and one read has all four; where they do not,
/// they stay unknown.
///
/// # Safety
/// As [`memory`], of an `mm` whose counters are percpu_counters.
#[inline(always)]
unsafe fn unsynced<M: Memory>(mm: *const u8, sample: &mut TaskSample) {
    // SAFETY: as the caller promises.
    let [file, anon, swap, shmem] = unsafe {
        [
            counters::<M>(mm, layout!(mm_rss_file)),
            counters::<M>(mm, layout!(mm_rss_anon)),
            counters::<M>(mm, layout!(mm_rss_swap)),
            counters::<M>(mm, layout!(mm_rss_shmem)),
        ]
    };
    if [anon, swap, shmem] != [file + 4, file + 8, file + 12] {
        return;
    }
    let mut cpu = 0;
    while cpu < MAX_CPUS && cpu < layout!(possible_cpus).value() {
        let Some(offset) = percpu::offset(cpu as u32) else {
            return;
        };
        let [file, anon, swap, shmem]: [i32; 4] = probe(file.wrapping_add(offset));
        sample.unsynced_file_pages += i64::from(file);
        sample.unsynced_anon_pages += i64::from(anon);
        sample.unsynced_swap_pages += i64::from(swap);
        sample.unsynced_shmem_pages += i64::from(shmem);
        cpu += 1;
    }
    sample.flags |= task_sample_flags::UNSYNCED_KNOWN;
}

/// The per-CPU pointer of the percpu_counter whose count is there.
///
/// # Safety
/// As [`unsynced`].
#[inline(always)]
unsafe fn counters<M: Memory>(mm: *const u8, count: impl Offset) -> u64 {
    let place = count.bytes() - layout!(percpu_count).value() + layout!(percpu_counters).value();
    // SAFETY: as the caller promises.
    unsafe { M::load(mm, place) }
}
