//! Extracts of real kernels (`cargo xtask btf-extract`), and blobs that are none.

use super::{Btf, BtfError, lookup::LookupError};

const K5_10: &[u8] = include_bytes!("../testdata/btf/5.10.btf");
const K6_18: &[u8] = include_bytes!("../testdata/btf/6.18.btf");
const K7_2: &[u8] = include_bytes!("../testdata/btf/7.2.btf");

#[test]
fn a_prototype_reads_as_c_writes_it() {
    let prototype = |blob, function| Btf::parse(blob).unwrap().prototype(function);
    assert_eq!(
        prototype(K5_10, "workingset_eviction").unwrap(),
        "void * (struct page *, struct mem_cgroup *)"
    );
    assert_eq!(
        prototype(K7_2, "workingset_eviction").unwrap(),
        "void * (struct folio *, struct mem_cgroup *)"
    );
    assert_eq!(
        prototype(K6_18, "try_to_free_mem_cgroup_pages").unwrap(),
        "unsigned long (struct mem_cgroup *, unsigned long, gfp_t, unsigned int, int *)"
    );
    assert_eq!(prototype(K6_18, "no_such_function"), None);
}

#[test]
fn a_tracepoint_tells_its_arguments() {
    let arguments = |blob| {
        Btf::parse(blob)
            .unwrap()
            .tracepoint_args("mm_vmscan_memcg_reclaim_begin")
    };
    assert_eq!(arguments(K6_18).unwrap(), ["int", "gfp_t"]);
    assert_eq!(
        arguments(K7_2).unwrap(),
        ["gfp_t", "int", "struct mem_cgroup *"]
    );
}

#[test]
fn a_bitfield_is_told_from_a_plain_member() {
    let btf = Btf::parse(K6_18).unwrap();
    assert_eq!(
        btf.member("scan_control.proactive").unwrap().bits,
        Some((1, 1))
    );
    assert_eq!(btf.member("scan_control.nr_reclaimed").unwrap().bits, None);
    assert_eq!(
        Btf::parse(K5_10).unwrap().member("scan_control.proactive"),
        Err(LookupError::NoMember("scan_control.proactive".into()))
    );
}

#[test]
fn what_is_no_btf_is_refused() {
    assert!(matches!(
        Btf::parse(&[]),
        Err(BtfError::Truncated { what: "header", .. })
    ));
    assert!(matches!(Btf::parse(&[0; 24]), Err(BtfError::Magic(0))));
    let cut = &K5_10[..K5_10.len() - 1];
    assert!(matches!(Btf::parse(cut), Err(BtfError::Truncated { .. })));
}
