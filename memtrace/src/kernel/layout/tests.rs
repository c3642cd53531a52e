//! The layouts of five real kernels, from extracts of their BTF.

use memtrace_ebpf::layout::{ABSENT, Layout};

use super::{Btf, ResolvedLayout, TABLE};

const KERNELS: [(&str, &[u8]); 5] = [
    ("5.10", include_bytes!("../testdata/btf/5.10.btf")),
    ("6.1", include_bytes!("../testdata/btf/6.1.btf")),
    ("6.12", include_bytes!("../testdata/btf/6.12.btf")),
    ("6.18", include_bytes!("../testdata/btf/6.18.btf")),
    ("7.2", include_bytes!("../testdata/btf/7.2.btf")),
];

pub(in crate::kernel) fn resolved() -> impl Iterator<Item = (&'static str, ResolvedLayout)> {
    KERNELS.into_iter().map(|(name, blob)| {
        let btf = Btf::parse(blob).unwrap();
        (name, ResolvedLayout::resolve(&btf))
    })
}

/// A field on each of the five kernels.
fn across(field: &str) -> Vec<u32> {
    resolved()
        .map(|(_, resolved)| resolved.layout.get(field).unwrap())
        .collect()
}

#[test]
fn the_table_names_every_field_once() {
    let mut rows: Vec<&str> = TABLE.iter().map(|(field, _)| *field).collect();
    let mut fields = Layout::FIELDS.to_vec();
    rows.sort_unstable();
    fields.sort_unstable();
    assert_eq!(rows, fields);
}

#[test]
fn nothing_is_missing_but_what_a_kernel_does_not_have() {
    let missing: Vec<(&str, Vec<&str>)> = resolved()
        .map(|(kernel, resolved)| {
            let fields = resolved.missing.iter().map(|(field, _)| *field);
            (kernel, fields.collect())
        })
        .collect();
    let large_folios = "page_compound_nr";
    let objcg = "objcg_memcg";
    let memcg_arg = "reclaim_begin_memcg_arg";
    let exact = "counter_update_long";
    assert_eq!(
        missing,
        [
            (
                "5.10",
                vec![
                    "folio_nr_pages",
                    objcg,
                    memcg_arg,
                    exact,
                    "try_to_shrink_lruvec_prototype",
                    "sc_proactive",
                ]
            ),
            (
                "6.1",
                vec![
                    large_folios,
                    objcg,
                    memcg_arg,
                    exact,
                    "try_to_shrink_lruvec_prototype",
                ]
            ),
            ("6.12", vec![large_folios, objcg, memcg_arg, exact]),
            ("6.18", vec![large_folios, objcg, memcg_arg]),
            ("7.2", vec![large_folios]),
        ]
    );
}

#[test]
fn prototypes_are_told_apart() {
    assert_eq!(across("activation_prototype"), [0, 1, 1, 1, 1]);
    assert_eq!(across("refault_prototype"), [0, 1, 1, 1, 1]);
    assert_eq!(across("eviction_prototype"), [0, 1, 1, 1, 1]);
    assert_eq!(across("memcg_reclaim_prototype"), [0, 1, 2, 2, 2]);
    assert_eq!(
        across("try_to_shrink_lruvec_prototype"),
        [ABSENT, ABSENT, 0, 0, 0]
    );
}

#[test]
fn widths_that_changed_are_followed() {
    assert_eq!(
        across("counter_update_long"),
        [ABSENT, ABSENT, ABSENT, 0, 1]
    );
}

#[test]
fn arguments_that_changed_places_are_followed() {
    assert_eq!(across("reclaim_begin_order_arg"), [0, 0, 0, 0, 1]);
    assert_eq!(
        across("reclaim_begin_memcg_arg"),
        [ABSENT, ABSENT, ABSENT, ABSENT, 2]
    );
    // 5.10 passed a pid first; its later point releases pass the task.
    assert_eq!(across("mark_victim_task"), [1, 1, 1, 1, 1]);
}

#[test]
fn an_unknown_prototype_says_what_it_is() {
    let btf = Btf::parse(KERNELS[0].1).unwrap();
    let reason = super::prototype(&btf, "workingset_refault", &["void (int)"]).unwrap_err();
    assert_eq!(
        reason,
        "workingset_refault is `void (struct page *, void *)`, the programs know `void (int)`"
    );
}
