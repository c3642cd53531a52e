use super::super::layout::ResolvedLayout;
use super::*;
#[test]
fn full() {
    for s in ["5.10", "6.1", "6.12", "6.18", "7.0", "7.1", "7.2", "host"] {
        let b = std::fs::read(format!("/tmp/kernels/{s}/full.btf")).unwrap();
        let t = std::time::Instant::now();
        let btf = Btf::parse(&b).unwrap();
        let t1 = t.elapsed();
        let r = ResolvedLayout::resolve(&btf);
        let t2 = t.elapsed();
        for n in ["PG_head", "MM_FILEPAGES", "memory_cgrp_id"] {
            btf.enumerator(n).unwrap();
        }
        println!("enum {:?} {}", (t.elapsed() - t2) / 3, btf.enums.len());
        let t2 = t.elapsed();
        btf.has_func("workingset_activation");
        println!("func {:?}", t.elapsed() - t2);
        println!(
            "{s} {:?} {:?} types {} named {} dup {} {:?}\n  {:?}",
            t1,
            t.elapsed(),
            btf.type_count(),
            btf.index.len(),
            btf.duplicates.len(),
            r.missing,
            r.layout
        );
    }
}
