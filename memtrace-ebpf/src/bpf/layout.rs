//! The kernel's layout as userspace resolved it, and loads by it.

use core::{arch::asm, mem::transmute_copy};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use memtrace_ebpf::layout::{ABSENT, mark};

/// A field of [`Layout`](memtrace_ebpf::layout::Layout), by its number. Its value is not in the object
/// but a mark is, in the instructions that use it, and userspace puts the value there before loading
/// ([`mark`]): to the verifier it is a constant, and on the hot paths it costs nothing.
#[derive(Clone, Copy)]
pub struct Field<const N: usize>;

/// One [`Field`](crate::layout::Field).
macro_rules! layout {
    ($field:ident) => {
        $crate::layout::Field::<
            { core::mem::offset_of!(memtrace_ebpf::layout::Layout, $field) / size_of::<u32>() },
        >
    };
}

/// Whether a field is known. Constant to the verifier: the other branch is pruned.
macro_rules! present {
    ($field:ident) => {
        $crate::layout::layout!($field).is_present()
    };
}

/// Whether a switch is on.
macro_rules! enabled {
    ($field:ident) => {
        $crate::layout::layout!($field).value() == 1
    };
}

pub(crate) use {enabled, layout, present};

impl<const N: usize> Field<N> {
    /// The value.
    #[inline(always)]
    pub fn value(self) -> u64 {
        let value: u64;
        // SAFETY: one instruction that sets a register to a constant.
        unsafe {
            asm!("{0} = {1} ll", out(reg) value, const mark::VALUE + N as u64,
                options(pure, nomem, nostack, preserves_flags));
        }
        value
    }

    /// The value as a bit number: a word with that bit, or without any if the field is absent.
    #[inline(always)]
    pub fn bit(self) -> u64 {
        let bit: u64;
        // SAFETY: as above.
        unsafe {
            asm!("{0} = {1} ll", out(reg) bit, const mark::BIT + N as u64,
                options(pure, nomem, nostack, preserves_flags));
        }
        bit
    }

    /// Whether it is known.
    #[inline(always)]
    pub fn is_present(self) -> bool {
        self.value() != ABSENT as u64
    }
}

/// Where a member is in its structure.
pub trait Offset: Copy {
    /// Bytes from the start.
    fn bytes(self) -> u64;

    /// Loads the member through a pointer that the verifier knows by BTF. `T` must have the member's
    /// size, at most 8 bytes. The kernel turns a fault into 0, so a null pointer in the chain reads as 0.
    ///
    /// # Safety
    /// `base` must come from a program's argument or from such a load.
    unsafe fn load<T: Copy>(self, base: *const u8) -> T;
}

/// A load whose offset is a mark.
macro_rules! load {
    ($size:literal, $base:expr) => {{
        let word: u64;
        // Not pure: the compiler must neither move nor merge what it is not told the meaning of.
        asm!(concat!("{0} = *(", $size, " *)({1} + {2})"), out(reg) word, in(reg) $base,
            const mark::LOAD + N as i16, options(readonly, nostack, preserves_flags));
        word
    }};
}

impl<const N: usize> Offset for Field<N> {
    #[inline(always)]
    fn bytes(self) -> u64 {
        self.value()
    }

    #[inline(always)]
    unsafe fn load<T: Copy>(self, base: *const u8) -> T {
        const { assert!(size_of::<T>() <= 8) };
        // SAFETY: the verifier checks base and offset against BTF, and refuses the program otherwise;
        // the word's low bytes are the member's on this little-endian target.
        unsafe {
            let word = match size_of::<T>() {
                1 => load!("u8", base),
                2 => load!("u16", base),
                4 => load!("u32", base),
                _ => load!("u64", base),
            };
            transmute_copy(&word)
        }
    }
}

/// An offset that is computed.
impl Offset for u64 {
    #[inline(always)]
    fn bytes(self) -> u64 {
        self
    }

    #[inline(always)]
    unsafe fn load<T: Copy>(self, base: *const u8) -> T {
        // SAFETY: as above. Volatile keeps LLVM from widening, splitting or merging the load.
        unsafe { core::ptr::read_volatile(base.add(self as usize).cast::<T>()) }
    }
}

/// Loads a member, as [`Offset::load`].
///
/// # Safety
/// As there.
#[inline(always)]
pub unsafe fn load<T: Copy>(base: *const u8, offset: impl Offset) -> T {
    // SAFETY: as the caller promises.
    unsafe { offset.load(base) }
}

/// Loads a pointer member, which the verifier goes on knowing by BTF.
///
/// # Safety
/// As [`Offset::load`].
#[inline(always)]
pub unsafe fn load_pointer(base: *const u8, offset: impl Offset) -> *const u8 {
    // SAFETY: as the caller promises.
    unsafe { offset.load(base) }
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
pub fn probe_at<T: Copy + Default>(address: u64, offset: impl Offset) -> T {
    probe(address.wrapping_add(offset.bytes()))
}
