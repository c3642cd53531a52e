//! Reads BTF, the kernel's own description of its types (Documentation/bpf/btf.rst,
//! include/uapi/linux/btf.h), as found in `/sys/kernel/btf/vmlinux`.
//!
//! A kernel's BTF holds 100,000 to 200,000 types of which memtrace needs some forty, and the agent
//! reads it at every start. So nothing is copied or decoded ahead of time: parsing notes where each
//! type begins and indexes those that have a name; everything else is decoded from the borrowed
//! bytes when somebody asks ([`lookup`]).

pub mod lookup;
mod sparse;

use std::collections::{HashMap, hash_map::Entry};

const MAGIC: u16 = 0xeb9f;
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 24;

/// Why a blob cannot be read as BTF.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The first two bytes are not BTF's magic number.
    #[error("not BTF: it begins with {0:#06x} instead of {MAGIC:#06x}")]
    Magic(u16),
    /// A big-endian kernel wrote it.
    #[error("big-endian BTF: memtrace supports little-endian kernels only")]
    BigEndian,
    /// A format that does not exist yet.
    #[error("BTF version {0} is unknown: only version {VERSION} is")]
    Version(u8),
    /// It ends before what the header promises.
    #[error("the BTF is truncated: its {what} should end at byte {end}, but it has {have} bytes")]
    Truncated {
        /// Header, type section or string section.
        what: &'static str,
        /// Where the part should end.
        end: u64,
        /// How many bytes there are.
        have: usize,
    },
    /// Without knowing a kind, the length of its record is unknown, and so is all that follows.
    #[error("type {id} is of kind {kind}, which this version of memtrace does not know")]
    UnknownKind {
        /// The type.
        id: u32,
        /// Its kind.
        kind: u8,
    },
    /// A record that contradicts the rest.
    #[error("the BTF is damaged: type {id} {what}")]
    Damaged {
        /// The type.
        id: u32,
        /// What is wrong with it.
        what: &'static str,
    },
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $number:literal,)*) => {
        /// What a type is: `BTF_KIND_*`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$doc])* $kind = $number,)* }

        impl Kind {
            fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$kind),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// Type 0, which has no record.
    Void = 0,
    /// Integer, bool or char.
    Int = 1,
    /// Pointer.
    Ptr = 2,
    /// Array.
    Array = 3,
    /// Structure.
    Struct = 4,
    /// Union.
    Union = 5,
    /// Enumeration of 32-bit values (or fewer).
    Enum = 6,
    /// Structure or union that is only declared.
    Fwd = 7,
    /// Another name of a type.
    Typedef = 8,
    /// `volatile`.
    Volatile = 9,
    /// `const`.
    Const = 10,
    /// `restrict`.
    Restrict = 11,
    /// Function.
    Func = 12,
    /// Arguments and result of a function.
    FuncProto = 13,
    /// Variable.
    Var = 14,
    /// ELF section.
    DataSec = 15,
    /// Floating-point number.
    Float = 16,
    /// Attribute of a declaration.
    DeclTag = 17,
    /// Attribute of a type (`__rcu`, `__percpu`).
    TypeTag = 18,
    /// Enumeration of 64-bit values.
    Enum64 = 19,
}

/// One type's record, still encoded.
#[derive(Clone, Copy, Debug)]
pub struct Type<'a> {
    /// Its number.
    pub id: u32,
    /// What it is.
    pub kind: Kind,
    /// Its meaning depends on the kind: bitfields in a struct, a union among forward declarations,
    /// signed values in an enum.
    pub kind_flag: bool,
    /// How many items follow; of a function, its linkage.
    pub vlen: u16,
    /// Where its name begins in the string section; 0 if it has none.
    pub name_offset: u32,
    /// Size in bytes, or the type referred to; which one depends on the kind.
    pub size_or_type: u32,
    /// The items that follow the common part: members, enumerators, parameters, ...
    pub items: &'a [u8],
}

impl<'a> Type<'a> {
    /// Bytes of the part that all kinds share (`struct btf_type`).
    pub const COMMON_BYTES: usize = 12;

    fn read(types: &'a [u8], at: usize, id: u32) -> Result<Self, BtfError> {
        let damaged = |what| BtfError::Damaged { id, what };
        let short = || damaged("reaches beyond the type section");
        let record = types.get(at..).ok_or_else(short)?;
        let info = word(record, 4).ok_or_else(short)?;
        let number = (info >> 24) as u8 & 0x1f;
        let vlen = info as usize & 0xffff;
        let kind = Kind::from_number(number).ok_or(BtfError::UnknownKind { id, kind: number })?;
        let items_bytes = match kind {
            Kind::Void => return Err(damaged("is void, which has no record")),
            Kind::Int | Kind::Var | Kind::DeclTag => 4,
            Kind::Array => 12,
            Kind::Struct | Kind::Union | Kind::DataSec | Kind::Enum64 => 12 * vlen,
            Kind::Enum | Kind::FuncProto => 8 * vlen,
            Kind::Ptr | Kind::Fwd | Kind::Typedef | Kind::Volatile | Kind::Const => 0,
            Kind::Restrict | Kind::Func | Kind::Float | Kind::TypeTag => 0,
        };
        Ok(Self {
            id,
            kind,
            kind_flag: info >> 31 == 1,
            vlen: vlen as u16,
            name_offset: word(record, 0).ok_or_else(short)?,
            size_or_type: word(record, 8).ok_or_else(short)?,
            items: record
                .get(Self::COMMON_BYTES..Self::COMMON_BYTES + items_bytes)
                .ok_or_else(short)?,
        })
    }

    /// The items as rows of 32-bit words: of a struct 3 (name, type, offset), of an enum 2 (name,
    /// value) or, with 64 bits, 3 (name, low, high), of a prototype 2 (name, type), of an array one
    /// row of 3 (element, index type, length).
    pub fn rows<const N: usize>(&self) -> impl Iterator<Item = [u32; N]> + use<'a, N> {
        self.items.chunks_exact(4 * N).map(|row| {
            std::array::from_fn(|i| word(row, 4 * i).expect("a row is 4 * N bytes long"))
        })
    }
}

/// A kernel's types, borrowed from the bytes of its BTF.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where in `types` each type begins, by its number; type 0 is `void` and has no record.
    starts: Vec<u32>,
    index: HashMap<(Kind, &'a [u8]), u32>,
    /// Types beyond the first of their kind and name: few, and hardly ever asked for.
    duplicates: Vec<u32>,
    /// Name and number of each function. They are half of all names and few are asked for, so an
    /// index would take longer to make than it saves.
    funcs: Vec<(u32, u32)>,
    enums: Vec<u32>,
}

impl<'a> Btf<'a> {
    /// Takes in a whole blob: header, type section, string section.
    ///
    /// # Errors
    /// [`BtfError`] if the blob is not little-endian BTF, or is truncated or damaged in a way that
    /// concerns its framing. Damage inside a type shows when that type is looked up.
    pub fn parse(blob: &'a [u8]) -> Result<Self, BtfError> {
        let header = blob.get(..HEADER_BYTES).ok_or(BtfError::Truncated {
            what: "header",
            end: HEADER_BYTES as u64,
            have: blob.len(),
        })?;
        match u16::from_le_bytes([header[0], header[1]]) {
            MAGIC => (),
            magic if magic.swap_bytes() == MAGIC => return Err(BtfError::BigEndian),
            magic => return Err(BtfError::Magic(magic)),
        }
        if header[2] != VERSION {
            return Err(BtfError::Version(header[2]));
        }
        let field = |at| u64::from(word(header, at).expect("the header is 24 bytes long"));
        let section = |what, offset: u64, length: u64| {
            // The sections' offsets count from the end of the header, whose length may grow.
            let begin = field(4) + offset;
            let end = begin + length;
            let have = blob.len();
            let range = usize::try_from(begin).ok().zip(usize::try_from(end).ok());
            range
                .and_then(|(begin, end)| blob.get(begin..end))
                .ok_or(BtfError::Truncated { what, end, have })
        };
        let mut btf = Self {
            types: section("type section", field(8), field(12))?,
            strings: section("string section", field(16), field(20))?,
            starts: vec![0],
            index: HashMap::new(),
            duplicates: Vec::new(),
            funcs: Vec::new(),
            enums: Vec::new(),
        };
        btf.scan()?;
        Ok(btf)
    }

    fn scan(&mut self) -> Result<(), BtfError> {
        // Debian's kernels from 5.10 to 7.2 have 25 to 27 bytes a type, 13 to 15 % of them indexed.
        self.starts.reserve(self.types.len() / 25);
        self.index.reserve(self.types.len() / 160);
        self.funcs.reserve(self.types.len() / 60);
        let mut at = 0;
        while at < self.types.len() {
            let id = self.starts.len() as u32;
            let ty = Type::read(self.types, at, id)?;
            self.starts.push(at as u32);
            at += Type::COMMON_BYTES + ty.items.len();
            match ty.kind {
                Kind::Enum | Kind::Enum64 => self.enums.push(id),
                Kind::Func => self.funcs.push((ty.name_offset, id)),
                Kind::Struct | Kind::Union | Kind::Typedef if ty.name_offset != 0 => {
                    self.remember(&ty)?;
                }
                _ => (),
            }
        }
        Ok(())
    }

    fn remember(&mut self, ty: &Type<'a>) -> Result<(), BtfError> {
        let name = self.string(ty.name_offset).ok_or(BtfError::Damaged {
            id: ty.id,
            what: "has a name that lies outside the string section",
        })?;
        match self.index.entry((ty.kind, name)) {
            Entry::Vacant(free) => _ = free.insert(ty.id),
            Entry::Occupied(_) => self.duplicates.push(ty.id),
        }
        Ok(())
    }

    /// How many types there are, `void` included.
    pub fn type_count(&self) -> u32 {
        self.starts.len() as u32
    }

    /// A type by its number; `None` if there is no such type.
    pub fn type_by_id(&self, id: u32) -> Option<Type<'a>> {
        if id == 0 {
            return Some(Type {
                id,
                kind: Kind::Void,
                kind_flag: false,
                vlen: 0,
                name_offset: 0,
                size_or_type: 0,
                items: &[],
            });
        }
        let start = *self.starts.get(id as usize)?;
        Type::read(self.types, start as usize, id).ok()
    }

    /// All structs, unions or typedefs with a name: mostly one, since the kernel's
    /// build merges equal ones.
    pub fn ids(&self, kind: Kind, name: &str) -> impl Iterator<Item = u32> {
        let name = name.as_bytes();
        let first = self.index.get(&(kind, name)).copied();
        let others = if first.is_some() {
            &self.duplicates[..]
        } else {
            &[]
        };
        first
            .into_iter()
            .chain(others.iter().copied().filter(move |id| {
                let ty = self.type_by_id(*id);
                ty.is_some_and(|ty| ty.kind == kind && self.is_named(ty.name_offset, name))
            }))
    }

    /// All functions with a name: mostly one, but static functions of different files may share it.
    pub fn func_ids(&self, name: &str) -> impl Iterator<Item = u32> {
        self.funcs
            .iter()
            .filter(move |(offset, _)| self.is_named(*offset, name.as_bytes()))
            .map(|(_, id)| *id)
    }

    /// All enumerations, with and without a name.
    pub fn enums(&self) -> impl Iterator<Item = Type<'a>> {
        self.enums.iter().filter_map(|id| self.type_by_id(*id))
    }

    /// Whether this string is at an offset of the string section: quicker than to fetch it.
    pub fn is_named(&self, offset: u32, name: &[u8]) -> bool {
        let begin = offset as usize;
        let end = begin + name.len();
        // Its closing zero is in this place for few strings, and comparing whole ones takes a call.
        self.strings.get(end) == Some(&0) && self.strings.get(begin..end) == Some(name)
    }

    /// The string at an offset of the string section, without its closing zero.
    pub fn string(&self, offset: u32) -> Option<&'a [u8]> {
        let rest = self.strings.get(offset as usize..)?;
        let string = std::ffi::CStr::from_bytes_until_nul(rest).ok()?;
        Some(string.to_bytes())
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests;
