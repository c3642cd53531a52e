//! How a program may read the kernel's memory: one body serves the programs whose arguments the
//! verifier knows by BTF, and those that get bare registers.

use crate::layout::{Offset, probe_at};

/// A way to read a member of a kernel structure. A null or bad `base` reads as 0.
pub trait Memory: Copy {
    /// Loads a member. `T` must have the member's size.
    ///
    /// # Safety
    /// As the way asks: [`Typed`] wants a BTF pointer, [`Probed`] takes any address.
    unsafe fn load<T: Copy + Default>(base: *const u8, offset: impl Offset) -> T;

    /// Loads a pointer member, to be read on in the same way.
    ///
    /// # Safety
    /// As [`load`](Self::load).
    unsafe fn load_pointer(base: *const u8, offset: impl Offset) -> *const u8;
}

/// By plain loads, in `tp_btf`, `fentry` and `fexit` programs: the verifier knows the type of every
/// pointer from the arguments on. Works under lockdown too.
#[derive(Clone, Copy)]
pub struct Typed;

/// By `bpf_probe_read_kernel`, in kprobes and for pointers that the verifier knows nothing of.
#[derive(Clone, Copy)]
pub struct Probed;

impl Memory for Typed {
    #[inline(always)]
    unsafe fn load<T: Copy + Default>(base: *const u8, offset: impl Offset) -> T {
        // SAFETY: a BTF pointer, as the caller promises.
        unsafe { offset.load(base) }
    }

    #[inline(always)]
    unsafe fn load_pointer(base: *const u8, offset: impl Offset) -> *const u8 {
        // SAFETY: a BTF pointer, as the caller promises.
        unsafe { offset.load(base) }
    }
}

impl Memory for Probed {
    #[inline(always)]
    unsafe fn load<T: Copy + Default>(base: *const u8, offset: impl Offset) -> T {
        probe_at(base as u64, offset)
    }

    #[inline(always)]
    unsafe fn load_pointer(base: *const u8, offset: impl Offset) -> *const u8 {
        probe_at::<u64>(base as u64, offset) as *const u8
    }
}
