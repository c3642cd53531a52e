use memtrace_ebpf::record::RunKind;
use proptest::{option, prelude::*};

use super::*;
use crate::{
    input::{CgroupVersion, MemoryStat, RunEvent},
    model::{
        CauseKind, ViewRole,
        testing::{self, MIB, Story, TARGET, grow},
    },
};

fn names(components: &[Component]) -> Vec<&'static str> {
    components.iter().map(|c| c.name.as_str()).collect()
}

#[test]
fn v2_splits_usage_without_a_rest() {
    let parts = levels(&testing::cgroup());
    let mib: Vec<_> = parts
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes / MIB as i64))
        .collect();
    assert_eq!(
        mib,
        [
            ("active_file", 10),
            ("file_other", 2),
            ("anon", 20),
            ("shmem", 8),
            ("slab_reclaimable", 4),
            ("slab_unreclaimable", 3),
            ("kernel_stack", 1),
            ("pagetables", 2),
            ("percpu", 1),
            ("vmalloc", 1),
            ("kernel_other", 3),
            ("sock", 1),
        ]
    );
    let working_set = testing::cgroup().working_set_bytes().unwrap();
    assert_eq!(parts.values().sum::<i64>(), working_set as i64);
}

#[test]
fn v1_knows_kernel_memory_as_one_sum() {
    let mut v1 = testing::cgroup();
    v1.stat = MemoryStat {
        anon: v1.stat.anon,
        file: v1.stat.file,
        active_file: v1.stat.active_file,
        inactive_file: v1.stat.inactive_file,
        shmem: v1.stat.shmem,
        ..MemoryStat::default()
    };
    v1.kmem_bytes = Some(16 * MIB);
    let components = components(&v1, &v1);
    assert_eq!(
        names(&components),
        ["active_file", "file_other", "anon", "shmem", "kernel"]
    );
    assert_eq!(components[4].reclaimable, Reclaimable::Unknown);
    assert_eq!(components[4].after_bytes, 16 * MIB as i64);
}

#[test]
fn without_a_kernel_total_its_parts_stand_alone() {
    let mut old = testing::cgroup();
    old.stat.kernel = None;
    old.stat.vmalloc = None;
    let names = names(&components(&old, &old));
    assert!(names.contains(&"percpu"));
    assert!(!names.contains(&"kernel_other"));
    assert!(!names.contains(&"vmalloc"));
}

#[test]
fn what_is_known_at_one_end_only_is_absent() {
    let before = testing::cgroup();
    let mut after = before;
    after.stat.shmem = None;
    // file_other is what shmem and the lists leave of file: it goes with shmem.
    let names = names(&components(&before, &after));
    assert!(!names.contains(&"shmem"));
    assert!(!names.contains(&"file_other"));
    assert!(names.contains(&"active_file"));
}

#[test]
fn pages_on_their_way_between_lists_may_be_negative() {
    let before = testing::cgroup();
    let mut after = before;
    after.stat.active_file = Some(13 * MIB);
    let components = components(&before, &after);
    let other = components
        .iter()
        .find(|c| c.name == ComponentName::FileOther);
    assert_eq!(other.unwrap().after_bytes, -(MIB as i64));
}

#[test]
fn dirty_pages_count_as_active_only_if_they_must_be() {
    let mut sample = testing::cgroup();
    sample.stat.file_dirty = Some(404 * MIB);
    sample.stat.file_writeback = Some(MIB);
    // 405 MiB unclean, of which 400 may be inactive: at least 5 of 10 MiB, not more than half.
    let judge = |sample| Reclaimable::of(ComponentName::ActiveFile, &sample);
    assert_eq!(judge(sample), Reclaimable::Now);
    sample.stat.file_writeback = Some(2 * MIB);
    assert_eq!(judge(sample), Reclaimable::AfterWriteback);
}

#[test]
fn deactivation_is_named_up_to_the_counter_and_the_remainder() {
    let fall = |pgdeactivate: Option<u64>| {
        let explanation = Story::begin()
            .run(RunKind::CacheDeleteActive, 1, 4711, 2)
            .end(|after| {
                testing::activate(after, -9);
                after.cgroup.stat.pgdeactivate = pgdeactivate;
            });
        let ledger = explanation.whole.ledger;
        let named = ledger
            .causes
            .iter()
            .find(|c| c.kind == CauseKind::Deactivated)
            .map(|c| c.bytes / MIB as i64);
        let active = ledger.component(ComponentName::ActiveFile).unwrap();
        (named, active.unattributed_bytes / MIB as i64)
    };
    // -9 in all, 2 of them removed.
    assert_eq!(fall(Some(5 * testing::PAGES)), (Some(-5), -2));
    assert_eq!(fall(Some(50 * testing::PAGES)), (Some(-7), 0));
    assert_eq!(fall(Some(0)), (None, -7));
    assert_eq!(fall(None), (None, -7));
}

#[test]
fn processes_grow_come_and_go() {
    let explanation = Story::begin().end(|after| {
        grow!(after, 15, anon);
        let mut java = testing::process(100, "java", 26);
        java.start_boottime_ns = 100;
        // The same pid, another process.
        let mut reborn = testing::process(100, "sh", 4);
        reborn.start_boottime_ns = 9_999;
        after.tasks = Some(vec![java, reborn, testing::process(101, "jcmd", 3)]);
    });
    let ledger = &explanation.whole.ledger;
    let seen: Vec<_> = ledger
        .causes_of(ComponentName::Anon)
        .map(|c| (c.kind, c.task.as_ref().unwrap().pid, c.bytes / MIB as i64))
        .collect();
    assert_eq!(
        seen,
        [
            (CauseKind::Grew, 100, 6),
            (CauseKind::New, 100, 4),
            (CauseKind::New, 101, 3)
        ]
    );
    let anon = ledger.component(ComponentName::Anon).unwrap();
    assert_eq!(anon.unattributed_bytes, 2 * MIB as i64);
}

#[test]
fn page_tables_that_the_kernel_charges_but_does_not_count_are_not_0() {
    let uncounted = |end: &mut Sample| {
        let stat = &mut end.cgroup.stat;
        // `kernel` keeps what it has: 2 MiB more of it have no name.
        stat.pagetables = Some(0);
    };
    let explanation = Story::new(testing::facts(), uncounted).end(|after| {
        grow!(after, 4, kernel);
        let mut java = testing::process(100, "java", 20);
        java.pagetable_bytes += 4 * MIB;
        after.tasks = Some(vec![java]);
    });
    let ledger = &explanation.whole.ledger;
    assert!(ledger.component(ComponentName::Pagetables).is_none());
    let other = ledger.component(ComponentName::KernelOther).unwrap();
    assert_eq!(
        (other.delta_bytes(), other.unattributed_bytes),
        (4 * MIB as i64, 0)
    );
    assert_eq!(ledger.unexplained_bytes, Some(0));
    let text = explanation.verdict.text();
    assert!(text.contains("4.0 MiB in page tables of java"), "{text}");

    // A count that moves is believed, and so is a 0 where nobody has any.
    let counted =
        Story::new(testing::facts(), uncounted).end(|after| grow!(after, 4, kernel, pagetables));
    let tables = counted.whole.ledger.component(ComponentName::Pagetables);
    assert_eq!(tables.unwrap().delta_bytes(), 4 * MIB as i64);
    let nobody = |end: &mut Sample| {
        uncounted(end);
        end.tasks = Some(Vec::new());
    };
    let empty = Story::new(testing::facts(), nobody).end(|_| ());
    assert!(
        empty
            .whole
            .ledger
            .component(ComponentName::Pagetables)
            .is_some()
    );
}

#[test]
fn where_no_counter_has_page_tables_the_processes_tell() {
    // 5.10's v2.
    let old = |end: &mut Sample| {
        let stat = &mut end.cgroup.stat;
        (stat.kernel, stat.pagetables, stat.vmalloc) = (None, None, None);
    };
    let grown = |after: &mut Sample| {
        grow!(after, 4);
        let mut java = testing::process(100, "java", 20);
        java.pagetable_bytes += 4 * MIB;
        after.tasks = Some(vec![java]);
    };
    let told = Story::new(testing::facts(), old).end(grown).whole.ledger;
    let tables = told.component(ComponentName::Pagetables).unwrap();
    assert_eq!(
        (tables.delta_bytes(), tables.unattributed_bytes),
        (4 * MIB as i64, 0)
    );
    assert_eq!(told.unexplained_bytes, Some(0));

    // Nobody pays for kernel memory: nor for page tables.
    let uncharged = |end: &mut Sample| {
        old(end);
        // What stat.kernel had beyond its parts, page tables, vmalloc.
        grow!(end, -6);
    };
    let free = Story::new(testing::facts(), uncharged).end(|after| {
        grown(after);
        grow!(after, -4);
    });
    assert!(
        free.whole
            .ledger
            .component(ComponentName::Pagetables)
            .is_none()
    );
    assert_eq!(free.whole.ledger.unexplained_bytes, Some(0));
}

#[test]
fn mglru_claims_no_activations() {
    let mut facts = testing::facts();
    facts.lru = LruKind::MultiGen;
    let explanation = Story::new(facts, |_| ())
        .run(RunKind::Activation, 1, 4711, 5)
        .run(RunKind::InsertionActive, 1, 4711, 5)
        .end(|after| testing::activate(after, 5));
    let ledger = &explanation.whole.ledger;
    assert_eq!(ledger.causes_of(ComponentName::ActiveFile).count(), 0);
    let active = ledger.component(ComponentName::ActiveFile).unwrap();
    assert_eq!(active.unattributed_bytes, 5 * MIB as i64);
}

/// Any cgroup, consistent or not: the identity may not depend on the kernel's good manners.
fn any_cgroup() -> impl Strategy<Value = CgroupSample> {
    let bytes = || option::weighted(0.9, 0..1u64 << 40);
    (
        prop::array::uniform3(bytes()),
        prop::array::uniform16(bytes()),
        option::weighted(0.5, 0..1u64 << 20),
    )
        .prop_map(|([usage, again, kmem], stat, pgdeactivate)| CgroupSample {
            usage_bytes: usage,
            usage_after_bytes: again,
            kmem_bytes: kmem,
            stat: MemoryStat {
                anon: stat[0],
                file: stat[1],
                kernel: stat[2],
                kernel_stack: stat[3],
                pagetables: stat[4],
                sec_pagetables: stat[5],
                percpu: stat[6],
                sock: stat[7],
                vmalloc: stat[8],
                shmem: stat[9],
                zswap: stat[10],
                inactive_file: stat[11],
                active_file: stat[12],
                slab_reclaimable: stat[13],
                slab_unreclaimable: stat[14],
                hugetlb: stat[15],
                pgdeactivate,
                ..MemoryStat::default()
            },
            ..CgroupSample::default()
        })
}

fn any_run() -> impl Strategy<Value = RunEvent> {
    (
        0..7usize,
        0..4u64,
        0..4u32,
        0..1u64 << 20,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(kind, inode, pid, pages, certain, elsewhere)| RunEvent {
            task_certain: certain,
            target_cgroup_id: None,
            charged_cgroup_id: Some(if elsewhere {
                testing::ELSEWHERE
            } else {
                TARGET
            }),
            pages,
            ..testing::run(RunKind::ALL[kind], inode, pid, 0)
        })
}

fn any_tasks() -> impl Strategy<Value = Option<Vec<crate::input::TaskUsage>>> {
    let tasks = prop::collection::vec((0..5u32, 0..1u64 << 14), 0..5);
    option::of(tasks.prop_map(|tasks| {
        let task = |(pid, mib)| testing::process(pid, "p", mib);
        tasks.into_iter().map(task).collect()
    }))
}

proptest! {
    #[test]
    fn every_layer_closes_to_the_byte(
        cgroups in prop::array::uniform3(any_cgroup()),
        tasks in prop::array::uniform3(any_tasks()),
        runs in prop::collection::vec(any_run(), 0..40),
        v1 in any::<bool>(),
        mglru in any::<bool>(),
    ) {
        let mut facts = testing::facts();
        facts.scope.command = true;
        facts.cgroup_version = if v1 { CgroupVersion::V1 } else { CgroupVersion::V2 };
        facts.lru = if mglru { LruKind::MultiGen } else { LruKind::Classic };
        let [first, second, third] = cgroups;
        let [first_tasks, second_tasks, third_tasks] = tasks;
        let mut story = Story::new(facts, |s| (s.cgroup, s.tasks) = (first, first_tasks));
        for run in &runs[..runs.len() / 2] {
            story = story.and(crate::input::Input::Run(*run));
        }
        story = story.peak(|s| (s.cgroup, s.tasks) = (second, second_tasks));
        for run in &runs[runs.len() / 2..] {
            story = story.and(crate::input::Input::Run(*run));
        }
        let explanation = story.end(|s| (s.cgroup, s.tasks) = (third, third_tasks));

        for phase in explanation.every_phase() {
            let ledger = &phase.ledger;
            let components: i64 = ledger.components.iter().map(Component::delta_bytes).sum();
            prop_assert_eq!(
                phase.working_set.delta_bytes(),
                ledger.unexplained_bytes.map(|residual| residual + components)
            );
            for component in &ledger.components {
                let causes: i64 = ledger.causes_of(component.name).map(|c| c.bytes).sum();
                prop_assert_eq!(
                    component.delta_bytes(),
                    causes + component.unattributed_bytes
                );
            }
        }
        // The two ways add up to the whole, if every end is known.
        if let [up, down] = explanation.phases.as_slice()
            && let (Some(up), Some(down)) =
                (up.working_set.delta_bytes(), down.working_set.delta_bytes())
        {
            prop_assert_eq!(Some(up + down), explanation.whole.working_set.delta_bytes());
        }
        // Between two totals of the chain the steps account for every byte.
        let mut sum = None;
        for step in &explanation.views.steps {
            sum = match (step.role, sum) {
                (ViewRole::Total, None) => Some(step.bytes),
                (ViewRole::Total, Some(sum)) => {
                    prop_assert_eq!(step.bytes, sum);
                    Some(sum)
                }
                (ViewRole::Minus, sum) => sum.map(|sum| sum - step.bytes),
                (ViewRole::Plus, sum) => sum.map(|sum| sum + step.bytes),
            };
        }
        // Views must render whatever comes.
        let json: serde_json::Value =
            serde_json::from_str(&crate::view::json::render(&explanation)).unwrap();
        prop_assert_eq!(json["schema_version"].as_u64(), Some(1));
        prop_assert!(!crate::view::text::render(&explanation).is_empty());
        prop_assert!((1..=3).contains(&explanation.verdict.sentences.len()));
    }
}
