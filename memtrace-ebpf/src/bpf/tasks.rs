//! Tasks: names of those who touch the page cache.

use aya_ebpf::{
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_current_task,
        generated::{bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_probe_read_kernel_str},
    },
    macros::{btf_tracepoint, map},
    maps::LruHashMap,
    programs::BtfTracePointContext,
};
use memtrace_ebpf::{
    hook::{Hook, HookStats},
    record::{COMM_BYTES, Tag, TaskRecord},
};

use crate::{
    events::{header, send, stats},
    layout::{enabled, layout, load, present, probe_at},
    memcg,
};

/// `PF_MEMALLOC`, set while a task reclaims (include/linux/sched.h).
const PF_MEMALLOC: u32 = 0x0000_0800;

/// Processes whose name was sent. A process that exits is removed, so that a reused pid is named
/// again; 16,384 entries, the least used fall out and are named again.
#[map]
static TASKS: LruHashMap<u32, u64> = LruHashMap::with_max_entries(16_384, 0);

/// The current process. By way of the task, which kernels from 6.10 on have at hand without a call of
/// a helper (kernel/bpf/verifier.c, `bpf_get_current_task_btf`); else by the helper.
#[inline(always)]
pub fn current_tgid() -> u32 {
    if enabled!(current_task_btf) && present!(task_tgid) {
        // SAFETY: the helper returns the current task as a BTF pointer.
        return unsafe { load(bpf_get_current_task_btf().cast::<u8>(), layout!(task_tgid)) };
    }
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// Whether the current task is reclaiming memory; `false` where the helper is missing (5.10).
#[inline(always)]
pub fn current_reclaims() -> bool {
    if !enabled!(current_task_btf) {
        return false;
    }
    // SAFETY: the helper returns the current task as a BTF pointer.
    let flags: u32 = unsafe { load(bpf_get_current_task_btf().cast::<u8>(), layout!(task_flags)) };
    flags & PF_MEMALLOC != 0
}

/// Sends the name of the current process, unless it was sent before.
#[inline(always)]
pub fn name_current_once(tgid: u32, stats: &mut HookStats) {
    // SAFETY: the value is only tested for presence.
    if unsafe { TASKS.get(&tgid) }.is_some() {
        return;
    }
    let leader = current_leader();
    let comm = leader.wrapping_add(layout!(task_comm).value());
    name_current(leader, comm, tgid, false, stats);
}

/// Address of the current thread's group leader.
#[inline(always)]
fn current_leader() -> u64 {
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    probe_at(task, layout!(task_group_leader))
}

/// Sends the name at address `comm` for the current process.
#[inline(always)]
fn name_current(leader: u64, comm: u64, tgid: u32, renamed: bool, stats: &mut HookStats) {
    let mut record = TaskRecord {
        header: header(Tag::Task),
        tgid,
        renamed: u32::from(renamed),
        memcg_id: memcg::of_task(leader),
        start_boottime_ns: probe_at(leader, layout!(task_start_boottime)),
        comm: [0; COMM_BYTES],
    };
    if enabled!(probe_read) {
        // SAFETY: the destination has the stated size; the helper checks the source.
        unsafe {
            bpf_probe_read_kernel_str(
                (&raw mut record.comm).cast(),
                COMM_BYTES as u32,
                comm as *const _,
            );
        }
    }
    if send(stats, Tag::Task, record) {
        let _ = TASKS.insert(&tgid, &record.header.sent_ns, 0);
    }
}

/// A task gets a new name, by `execve` or by itself (`PR_SET_NAME`). The first argument is the task,
/// the second the name, which it does not bear yet.
#[btf_tracepoint(function = "task_rename")]
pub fn task_rename(ctx: BtfTracePointContext) -> i32 {
    let task: *const u8 = ctx.arg(0);
    // SAFETY: the argument is a task_struct.
    let (tgid, pid): (u32, u32) = unsafe {
        (
            load(task, layout!(task_tgid)),
            load(task, layout!(task_pid)),
        )
    };
    // A process goes by the name of its first thread. Only its own threads may name that one
    // (fs/proc/base.c, comm_write); kernel threads are named by others, and hold no memory.
    if tgid == pid
        && tgid == current_tgid()
        && let Some(stats) = stats(Hook::TaskRename)
    {
        name_current(current_leader(), ctx.arg(1), tgid, true, stats);
    }
    0
}

/// A process called `execve`: its name changed. For kernels that do not let a program read the
/// argument of [`task_rename`] (before 5.17).
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(_ctx: BtfTracePointContext) -> i32 {
    if let Some(stats) = stats(Hook::ProcessExec) {
        let leader = current_leader();
        let comm = leader.wrapping_add(layout!(task_comm).value());
        name_current(leader, comm, current_tgid(), true, stats);
    }
    0
}

/// A thread exits; with the last one its pid may be reused.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(_ctx: BtfTracePointContext) -> i32 {
    let pid_tgid = bpf_get_current_pid_tgid();
    if (pid_tgid >> 32) as u32 == pid_tgid as u32 {
        let _ = TASKS.remove(&((pid_tgid >> 32) as u32));
    }
    0
}

/// Name of a task by its BTF pointer; empty if it cannot be read. Not by plain loads: kernels up to
/// 6.1 allow those one byte of the array at a time (kernel/bpf/btf.c, `btf_struct_walk`).
#[inline(always)]
pub fn name_of(task: *const u8) -> [u8; COMM_BYTES] {
    let mut comm = [0; COMM_BYTES];
    if enabled!(probe_read) {
        // SAFETY: the destination has the stated size; the helper checks the source.
        unsafe {
            bpf_probe_read_kernel(
                (&raw mut comm).cast(),
                COMM_BYTES as u32,
                task.add(layout!(task_comm).value() as usize).cast(),
            );
        }
    }
    comm
}
