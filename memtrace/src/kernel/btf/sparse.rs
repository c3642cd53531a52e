//! A BTF of few types that keep their numbers, for aya.
//!
//! aya looks a hook's type number up in a BTF of its own making: it decodes all 100,000 to 200,000
//! types of the kernel, and walks them once a program. All it asks of them is a number.

use std::collections::BTreeSet;

use super::{Btf, HEADER_BYTES, Kind, MAGIC, Type, VERSION};

impl Btf<'_> {
    /// A blob in which only these types, functions or typedefs all, have a name; every other one
    /// below the last of them is a nameless forward declaration.
    pub fn sparse(&self, ids: &BTreeSet<u32>) -> Vec<u8> {
        let last = ids.last().copied().unwrap_or(0);
        let types_bytes = last as usize * Type::COMMON_BYTES;
        let mut strings = vec![0];
        let mut blob = Vec::with_capacity(HEADER_BYTES + types_bytes + 64 * ids.len());
        blob.resize(HEADER_BYTES, 0);
        for id in 1..=last {
            let wanted = ids.contains(&id).then(|| self.type_by_id(id)).flatten();
            let (name, kind) = match wanted.and_then(|ty| Some((ty, self.string(ty.name_offset)?)))
            {
                Some((ty, name)) => {
                    let offset = strings.len() as u32;
                    strings.extend(name);
                    strings.push(0);
                    (offset, ty.kind)
                }
                None => (0, Kind::Fwd),
            };
            for word in [name, (kind as u32) << 24, 0] {
                blob.extend(word.to_le_bytes());
            }
        }
        let (types_len, strings_len) = (types_bytes as u32, strings.len() as u32);
        let header = [HEADER_BYTES as u32, 0, types_len, types_len, strings_len];
        blob[..2].copy_from_slice(&MAGIC.to_le_bytes());
        blob[2] = VERSION;
        for (at, word) in header.into_iter().enumerate() {
            blob[4 + 4 * at..8 + 4 * at].copy_from_slice(&word.to_le_bytes());
        }
        blob.extend(strings);
        blob
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_types_keep_their_numbers() {
        let blob = include_bytes!("../testdata/btf/6.12.btf");
        let whole = Btf::parse(blob).unwrap();
        let func = |btf: &Btf<'_>, name| btf.func_ids(name).next();
        let typedef = |btf: &Btf<'_>, name| btf.ids(Kind::Typedef, name).next();
        let (refault, activate) = ("workingset_refault", "btf_trace_mm_lru_activate");
        let ids = [func(&whole, refault), typedef(&whole, activate)].map(Option::unwrap);
        let blob = whole.sparse(&ids.into());
        let sparse = Btf::parse(&blob).unwrap();
        assert_eq!(func(&sparse, refault), Some(ids[0]));
        assert_eq!(typedef(&sparse, activate), Some(ids[1]));
        assert_eq!(func(&sparse, "oom_badness"), None);
        assert_eq!(sparse.type_count(), ids.into_iter().max().unwrap() + 1);
        let theirs = aya::Btf::parse(&blob, Default::default()).unwrap();
        drop(theirs);
    }

    #[test]
    fn none_is_an_empty_one() {
        let blob = include_bytes!("../testdata/btf/6.12.btf");
        let blob = Btf::parse(blob).unwrap().sparse(&BTreeSet::new());
        assert_eq!(Btf::parse(&blob).unwrap().type_count(), 1);
    }
}
