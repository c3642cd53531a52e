//! The kernel's layout as userspace resolved it, and loads by it.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use memtrace_ebpf::layout::Layout;

/// Set by userspace before loading; frozen, so the verifier sees constants.
#[unsafe(no_mangle)]
pub static LAYOUT: Layout = Layout::absent();

/// One field of [`LAYOUT`].
macro_rules! layout {
    ($field:ident) => {
        $crate::layout::constant(&$crate::layout::LAYOUT.$field)
    };
}

/// Reads a word of [`LAYOUT`]. Volatile, so that the compiler does not fold the initial value in:
/// the loader replaces it.
#[inline(always)]
pub fn constant(word: &'static u32) -> u32 {
    // SAFETY: an aligned u32 of an immutable static.
    unsafe { core::ptr::read_volatile(word) }
}

/// Whether a field of [`LAYOUT`] is known. Constant to the verifier: the other branch is pruned.
macro_rules! present {
    ($field:ident) => {
        $crate::layout::layout!($field) != memtrace_ebpf::layout::ABSENT
    };
}

/// Whether a switch of [`LAYOUT`] is on.
macro_rules! enabled {
    ($field:ident) => {
        $crate::layout::layout!($field) == 1
    };
}

pub(crate) use {enabled, layout, present};

/// Loads a member through a pointer that the verifier knows by BTF. `T` must have the member's
/// size. The kernel turns a fault into 0, so a null pointer in the chain reads as 0.
///
/// # Safety
/// `base` must come from a program's argument or from such a load.
#[inline(always)]
pub unsafe fn load<T: Copy>(base: *const u8, offset: u32) -> T {
    // SAFETY: the verifier checks base and offset against BTF, and refuses the program otherwise.
    // Volatile keeps LLVM from widening, splitting or merging the load.
    unsafe { core::ptr::read_volatile(base.add(offset as usize).cast::<T>()) }
}

/// Loads a pointer member, which the verifier goes on knowing by BTF.
///
/// # Safety
/// As [`load`].
#[inline(always)]
pub unsafe fn load_pointer(base: *const u8, offset: u32) -> *const u8 {
    // SAFETY: as the caller promises.
    unsafe { load::<*const u8>(base, offset) }
}

/// Reads a word at a plain address; 0 if it cannot be read or reading is not allowed.
#[inline(always)]
pub fn probe<T: Copy + Default>(address: u64) -> T {
    let mut value = T::default();
    if enabled!(probe_read) {
        // SAFETY: the helper writes size_of::<T>() bytes to `value`, or zeroes it when it fails.
        unsafe {
            bpf_probe_read_kernel(
                (&raw mut value).cast(),
                size_of::<T>() as u32,
                address as *const _,
            );
        }
    }
    value
}

/// Reads a word at `address + offset`.
#[inline(always)]
pub fn probe_at<T: Copy + Default>(address: u64, offset: u32) -> T {
    probe(address.wrapping_add(u64::from(offset)))
}
