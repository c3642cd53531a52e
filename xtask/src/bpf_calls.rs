//! Keeps calls from one BPF function to another out of the BPF object.
//!
//! Some kernels (5.10.262 is one) forget the exception table of a program that is made of several
//! functions: the entry function goes by the whole program's `bpf_prog`, whose table the JIT never
//! set (kernel/bpf/verifier.c, `jit_subprogs`; mended in 6.5 by "bpf: ensure main program has an
//! extable"). There a load through a pointer that happens to be null, which otherwise reads as 0,
//! panics the machine. Such loads are what our programs are made of, so each must be one function.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionKind, SymbolKind,
};

/// Every call in the object, as `SECTION calls FUNCTION`; empty is good.
pub fn in_object(bytes: &[u8]) -> Result<Vec<String>> {
    let elf = object::File::parse(bytes).context("the BPF object is no ELF file")?;
    let mut calls = BTreeSet::new();
    for section in elf.sections().filter(|s| s.kind() == SectionKind::Text) {
        for (_, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else {
                continue;
            };
            let symbol = elf
                .symbol_by_index(index)
                .context("a relocation's symbol")?;
            // A call within one section would be relative to the section.
            if matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Section)
                && is_code(&elf, &symbol)
            {
                calls.insert(format!(
                    "{} calls {}",
                    section.name().unwrap_or("?"),
                    symbol.name().unwrap_or("?")
                ));
            }
        }
    }
    Ok(calls.into_iter().collect())
}

fn is_code(elf: &object::File<'_>, symbol: &object::Symbol<'_, '_>) -> bool {
    symbol
        .section_index()
        .and_then(|index| elf.section_by_index(index).ok())
        .is_some_and(|section| section.kind() == SectionKind::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_object_has_none() {
        let path = crate::workspace::root().join("memtrace/bpf/memtrace.bpf.o");
        let object = std::fs::read(path).unwrap();
        assert_eq!(in_object(&object).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        assert!(in_object(b"\x7fELF").is_err());
    }
}
