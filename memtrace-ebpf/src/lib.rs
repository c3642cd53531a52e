//! What the BPF programs and userspace agree on: the records that travel from one to the other,
//! the per-CPU state that both can read, and the kernel layout that userspace hands down.
//!
//! Everything here is `repr(C)`, `Copy` and free of implicit padding, so that a record's bytes are
//! the same on both sides. Sizes are asserted at compile time.
#![no_std]

pub mod exact;
pub mod hook;
pub mod layout;
pub mod readers;
pub mod record;
pub mod run;

/// Marks a `repr(C)` type as plain data for both sides, and pins its size.
///
/// The size assertion is what keeps a field from being added with hidden padding: every byte must
/// be accounted for by a named field.
macro_rules! shared {
    ($type:ty, $size:expr) => {
        const _: () = assert!(
            core::mem::size_of::<$type>() == $size,
            "a shared type changed its size"
        );
        const _: () = assert!(
            core::mem::align_of::<$type>() <= 8,
            "the ring buffer aligns records to 8 bytes"
        );
        // SAFETY: the type is `repr(C)` and `Copy`, has no padding (its size is the sum of its
        // fields, asserted above) and every bit pattern is a valid value.
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $type {}
    };
}
pub(crate) use shared;
