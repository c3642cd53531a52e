//! OOM hooks: whom the kernel chose.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use memtrace_ebpf::{
    hook::Hook,
    record::{COMM_BYTES, Tag, VictimRecord},
};

use crate::{
    events::{header, send, stats},
    layout::{enabled, layout, load, load_pointer},
    memcg, tasks,
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
