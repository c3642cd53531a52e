//! Questions to a kernel's BTF: where a member is, what an enumerator is worth, what a tracepoint
//! passes.
//!
//! Every answer survives a damaged blob: chains and nesting are followed to `MAX_DEPTH` at most,
//! as the kernel itself does (kernel/bpf/btf.c, `MAX_RESOLVE_DEPTH`), and one search looks at
//! `MAX_MEMBERS` at most.

use super::{Btf, Kind, Type};

const MAX_DEPTH: u32 = 32;
/// Far more than the largest struct of a kernel has (some 300 members).
const MAX_MEMBERS: u32 = 1 << 16;
/// BTF does not tell; memtrace runs on 64-bit kernels only.
const POINTER_BYTES: u64 = 8;

/// Why there is no answer. Written for people: it ends up in `memtrace doctor`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No struct or union of that name.
    #[error("this kernel has no struct `{0}`")]
    NoStruct(String),
    /// The struct exists, the member does not.
    #[error("this kernel has no member `{0}`")]
    NoMember(String),
    /// No enumeration has such a value.
    #[error("this kernel has no enumerator `{0}`")]
    NoEnumerator(String),
    /// The name stands for different things, and nothing tells which one is meant.
    #[error("this kernel has several different `{0}`")]
    Ambiguous(String),
    /// An index into something that has no such element.
    #[error("`{0}` is beyond the end of its array, or of no array at all")]
    NoElement(String),
    /// The blob contradicts itself.
    #[error("the kernel's BTF is damaged at `{0}`")]
    Damaged(String),
}

/// A member of a struct, however deep inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bytes from the start of the outermost struct; of a bitfield, of the byte it begins in.
    pub offset_bytes: u32,
    /// Size of its type in bytes.
    pub size_bytes: u32,
    /// Only for a bitfield: its first bit within that byte, and how many bits it has.
    pub bits: Option<(u8, u8)>,
}

/// Where a search has got to.
#[derive(Clone, Copy)]
struct Place {
    offset_bits: u64,
    bit_size: u8,
    type_id: u32,
}

impl<'a> Btf<'a> {
    /// Whether the kernel defines a struct.
    pub fn has_struct(&self, name: &str) -> bool {
        self.ids(Kind::Struct, name).next().is_some()
    }

    /// Whether the kernel has a function that BTF describes. It may still be inlined everywhere.
    pub fn has_func(&self, name: &str) -> bool {
        self.func_ids(name).next().is_some()
    }

    /// Size in bytes of a struct; `None` if there is none, or several that differ.
    pub fn struct_bytes(&self, name: &str) -> Option<u32> {
        let mut sizes = self.ids(Kind::Struct, name).map(|id| self.type_by_id(id));
        let first = sizes.next()??.size_or_type;
        sizes
            .all(|ty| ty.is_some_and(|ty| ty.size_or_type == first))
            .then_some(first)
    }

    /// Finds a member by a path from a struct or union: `folio.flags.f`. Anonymous structs and
    /// unions need not be named, typedefs and qualifiers are looked through, pointers are not. An
    /// array is indexed by an enumerator: `css_set.subsys[memory_cgrp_id]`.
    ///
    /// # Errors
    /// [`LookupError`] if some part of the path does not exist or is not unique.
    pub fn member(&self, path: &str) -> Result<Member, LookupError> {
        let (root, rest) = path.split_once('.').unwrap_or((path, ""));
        let ids = [Kind::Struct, Kind::Union].map(|kind| self.ids(kind, root));
        let mut found = ids
            .into_iter()
            .flatten()
            .map(|id| self.walk(id, rest, path));
        let first = found
            .next()
            .ok_or_else(|| LookupError::NoStruct(root.into()))?;
        if found.any(|other| other != first) {
            return Err(LookupError::Ambiguous(root.into()));
        }
        first
    }

    fn walk(&self, id: u32, rest: &str, path: &str) -> Result<Member, LookupError> {
        let damaged = || LookupError::Damaged(path.into());
        let mut place = Place {
            offset_bits: 0,
            bit_size: 0,
            type_id: id,
        };
        for step in rest.split('.') {
            let (name, index) = step.split_once('[').unwrap_or((step, ""));
            let mut budget = MAX_MEMBERS;
            place = self
                .find(place, name.as_bytes(), MAX_DEPTH, &mut budget)
                .map_err(|TooDeep| damaged())?
                .ok_or_else(|| LookupError::NoMember(path.into()))?;
            if let Some(enumerator) = index.strip_suffix(']') {
                let index = self.enumerator(enumerator)?;
                let no_element = || LookupError::NoElement(path.into());
                place = self.element(place, index).ok_or_else(no_element)?;
            }
        }
        let byte = u32::try_from(place.offset_bits / 8).map_err(|_| damaged())?;
        let bit = (place.offset_bits % 8) as u8;
        let size = self.type_bytes(place.type_id).ok_or_else(damaged)?;
        Ok(Member {
            offset_bytes: byte,
            size_bytes: u32::try_from(size).map_err(|_| damaged())?,
            bits: (place.bit_size != 0 || bit != 0).then_some((bit, place.bit_size)),
        })
    }

    /// Depth first, as C's rule for anonymous members wants it.
    fn find(
        &self,
        from: Place,
        name: &[u8],
        depth: u32,
        budget: &mut u32,
    ) -> Result<Option<Place>, TooDeep> {
        let Some(ty) = self.strip(from.type_id) else {
            return Err(TooDeep);
        };
        if !matches!(ty.kind, Kind::Struct | Kind::Union) {
            return Ok(None);
        }
        let depth = depth.checked_sub(1).ok_or(TooDeep)?;
        for [name_offset, type_id, offset] in ty.rows() {
            *budget = budget.checked_sub(1).ok_or(TooDeep)?;
            // With the flag, a member's offset holds the size of its bitfield in the high byte.
            let (bit_size, offset) = match ty.kind_flag {
                true => ((offset >> 24) as u8, offset & 0x00ff_ffff),
                false => (0, offset),
            };
            let offset_bits = from.offset_bits.saturating_add(offset.into());
            let place = Place {
                offset_bits,
                bit_size,
                type_id,
            };
            if name_offset == 0 {
                if let Some(found) = self.find(place, name, depth, budget)? {
                    return Ok(Some(found));
                }
            } else if self.is_named(name_offset, name) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn element(&self, array: Place, index: i128) -> Option<Place> {
        let ty = self
            .strip(array.type_id)
            .filter(|ty| ty.kind == Kind::Array)?;
        let [type_id, _, length] = ty.rows().next()?;
        let index = u64::try_from(index)
            .ok()
            .filter(|index| *index < u64::from(length))?;
        let offset_bits = index
            .checked_mul(8)?
            .checked_mul(self.type_bytes(type_id)?)?;
        let offset_bits = array.offset_bits.checked_add(offset_bits)?;
        Some(Place {
            offset_bits,
            bit_size: 0,
            type_id,
        })
    }

    /// The type behind typedefs, qualifiers and tags; `None` if the chain is broken or endless.
    pub fn strip(&self, id: u32) -> Option<Type<'a>> {
        let mut ty = self.type_by_id(id)?;
        for _ in 0..MAX_DEPTH {
            if ty.kind != Kind::Typedef && !is_qualifier(ty.kind) {
                return Some(ty);
            }
            ty = self.type_by_id(ty.size_or_type)?;
        }
        None
    }

    fn type_bytes(&self, id: u32) -> Option<u64> {
        let (mut id, mut count) = (id, 1u64);
        for _ in 0..MAX_DEPTH {
            let ty = self.strip(id)?;
            let bytes = match ty.kind {
                Kind::Int | Kind::Float | Kind::Enum | Kind::Enum64 => ty.size_or_type.into(),
                Kind::Struct | Kind::Union => ty.size_or_type.into(),
                Kind::Ptr => POINTER_BYTES,
                Kind::Array => {
                    let [element, _, length] = ty.rows().next()?;
                    (id, count) = (element, count.checked_mul(length.into())?);
                    continue;
                }
                _ => return None,
            };
            return count.checked_mul(bytes);
        }
        None
    }

    /// The value of an enumerator, whichever enumeration it belongs to, anonymous ones included.
    ///
    /// # Errors
    /// [`LookupError`] if there is none, or if two of that name have different values.
    pub fn enumerator(&self, name: &str) -> Result<i128, LookupError> {
        let mut found = self.enums().flat_map(|ty| self.values(ty, name.as_bytes()));
        let first = found
            .next()
            .ok_or_else(|| LookupError::NoEnumerator(name.into()))?;
        if found.any(|other| other != first) {
            return Err(LookupError::Ambiguous(name.into()));
        }
        Ok(first)
    }

    fn values(&self, ty: Type<'a>, name: &[u8]) -> impl Iterator<Item = i128> {
        let (narrow, wide) = match ty.kind {
            Kind::Enum64 => (None, Some(ty.rows())),
            _ => (Some(ty.rows()), None),
        };
        let signed = ty.kind_flag;
        let narrow = narrow.into_iter().flatten().map(move |[name, value]| {
            (
                name,
                if signed {
                    i128::from(value.cast_signed())
                } else {
                    value.into()
                },
            )
        });
        let wide = wide.into_iter().flatten().map(move |[name, low, high]| {
            let value = u64::from(high) << 32 | u64::from(low);
            (
                name,
                if signed {
                    i128::from(value.cast_signed())
                } else {
                    value.into()
                },
            )
        });
        let all = narrow.chain(wide);
        all.filter(move |(at, _)| self.is_named(*at, name))
            .map(|(_, value)| value)
    }

    /// What a tracepoint passes to a BPF program, as C type names without qualifiers
    /// (`struct folio *`, `int`, `gfp_t`): the arguments of `btf_trace_NAME` after the leading
    /// `void *` that is the tracer's own (include/trace/bpf_probe.h, `__DEFINE_EVENT`).
    ///
    /// `None` if there is no such tracepoint, or if definitions differ.
    pub fn tracepoint_args(&self, tracepoint: &str) -> Option<Vec<String>> {
        let name = format!("btf_trace_{tracepoint}");
        let mut found = self.ids(Kind::Typedef, &name).map(|id| self.arguments(id));
        let first = found.next()??;
        found
            .all(|other| other.as_ref() == Some(&first))
            .then_some(first)
    }

    /// A function's type as C writes it, names and qualifiers left out:
    /// `void (struct folio *, void *)`. Integers go by their short names (`unsigned long`), which
    /// compilers spell differently in BTF.
    ///
    /// `None` if there is no such function, or if several of that name differ.
    pub fn prototype(&self, function: &str) -> Option<String> {
        let functions = self.func_ids(function);
        let mut found = functions.map(|id| self.signature(&self.type_by_id(id)?));
        let first = found.next()??;
        found
            .all(|other| other.as_ref() == Some(&first))
            .then_some(first)
    }

    fn signature(&self, function: &Type<'a>) -> Option<String> {
        let prototype = self
            .strip(function.size_or_type)
            .filter(|ty| ty.kind == Kind::FuncProto)?;
        let result = self.type_name(prototype.size_or_type, MAX_DEPTH)?;
        let arguments: Option<Vec<String>> = prototype
            .rows()
            .map(|[_, type_id]| self.type_name(type_id, MAX_DEPTH))
            .collect();
        Some(format!("{result} ({})", arguments?.join(", ")))
    }

    fn arguments(&self, typedef: u32) -> Option<Vec<String>> {
        let pointer = self.strip(typedef).filter(|ty| ty.kind == Kind::Ptr)?;
        let prototype = self
            .strip(pointer.size_or_type)
            .filter(|ty| ty.kind == Kind::FuncProto)?;
        let arguments = prototype.rows().skip(1);
        arguments
            .map(|[_, type_id]| self.type_name(type_id, MAX_DEPTH))
            .collect()
    }

    fn type_name(&self, id: u32, depth: u32) -> Option<String> {
        let depth = depth.checked_sub(1)?;
        let ty = self.type_by_id(id)?;
        let prefix = match ty.kind {
            kind if is_qualifier(kind) => return self.type_name(ty.size_or_type, depth),
            Kind::Ptr => {
                let target = self.type_name(ty.size_or_type, depth)?;
                let space = if target.ends_with('*') { "" } else { " " };
                return Some(format!("{target}{space}*"));
            }
            Kind::Void => return Some("void".into()),
            Kind::FuncProto => return Some("function".into()),
            Kind::Struct => "struct ",
            Kind::Union => "union ",
            Kind::Enum | Kind::Enum64 => "enum ",
            Kind::Fwd if ty.kind_flag => "union ",
            Kind::Fwd => "struct ",
            _ => "",
        };
        let name = String::from_utf8_lossy(self.string(ty.name_offset)?);
        let name = match (ty.kind, name.as_ref()) {
            (Kind::Int, "long unsigned int") => "unsigned long",
            (Kind::Int, "long int") => "long",
            (Kind::Int, "long long unsigned int") => "unsigned long long",
            (Kind::Int, "long long int") => "long long",
            (_, name) => name,
        };
        Some(format!("{prefix}{name}"))
    }
}

/// The nesting or the number of members is beyond anything a compiler writes.
struct TooDeep;

fn is_qualifier(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag
    )
}
