//! Hand-built sessions for tests of the model, the aggregator and the views.

use memtrace_ebpf::record::RunKind;

use super::{Explanation, FileRef};
use crate::{
    aggregate::Aggregator,
    input::{
        CgroupMember, CgroupSample, CgroupVersion, Facts, FileEvent, FileId, FileLocation,
        HookCounters, HookOutcome, Input, Instant, LruKind, RunEvent, Sample, Scope, StatError,
        TaskEvent, TaskUsage, Timestamp,
    },
};

pub(crate) const MIB: u64 = 1 << 20;
/// Pages of one MiB.
pub(crate) const PAGES: u64 = MIB / 4096;
/// The target's cgroup id.
pub(crate) const TARGET: u64 = 42;
/// A cgroup elsewhere.
pub(crate) const ELSEWHERE: u64 = 7;
/// 2026-11-21T02:14:00Z.
const START_UNIX_NS: u64 = 1_795_227_240_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// A v2 kernel with two CPUs and the classic LRU, all hooks attached.
pub(crate) fn facts() -> Facts {
    Facts {
        memtrace_version: "0.1.0".to_owned(),
        kernel_release: "6.18.1".to_owned(),
        page_size_bytes: 4096,
        cpus: 2,
        locked_down: false,
        thread_stack_bytes: Some(16 << 10),
        dentry_bytes: Some(192),
        lru: LruKind::Classic,
        cgroup_version: CgroupVersion::V2,
        stat_error: StatError {
            stock_pages: 32,
            stat_pages: 64,
            counter_pages: 64,
        },
        hooks: vec![hook("activation", Some("tp_btf/mm_lru_activate"))],
        scope: Scope {
            target: "search".to_owned(),
            cgroup_path: "/shop/search".to_owned(),
            cgroup_id: TARGET,
            command: false,
        },
        realtime_minus_monotonic_ns: START_UNIX_NS as i64,
    }
}

pub(crate) fn hook(signal: &str, attached: Option<&str>) -> HookOutcome {
    HookOutcome {
        signal: signal.to_owned(),
        attached: attached.map(str::to_owned),
        refused: Vec::new(),
        cost: String::new(),
        optional: false,
        opt_in: None,
    }
}

/// A v2 cgroup of 456 MiB, its working set 56, whose counters agree to the byte.
pub(crate) fn cgroup() -> CgroupSample {
    let mut sample = CgroupSample {
        usage_bytes: Some(456 * MIB),
        usage_after_bytes: Some(456 * MIB),
        limit_bytes: Some(2048 * MIB),
        swap_bytes: Some(0),
        swap_available_bytes: Some(0),
        ..CgroupSample::default()
    };
    for (key, mib) in [
        ("anon", 20),
        ("file", 420),
        ("active_file", 10),
        ("inactive_file", 400),
        ("shmem", 8),
        ("kernel", 15),
        ("slab_reclaimable", 4),
        ("slab_unreclaimable", 3),
        ("kernel_stack", 1),
        ("pagetables", 2),
        ("percpu", 1),
        ("vmalloc", 1),
        ("sock", 1),
        ("pgdeactivate", 0),
    ] {
        assert!(sample.stat.set(key, mib * MIB), "{key}");
    }
    sample.stat.pgdeactivate = Some(0);
    sample
}

/// [`cgroup`] with one process, `java` (pid 100), taken `second` seconds into the session.
pub(crate) fn sample(instant: Instant, second: u64) -> Sample {
    Sample {
        instant,
        time: Timestamp {
            unix_ns: START_UNIX_NS + second * SECOND_NS,
            monotonic_ns: second * SECOND_NS,
        },
        cgroup: cgroup(),
        members: vec![member(TARGET, "/shop/search")],
        tasks: Some(vec![process(100, "java", 20)]),
        hooks: Vec::new(),
        shrinks: None,
        exact: None,
        lru: Some(LruKind::Classic),
        dentries: None,
        children: None,
    }
}

pub(crate) fn member(id: u64, path: &str) -> CgroupMember {
    CgroupMember {
        id,
        path: path.to_owned(),
    }
}

/// A process of the target with so much anonymous memory.
pub(crate) fn process(pid: u32, comm: &str, anon_mib: u64) -> TaskUsage {
    TaskUsage {
        pid,
        start_boottime_ns: u64::from(pid),
        comm: comm.to_owned(),
        cgroup_id: Some(TARGET),
        anon_pages: anon_mib * PAGES,
        file_pages: PAGES,
        shmem_pages: 0,
        swap_pages: 0,
        pagetable_bytes: 2 * MIB,
        oom_score_adj: 0,
        threads: None,
        kernel_time_ns: None,
        sockets: None,
    }
}

pub(crate) fn file_id(inode: u64) -> FileId {
    FileId {
        device: 8 << 20 | 1,
        inode,
        generation: 0,
    }
}

pub(crate) fn unnamed(id: FileId) -> FileRef {
    FileRef {
        id,
        path: None,
        container_path: None,
        fs_path: None,
        fstype: None,
        deleted: None,
        truncated: None,
    }
}

/// A run of whole MiB, charged to the target.
pub(crate) fn run(kind: RunKind, inode: u64, pid: u32, mib: u64) -> RunEvent {
    RunEvent {
        kind,
        first_ns: 1,
        sent_ns: 1_000_000,
        received_ns: 3_000_000,
        charged_cgroup_id: Some(TARGET),
        target_cgroup_id: None,
        file: Some(file_id(inode)),
        pid: Some(pid),
        task_certain: true,
        in_reclaim: false,
        pages: mib * PAGES,
        folios: mib * PAGES,
    }
}

/// Adds so many MiB (negative: takes them) to a counter of `memory.stat` in `$sample` and to usage.
macro_rules! grow {
    ($sample:expr, $mib:expr $(, $key:ident)*) => {{
        let mib: i64 = $mib;
        let bytes = mib * $crate::model::testing::MIB as i64;
        let cgroup = &mut $sample.cgroup;
        $(cgroup.stat.$key = cgroup.stat.$key.map(|v| v.saturating_add_signed(bytes));)*
        cgroup.usage_bytes = cgroup.usage_bytes.map(|v| v.saturating_add_signed(bytes));
        cgroup.usage_after_bytes = cgroup.usage_bytes;
    }};
}
pub(crate) use grow;

/// File pages move from the inactive to the active list.
pub(crate) fn activate(sample: &mut Sample, mib: i64) {
    let stat = &mut sample.cgroup.stat;
    let bytes = mib * MIB as i64;
    stat.active_file = stat.active_file.map(|v| v.saturating_add_signed(bytes));
    stat.inactive_file = stat.inactive_file.map(|v| v.saturating_add_signed(-bytes));
}

/// A session told step by step.
pub(crate) struct Story {
    pub(crate) aggregator: Aggregator,
    last: Sample,
    second: u64,
}

impl Story {
    /// Starts with a `Before` sample that `change` has altered.
    pub(crate) fn new(facts: Facts, change: impl FnOnce(&mut Sample)) -> Self {
        let mut story = Self {
            aggregator: Aggregator::new(),
            last: sample(Instant::Before, 0),
            second: 0,
        };
        story.learn(Input::Facts(Box::new(facts)));
        for (inode, path) in [(1, "/data/t.log"), (2, "/data/idx/seg_41.dat")] {
            story = story.file(inode, path, "ext4");
        }
        story = story.task(4711, "cat", TARGET).task(4712, "grep", TARGET);
        story.take(Instant::Before, change);
        story
    }

    /// A v2 classic-LRU session.
    pub(crate) fn begin() -> Self {
        Self::new(facts(), |_| ())
    }

    /// The same with a command.
    pub(crate) fn command() -> Self {
        let mut facts = facts();
        facts.scope.command = true;
        Self::new(facts, |_| ())
    }

    pub(crate) fn learn(&mut self, input: Input) {
        self.aggregator.apply(&input);
    }

    pub(crate) fn and(mut self, input: Input) -> Self {
        self.learn(input);
        self
    }

    pub(crate) fn file(self, inode: u64, path: &str, fstype: &str) -> Self {
        let id = file_id(inode);
        self.and(Input::File(FileEvent {
            id,
            fs_path: path.to_owned(),
            fstype: fstype.to_owned(),
            truncated: false,
            deleted: false,
        }))
        .and(Input::Location(FileLocation {
            id,
            path: Some(path.to_owned()),
            container_path: None,
            deleted: false,
        }))
    }

    pub(crate) fn task(self, pid: u32, comm: &str, cgroup_id: u64) -> Self {
        self.and(Input::Task(TaskEvent {
            pid,
            comm: comm.to_owned(),
            cgroup_id: Some(cgroup_id),
            start_boottime_ns: u64::from(pid),
            renamed: false,
        }))
    }

    pub(crate) fn run(self, kind: RunKind, inode: u64, pid: u32, mib: u64) -> Self {
        self.and(Input::Run(run(kind, inode, pid, mib)))
    }

    pub(crate) fn peak(mut self, change: impl FnOnce(&mut Sample)) -> Self {
        self.take(Instant::Peak, change);
        self
    }

    pub(crate) fn end(mut self, change: impl FnOnce(&mut Sample)) -> Explanation {
        self.take(Instant::After, change);
        self.aggregator.explain().unwrap()
    }

    /// A sample, ten seconds after the last, altered by `change`. Its hooks account for every page
    /// that arrived unless `change` says otherwise.
    fn take(&mut self, instant: Instant, change: impl FnOnce(&mut Sample)) {
        if instant != Instant::Before {
            self.second += 10;
        }
        self.last.instant = instant;
        self.last.time = sample(instant, self.second).time;
        self.last.hooks = vec![HookCounters {
            hook: "mm_lru_activate".to_owned(),
            pages_produced: self.aggregator.pages_seen(),
            ..HookCounters::default()
        }];
        change(&mut self.last);
        self.learn(Input::Sample(Box::new(self.last.clone())));
    }
}
