//! Puts the kernel's layout into the object's instructions, where they bear a mark: what CO-RE
//! relocations are to programs in C.

use memtrace_ebpf::layout::{Layout, mark};
use object::{Object as _, ObjectSection as _, SectionKind};

/// Bytes of an instruction (include/uapi/linux/bpf.h, `struct bpf_insn`): opcode, registers, offset of
/// two bytes, constant of four.
const INSTRUCTION_BYTES: usize = 8;
/// `BPF_LD | BPF_IMM | BPF_DW`: a constant of 64 bits, its high half in a second instruction.
const LOAD_CONSTANT: u8 = 0x18;
/// `BPF_LDX | BPF_MEM`, without the size of what is loaded.
const LOAD: u8 = 0x61;
/// Where an opcode says that size.
const SIZE_MASK: u8 = 0x18;
/// The offset of a member that is absent or farther away than an offset can say. The verifier takes no
/// load before the start of a structure; where none is done, it has pruned the load.
const NOWHERE: i16 = -1;

/// The object with the layout's values in it.
///
/// # Errors
/// If the object is no ELF file.
pub(super) fn relocated(object: &[u8], layout: &Layout) -> Result<Vec<u8>, object::Error> {
    let values = layout.values();
    let mut relocated = object.to_vec();
    for section in object::File::parse(object)?.sections() {
        let (SectionKind::Text, Some((start, bytes))) = (section.kind(), section.file_range())
        else {
            continue;
        };
        // Within the file, as `object` has checked.
        if let Some(code) = relocated.get_mut(start as usize..(start + bytes) as usize) {
            relocate(code, &values);
        }
    }
    Ok(relocated)
}

fn relocate(code: &mut [u8], values: &[u32]) {
    let (instructions, _) = code.as_chunks_mut::<INSTRUCTION_BYTES>();
    let mut rest = instructions;
    while let Some((instruction, after)) = rest.split_first_mut() {
        rest = after;
        if instruction[0] == LOAD_CONSTANT {
            let Some((second, after)) = rest.split_first_mut() else {
                return;
            };
            rest = after;
            // The registers' high half says what the constant is a reference to; 0: to nothing.
            if instruction[1] >> 4 == 0
                && let Some(value) = values.get(constant(instruction) as usize)
                && let Some(word) = wanted(constant(second), *value)
            {
                instruction[4..].copy_from_slice(&(word as u32).to_le_bytes());
                second[4..].copy_from_slice(&((word >> 32) as u32).to_le_bytes());
            }
        } else if instruction[0] & !SIZE_MASK == LOAD {
            let offset = i16::from_le_bytes([instruction[2], instruction[3]]);
            let field = offset.checked_sub(mark::LOAD).map(usize::try_from);
            if let Some(Ok(field)) = field
                && let Some(value) = values.get(field)
            {
                let offset = i16::try_from(*value).unwrap_or(NOWHERE);
                instruction[2..4].copy_from_slice(&offset.to_le_bytes());
            }
        }
    }
}

/// What belongs in a constant whose high half is `mark`; `None` if that is no mark.
fn wanted(mark: u32, value: u32) -> Option<u64> {
    match u64::from(mark) << 32 {
        mark::VALUE => Some(u64::from(value)),
        // No bit of a field that is absent, which is far more than 63.
        mark::BIT => Some(1_u64.checked_shl(value).unwrap_or(0)),
        _ => None,
    }
}

fn constant(instruction: &[u8; INSTRUCTION_BYTES]) -> u32 {
    let [.., a, b, c, d] = *instruction;
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use memtrace_ebpf::{layout::ABSENT, readers::ReaderTable, run::RunTable};

    use std::collections::BTreeSet;

    use super::*;
    use crate::kernel::{layout, programs::OBJECT};

    fn assembled(instructions: &[(u8, u8, i16, u32)]) -> Vec<u8> {
        instructions
            .iter()
            .flat_map(|(code, registers, offset, constant)| {
                let mut bytes = vec![*code, *registers];
                bytes.extend(offset.to_le_bytes());
                bytes.extend(constant.to_le_bytes());
                bytes
            })
            .collect()
    }

    const VALUE_HIGH: u32 = (mark::VALUE >> 32) as u32;
    const BIT_HIGH: u32 = (mark::BIT >> 32) as u32;

    #[test]
    fn marks_are_replaced_and_nothing_else_is() {
        let values = [24, ABSENT, 5, 40_000];
        let mut code = assembled(&[
            // r2 = the first field; r3 = the bit of the third; r4 = the bit of one that is absent.
            (0x18, 0x02, 0, 0),
            (0, 0, 0, VALUE_HIGH),
            (0x18, 0x03, 0, 2),
            (0, 0, 0, BIT_HIGH),
            (0x18, 0x04, 0, 1),
            (0, 0, 0, BIT_HIGH),
            // A map's address, whose second half looks like anything.
            (0x18, 0x11, 0, 0),
            (0, 0, 0, BIT_HIGH),
            // Loads of 8, 4, 2 and 1 bytes; the second from nowhere, the third from too far.
            (0x79, 0x61, mark::LOAD, 0),
            (0x61, 0x61, mark::LOAD + 1, 0),
            (0x69, 0x61, mark::LOAD + 3, 0),
            (0x71, 0x61, mark::LOAD + 2, 0),
            // A load of our own, a store, and a constant that only looks like an offset.
            (0x79, 0x61, 0x30, 0),
            (0x7b, 0x61, mark::LOAD, 0),
            (0xb7, 0x01, 0, mark::LOAD as u32),
        ]);
        relocate(&mut code, &values);
        let expected = assembled(&[
            (0x18, 0x02, 0, 24),
            (0, 0, 0, 0),
            (0x18, 0x03, 0, 1 << 5),
            (0, 0, 0, 0),
            (0x18, 0x04, 0, 0),
            (0, 0, 0, 0),
            (0x18, 0x11, 0, 0),
            (0, 0, 0, BIT_HIGH),
            (0x79, 0x61, 24, 0),
            (0x61, 0x61, NOWHERE, 0),
            (0x69, 0x61, NOWHERE, 0),
            (0x71, 0x61, 5, 0),
            (0x79, 0x61, 0x30, 0),
            (0x7b, 0x61, mark::LOAD, 0),
            (0xb7, 0x01, 0, mark::LOAD as u32),
        ]);
        assert_eq!(code, expected);
    }

    #[test]
    fn no_mark_stays_in_the_object() {
        let mut layout = Layout::absent();
        for field in Layout::FIELDS {
            layout.set(field, 7);
        }
        let object = relocated(OBJECT, &layout).unwrap();
        assert_ne!(object, OBJECT);
        for mark in [VALUE_HIGH, BIT_HIGH] {
            let is_mark = |bytes: &[u8]| bytes == mark.to_le_bytes();
            assert!(OBJECT.windows(4).any(is_mark));
            assert!(!object.windows(4).any(is_mark), "{mark:x}");
        }
        assert_eq!(
            relocated(&object, &Layout::absent()).unwrap(),
            object,
            "a second pass finds nothing"
        );
    }

    /// Else the hook would be refused on that kernel.
    #[test]
    fn every_member_that_a_load_names_is_near_enough_on_every_kernel() {
        let file = object::File::parse(OBJECT).unwrap();
        let code = file
            .sections()
            .filter(|one| one.kind() == SectionKind::Text);
        let fields: BTreeSet<usize> = code
            .flat_map(|section| section.data().unwrap().as_chunks::<INSTRUCTION_BYTES>().0)
            .filter(|instruction| instruction[0] & !SIZE_MASK == LOAD)
            .filter_map(|instruction| {
                let offset = i16::from_le_bytes([instruction[2], instruction[3]]);
                usize::try_from(offset.checked_sub(mark::LOAD)?).ok()
            })
            .filter(|field| *field < Layout::FIELDS.len())
            .collect();
        assert!(fields.len() > 40, "{fields:?}");
        for (kernel, resolved) in layout::tests::resolved() {
            for field in &fields {
                let (name, value) = (Layout::FIELDS[*field], resolved.layout.values()[*field]);
                let near = value == ABSENT || i16::try_from(value).is_ok();
                assert!(near, "{name} is {value} bytes away on {kernel}");
            }
        }
    }

    #[test]
    fn no_offset_of_ours_is_a_mark() {
        for bytes in [size_of::<ReaderTable>(), size_of::<RunTable>()] {
            assert!(bytes < mark::LOAD as usize);
        }
        assert!(i16::try_from(mark::LOAD as usize + Layout::FIELDS.len()).is_ok());
    }
}
