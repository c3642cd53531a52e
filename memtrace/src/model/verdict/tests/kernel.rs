//! Kernel memory, by what holds it.

use insta::assert_snapshot;

use super::told;
use crate::{
    input::{Dentries, Sample, SocketUsage, TaskUsage},
    model::testing::{self, MIB, Story, grow},
};

/// The one process of the sample.
fn java(sample: &mut Sample) -> &mut TaskUsage {
    &mut sample.tasks.as_mut().unwrap()[0]
}

#[test]
fn threads() {
    let explanation =
        Story::new(testing::facts(), |before| java(before).threads = Some(10)).end(|after| {
            grow!(after, 80, kernel, kernel_stack);
            java(after).threads = Some(5010);
        });
    assert_snapshot!(told(&explanation), @r#"
    kernel_stack: Working set +80.0 MiB: 80.0 MiB is kernel memory: stacks of threads, 78.1 MiB in stacks of 5000 threads of java (pid 100); it stays until its owner lets go.
    advice: It counts against the limit of 2048.0 MiB, and no process shows it.
    "#);
}

#[test]
fn threads_that_ended_with_their_process() {
    let explanation = Story::new(testing::facts(), |before| {
        java(before).threads = Some(1000);
        grow!(before, 16, kernel, kernel_stack);
    })
    .end(|after| {
        grow!(after, -16, kernel, kernel_stack);
        after.tasks = Some(Vec::new());
    });
    assert_snapshot!(told(&explanation), @r#"
    kernel_stack: Working set -16.0 MiB: 16.0 MiB was kernel memory: stacks of threads, 15.6 MiB in stacks of 1000 threads of java (pid 100).
    "#);
}

#[test]
fn page_tables() {
    let explanation = Story::begin().end(|after| {
        grow!(after, 32, kernel, pagetables);
        java(after).pagetable_bytes += 32 * MIB;
    });
    assert_snapshot!(told(&explanation), @r#"
    pagetables: Working set +32.0 MiB: 32.0 MiB is kernel memory: page tables, 32.0 MiB in page tables of java (pid 100); it stays until its owner lets go.
    advice: It counts against the limit of 2048.0 MiB, and rss does not show it.
    "#);
}

#[test]
fn sockets() {
    let sockets = |count, mib| {
        Some(SocketUsage {
            count,
            queued_bytes: mib * MIB,
        })
    };
    let explanation = Story::new(testing::facts(), |before| {
        java(before).sockets = sockets(20, 1);
    })
    .end(|after| {
        grow!(after, 64, sock);
        java(after).sockets = sockets(2020, 51);
    });
    assert_snapshot!(told(&explanation), @r#"
    sock: Working set +64.0 MiB: 64.0 MiB is kernel memory: socket buffers: 50.0 MiB wait in 2000 sockets of java (pid 100), unread or not yet acknowledged; it stays until its owner lets go.
    advice: It counts against the limit of 2048.0 MiB, and no process shows it.
    "#);
}

#[test]
fn names_that_do_not_exist() {
    let names = |total, negative| Some(Dentries { total, negative });
    let explanation = Story::new(testing::facts(), |before| {
        before.dentries = names(100_000, Some(5_000));
        java(before).kernel_time_ns = Some(0);
    })
    .end(|after| {
        grow!(after, 40, kernel, slab_reclaimable);
        after.dentries = names(300_000, Some(204_000));
        java(after).kernel_time_ns = Some(900_000_000);
    });
    assert_snapshot!(told(&explanation), @r#"
    dentries: Working set +40.0 MiB: 40.0 MiB is kernel memory: reclaimable slab (dentries, inodes), names of files in the kernel's cache: 200000 more on this machine, 199000 of them names that do not exist, by probably java (pid 100), who spent most time in the kernel; the kernel can free most of it.
    "#);
}

#[test]
fn slab_that_nobody_is_known_for() {
    let explanation = Story::new(testing::facts(), |before| {
        java(before).kernel_time_ns = Some(0);
    })
    .end(|after| {
        grow!(after, 40, kernel, slab_unreclaimable);
        java(after).kernel_time_ns = Some(900_000_000);
    });
    assert_snapshot!(told(&explanation), @r#"
    kernel: Working set +40.0 MiB: 40.0 MiB is kernel memory: unreclaimable slab, by probably java (pid 100), who spent most time in the kernel; it stays until its owner lets go.
    advice: It counts against the limit of 2048.0 MiB, and no process shows it.
    "#);
}

#[test]
fn a_few_ticks_in_the_kernel_are_no_hint() {
    let explanation = Story::new(testing::facts(), |before| {
        java(before).kernel_time_ns = Some(0);
    })
    .end(|after| {
        grow!(after, 40, kernel, slab_unreclaimable);
        java(after).kernel_time_ns = Some(90_000_000);
    });
    assert!(!explanation.verdict.text().contains("java"));
}

#[test]
fn v1_tells_stacks_by_the_threads() {
    let explanation = Story::new(testing::facts(), |before| {
        let cgroup = &mut before.cgroup;
        cgroup.kmem_bytes = cgroup.stat.kernel.take();
        let stat = &mut cgroup.stat;
        for part in [
            &mut stat.slab_reclaimable,
            &mut stat.slab_unreclaimable,
            &mut stat.kernel_stack,
            &mut stat.pagetables,
            &mut stat.percpu,
            &mut stat.vmalloc,
            &mut stat.sock,
        ] {
            *part = None;
        }
        before.tasks.as_mut().unwrap()[0].threads = Some(10);
    })
    .end(|after| {
        grow!(after, 113);
        after.cgroup.kmem_bytes = after.cgroup.kmem_bytes.map(|v| v + 113 * MIB);
        java(after).threads = Some(5010);
    });
    assert_snapshot!(told(&explanation), @r#"
    kernel_stack: Working set +113.0 MiB: 113.0 MiB is kernel memory (cgroup v1 does not take it apart), 78.1 MiB in stacks of 5000 threads of java (pid 100); how much of it could be freed is not told.
    advice: It counts against the limit of 2048.0 MiB, and no process shows it.
    "#);
}
