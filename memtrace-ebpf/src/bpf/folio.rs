//! Folios: how many pages, of what kind, of which file.

use core::marker::PhantomData;

use crate::{
    layout::{Field, layout, present, probe_at},
    memory::{Memory, Probed, Typed},
};

/// A folio (a `struct page` before 5.16) from a program's argument, read in the way that the kind
/// of program allows.
#[derive(Clone, Copy)]
pub struct Folio<M: Memory>(*const u8, PhantomData<M>);

impl Folio<Typed> {
    /// # Safety
    /// `pointer` must be an argument that the kernel declares as `struct folio *` or
    /// `struct page *`.
    #[inline(always)]
    pub unsafe fn new(pointer: *const u8) -> Self {
        Self(pointer, PhantomData)
    }
}

impl Folio<Probed> {
    /// A folio whose address a kprobe found in a register.
    #[inline(always)]
    pub fn at(address: *const u8) -> Self {
        Self(address, PhantomData)
    }
}

impl<M: Memory> Folio<M> {
    /// The word of page flags.
    #[inline(always)]
    pub fn flags(self) -> u64 {
        // SAFETY: the pointer is what `M` asks for by the constructors' contracts.
        unsafe { M::load(self.0, layout!(folio_flags)) }
    }

    /// Page index in its file.
    #[inline(always)]
    pub fn index(self) -> u64 {
        // SAFETY: as above.
        unsafe { M::load(self.0, layout!(folio_index)) }
    }

    /// The `address_space`, null if the folio has left it.
    #[inline(always)]
    pub fn mapping(self) -> *const u8 {
        // SAFETY: as above.
        unsafe { M::load_pointer(self.0, layout!(folio_mapping)) }
    }

    /// The word that names the owner: a number, or a typed pointer, by the kernel.
    #[inline(always)]
    pub fn memcg_data(self) -> *const u8 {
        // SAFETY: as above.
        unsafe { M::load_pointer(self.0, layout!(folio_memcg_data)) }
    }

    /// Base pages in the folio.
    #[inline(always)]
    pub fn pages(self, flags: u64, scratch: &mut u64) -> u64 {
        if !has_bit(flags, layout!(pg_head)) {
            return 1;
        }
        let pages = if present!(folio_nr_pages) {
            // SAFETY: as above.
            u64::from(unsafe { M::load::<u32>(self.0, layout!(folio_nr_pages)) })
        } else if present!(page_compound_nr) {
            // The count lives in the second `struct page`, which the verifier does not let us reach.
            u64::from(probe_at::<u32>(
                scalar(scratch, self.0),
                layout!(page_compound_nr),
            ))
        } else {
            0
        };
        // A large folio has at least two pages; 0 means that the count could not be read.
        if pages == 0 { 1 } else { pages }
    }
}

/// Whether a page flag is set.
#[inline(always)]
pub fn has_bit<const N: usize>(flags: u64, bit: Field<N>) -> bool {
    flags & bit.bit() != 0
}

/// Turns a typed pointer into a number. The verifier refuses arithmetic on the pointer, and LLVM
/// undoes a cast; a trip through memory it cannot see through settles it.
#[inline(always)]
pub fn scalar(scratch: &mut u64, pointer: *const u8) -> u64 {
    // SAFETY: `scratch` is a valid, exclusively borrowed u64.
    unsafe {
        core::ptr::write_volatile(scratch, pointer as u64);
        core::ptr::read_volatile(scratch)
    }
}
