//! OOM hooks: whom the kernel looked at, whom it chose, and how long it took to free the memory.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe, map},
    maps::Array,
    programs::{BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use memtrace_ebpf::{
    hook::Hook,
    record::{
        COMM_BYTES, OomCandidateRecord, OomKillRecord, OomReapRecord, Tag, VictimRecord,
        oom_candidate_flags, oom_reap_phase,
    },
};

use crate::{
    events::{header, send, stats},
    layout::{enabled, layout, load, load_pointer, probe_at},
    memcg,
    memory::{Memory, Probed, Typed},
    samples, tasks,
};

/// A process was marked as a victim; the current task is the one that ran out of memory.
#[btf_tracepoint(function = "mark_victim")]
pub fn mark_victim(ctx: BtfTracePointContext) -> i32 {
    let Some(stats) = stats(Hook::MarkVictim) else {
        return 0;
    };
    let mut record = VictimRecord {
        header: header(Tag::Victim),
        victim_tgid: 0,
        trigger_tgid: tasks::current_tgid(),
        victim_start_boottime_ns: 0,
        victim_memcg_id: 0,
        trigger_memcg_id: memcg::of_current(),
        victim_comm: [0; COMM_BYTES],
        trigger_comm: aya_ebpf::helpers::bpf_get_current_comm().unwrap_or([0; COMM_BYTES]),
    };
    if enabled!(mark_victim_task) {
        let task: *const u8 = ctx.arg(0);
        // SAFETY: the argument is a task here by its BTF prototype; typed members from there.
        unsafe {
            record.victim_tgid = load(task, layout!(task_tgid));
            let leader = load_pointer(task, layout!(task_group_leader));
            record.victim_start_boottime_ns = load(leader, layout!(task_start_boottime));
            let css_set = load_pointer(task, layout!(task_cgroups));
            let css = load_pointer(css_set, layout!(css_set_memory));
            let cgroup = load_pointer(css, layout!(css_cgroup));
            record.victim_memcg_id = load(load_pointer(cgroup, layout!(cgroup_kn)), layout!(kn_id));
            record.victim_comm = tasks::name_of(task);
        }
    } else {
        record.victim_tgid = ctx.arg(0);
    }
    send(stats, Tag::Victim, record);
    0
}

/// The OOM killer is about to kill whom it chose. Not called where the allocating task was dying
/// already, which needs no choice.
#[fentry(function = "oom_kill_process")]
pub fn oom_kill(ctx: FEntryContext) -> i32 {
    // SAFETY: the first argument is the oom_control, by BTF.
    unsafe { killing::<Typed>(ctx.arg(0)) };
    0
}

/// The same by kprobe.
#[kprobe]
pub fn oom_kill_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(control) = ctx.arg::<*const u8>(0) {
        // SAFETY: any address will do.
        unsafe { killing::<Probed>(control) };
    }
    0
}

/// # Safety
/// `control` must be a pointer to a `struct oom_control` as `M` wants it.
#[inline(always)]
unsafe fn killing<M: Memory>(control: *const u8) {
    let Some(stats) = stats(Hook::OomKill) else {
        return;
    };
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: as the caller promises; members from there.
    let record = unsafe {
        let victim = M::load_pointer(control, layout!(oc_chosen));
        let css_set = M::load_pointer(victim, layout!(task_cgroups));
        let css = M::load_pointer(css_set, layout!(css_set_memory));
        let cgroup = M::load_pointer(css, layout!(css_cgroup));
        OomKillRecord {
            header: header(Tag::OomKill),
            victim_tgid: M::load(victim, layout!(task_tgid)),
            trigger_tgid: (thread >> 32) as u32,
            trigger_pid: thread as u32,
            order: M::load(control, layout!(oc_order)),
            gfp_mask: M::load(control, layout!(oc_gfp_mask)),
            constraint: M::load(control, layout!(oc_constraint)),
            chosen_points: M::load(control, layout!(oc_chosen_points)),
            totalpages: M::load(control, layout!(oc_totalpages)),
            // It is a group leader (mm/oom_kill.c, `select_bad_process`).
            victim_start_boottime_ns: M::load(victim, layout!(task_start_boottime)),
            domain_memcg_id: memcg::id::<M>(M::load_pointer(control, layout!(oc_memcg))),
            victim_memcg_id: M::load(M::load_pointer(cgroup, layout!(cgroup_kn)), layout!(kn_id)),
            trigger_memcg_id: memcg::of_current(),
            victim_comm: tasks::name_of(victim),
            trigger_comm: aya_ebpf::helpers::bpf_get_current_comm().unwrap_or([0; COMM_BYTES]),
        }
    };
    send(stats, Tag::OomKill, record);
}

/// The task that the OOM killer looks at.
#[repr(C)]
#[derive(Clone, Copy)]
struct Scan {
    /// The scanning thread (`bpf_get_current_pid_tgid`); 0 if none is at work.
    thread: u64,
    /// The candidate.
    task: u64,
    /// The `struct oom_control`.
    control: u64,
    /// 1 once the candidate was sent.
    sent: u64,
}

/// The scan under way. One entry: every scan holds the kernel's `oom_lock` (mm/oom_kill.c), so there
/// is one at a time on the whole machine. It tells the scan's calls of `oom_badness` from those of
/// readers of `/proc/PID/oom_score`.
#[map]
static SCAN: Array<Scan> = Array::with_max_entries(1, 0);

#[inline(always)]
fn scan() -> Option<&'static mut Scan> {
    let scan = SCAN.get_ptr_mut(0)?;
    // SAFETY: map memory lives as long as the program, and only the holder of oom_lock writes.
    Some(unsafe { &mut *scan })
}

/// The entry, if the current thread is the one that scans.
#[inline(always)]
fn own_scan() -> Option<&'static mut Scan> {
    scan().filter(|scan| scan.thread == bpf_get_current_pid_tgid())
}

/// The OOM killer turns to a process.
#[fentry(function = "oom_evaluate_task")]
pub fn oom_evaluate(ctx: FEntryContext) -> i32 {
    evaluating(ctx.arg(0), ctx.arg(1));
    0
}

/// The same by kprobe.
#[kprobe]
pub fn oom_evaluate_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(task), Some(control)) = (ctx.arg(0), ctx.arg(1)) {
        evaluating(task, control);
    }
    0
}

#[inline(always)]
fn evaluating(task: u64, control: u64) {
    if let Some(scan) = scan() {
        *scan = Scan {
            thread: bpf_get_current_pid_tgid(),
            task,
            control,
            sent: 0,
        };
    }
}

/// It has reckoned a process's points.
#[fexit(function = "oom_badness")]
pub fn oom_badness(ctx: FExitContext) -> i32 {
    if let Some(scan) = own_scan() {
        // The result follows the two arguments; the helper for it came with 5.17.
        // SAFETY: the first argument is a task_struct, by BTF.
        unsafe { scored::<Typed>(scan, ctx.arg(0), ctx.arg(2)) };
    }
    0
}

/// The same by kretprobe.
#[kretprobe]
pub fn oom_badness_kretprobe(ctx: RetProbeContext) -> u32 {
    if let Some(scan) = own_scan() {
        // SAFETY: any address will do.
        unsafe { scored::<Probed>(scan, scan.task as *const u8, ctx.ret()) };
    }
    0
}

/// # Safety
/// `task` must be a pointer to a `task_struct` as `M` wants it.
#[inline(always)]
unsafe fn scored<M: Memory>(scan: &mut Scan, task: *const u8, points: i64) {
    scan.sent = 1;
    let flags = oom_candidate_flags::POINTS_KNOWN;
    // SAFETY: as the caller promises.
    unsafe { candidate::<M>(Hook::OomBadness, scan, task, flags, points) };
}

/// It is done with a process. Those whose points were not seen are sent from here: processes that
/// are passed over without, and all on kernels whose scan calls a copy of `oom_badness`.
#[fexit(function = "oom_evaluate_task")]
pub fn oom_evaluated(ctx: FExitContext) -> i32 {
    if let Some(scan) = own_scan() {
        // SAFETY: the first argument is a task_struct, by BTF.
        unsafe { evaluated::<Typed>(scan, ctx.arg(0), ctx.arg(2)) };
    }
    0
}

/// The same by kretprobe.
#[kretprobe]
pub fn oom_evaluate_kretprobe(ctx: RetProbeContext) -> u32 {
    if let Some(scan) = own_scan() {
        // SAFETY: any address will do.
        unsafe { evaluated::<Probed>(scan, scan.task as *const u8, ctx.ret()) };
    }
    0
}

/// # Safety
/// `task` must be a pointer to a `task_struct` as `M` wants it.
#[inline(always)]
unsafe fn evaluated<M: Memory>(scan: &mut Scan, task: *const u8, stop: i32) {
    if scan.sent == 0 {
        let mut flags = 0;
        let mut points = 0;
        if stop != 0 {
            flags = oom_candidate_flags::ABORTED;
        } else if probe_at::<u64>(scan.control, layout!(oc_chosen)) == scan.task {
            flags = oom_candidate_flags::LEADS | oom_candidate_flags::POINTS_KNOWN;
            points = probe_at(scan.control, layout!(oc_chosen_points));
        }
        // SAFETY: as the caller promises.
        unsafe { candidate::<M>(Hook::OomEvaluated, scan, task, flags, points) };
    }
    scan.thread = 0;
}

/// # Safety
/// `task` must be a pointer to a `task_struct` as `M` wants it.
#[inline(always)]
unsafe fn candidate<M: Memory>(hook: Hook, scan: &Scan, task: *const u8, flags: u32, points: i64) {
    let Some(stats) = stats(hook) else {
        return;
    };
    let memcg: u64 = probe_at(scan.control, layout!(oc_memcg));
    // SAFETY: as the caller promises; the memcg's address may be any.
    let record = unsafe {
        OomCandidateRecord {
            header: header(Tag::OomCandidate),
            trigger_pid: scan.thread as u32,
            flags,
            points,
            totalpages: probe_at(scan.control, layout!(oc_totalpages)),
            domain_memcg_id: memcg::id::<Probed>(memcg as *const u8),
            sample: samples::of_leader::<M>(task),
        }
    };
    send(stats, Tag::OomCandidate, record);
}

/// The OOM reaper begins to free a victim's memory.
#[btf_tracepoint(function = "start_task_reaping")]
pub fn oom_reap_start(ctx: BtfTracePointContext) -> i32 {
    reap(Hook::OomReapStart, oom_reap_phase::START, ctx.arg(0))
}

/// It has freed it.
#[btf_tracepoint(function = "finish_task_reaping")]
pub fn oom_reap_finish(ctx: BtfTracePointContext) -> i32 {
    reap(Hook::OomReapFinish, oom_reap_phase::FINISH, ctx.arg(0))
}

/// There is nothing left to free.
#[btf_tracepoint(function = "skip_task_reaping")]
pub fn oom_reap_skip(ctx: BtfTracePointContext) -> i32 {
    reap(Hook::OomReapSkip, oom_reap_phase::SKIP, ctx.arg(0))
}

#[inline(always)]
fn reap(hook: Hook, phase: u32, pid: u32) -> i32 {
    if let Some(stats) = stats(hook) {
        let record = OomReapRecord {
            header: header(Tag::OomReap),
            pid,
            phase,
        };
        send(stats, Tag::OomReap, record);
    }
    0
}
