//! Who pays, who uses, which child; memory that moves between RAM and swap.

use insta::assert_snapshot;
use memtrace_ebpf::record::RunKind;

use super::{anon, told};
use crate::{
    input::{CgroupPath, ChildSample, Input},
    model::testing::{self, ELSEWHERE, MIB, PAGES, Story, activate},
};

#[test]
fn child() {
    let child = |id, mib| ChildSample {
        id,
        path: format!("/shop/search/{id}"),
        working_set_bytes: mib * MIB,
    };
    let explanation = Story::new(testing::facts(), |before| {
        before.children = Some(vec![child(1, 10), child(2, 10)]);
    })
    .end(|after| {
        anon(after, 30);
        after.tasks = Some(vec![testing::process(100, "java", 50)]);
        after.children = Some(vec![child(1, 38), child(2, 11)]);
    });
    assert_snapshot!(told(&explanation), @r#"
    anon: Working set +30.0 MiB: 30.0 MiB is anonymous memory of java (pid 100); it stays: there is no swap to move it to.
    child: +28.0 MiB of it in /shop/search/1.
    advice: It counts fully against the limit of 2048.0 MiB.
    "#);
}

#[test]
fn paid_here_and_used_elsewhere() {
    let explanation = Story::begin()
        .task(5000, "node", ELSEWHERE)
        .run(RunKind::Activation, 1, 5000, 16)
        .end(|after| activate(after, 16));
    assert_snapshot!(told(&explanation), @r#"
    second_access: Working set +16.0 MiB: 16.0 MiB is page cache of /data/t.log that node (pid 5000) read a second time; the kernel can drop it.
    used_elsewhere: This cgroup pays because it used the pages first; node (pid 5000) is of another.
    advice: No need to raise the limit for it; but node eviction counts it, too.
    "#);
}

#[test]
fn used_here_and_paid_elsewhere() {
    let foreign = || {
        let mut run = testing::run(RunKind::Activation, 1, 4711, 16);
        run.charged_cgroup_id = Some(ELSEWHERE);
        Story::begin().and(Input::Run(run))
    };
    let found = |path: Option<&str>| {
        Input::CgroupPath(CgroupPath {
            id: ELSEWHERE,
            path: path.map(str::to_owned),
        })
    };
    let paid = foreign().and(found(Some("/shop/cart"))).end(|_| ());
    assert_snapshot!(told(&paid), @r#"
    no_change: Working set 56.0 MiB, no change beyond the counters' own error (+0.0 MiB, bound 0.6 MiB).
    charged_elsewhere: Not counted in it: 16.0 MiB of /data/t.log that cat (pid 4711) uses and /shop/cart pays for.
    "#);
    let gone = foreign().and(found(None)).end(|_| ());
    assert!(gone.verdict.text().contains("cgroup 7 (gone) pays"));
    let not_looked_for = foreign().end(|_| ());
    assert!(not_looked_for.verdict.text().contains("cgroup 7 pays"));
}

#[test]
fn swapped_out() {
    let explanation = Story::begin().end(|after| {
        anon(after, -12);
        after.cgroup.swap_available_bytes = Some(100 * MIB);
        let java = &mut after.tasks.as_mut().unwrap()[0];
        java.anon_pages -= 12 * PAGES;
        java.swap_pages += 11 * PAGES;
    });
    assert_snapshot!(told(&explanation), @r#"
    swapped_out: Working set -12.0 MiB: 11.0 MiB was anonymous memory of java (pid 100), which is in swap now: it comes back when it is used.
    "#);
    let kinds: Vec<_> = (explanation.whole.ledger.causes.iter())
        .map(|cause| (cause.kind.as_str(), cause.bytes / MIB as i64))
        .collect();
    assert_eq!(kinds, [("swapped_out", -11), ("shrank", -1)]);
}

#[test]
fn swapped_in() {
    let explanation = Story::new(testing::facts(), |before| {
        before.tasks.as_mut().unwrap()[0].swap_pages = 40 * PAGES;
    })
    .end(|after| {
        anon(after, 30);
        let java = &mut after.tasks.as_mut().unwrap()[0];
        java.anon_pages += 30 * PAGES;
        java.swap_pages -= 28 * PAGES;
    });
    assert_snapshot!(told(&explanation), @r#"
    swapped_in: Working set +30.0 MiB: 28.0 MiB is anonymous memory of java (pid 100), which came back from swap.
    advice: It counts fully against the limit of 2048.0 MiB.
    "#);
}
