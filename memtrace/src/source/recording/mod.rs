//! A file of [`Input`](crate::input::Input)s: everything the model consumed, in the order it
//! came, so that a replay computes what the live run computed.
//!
//! ```text
//! file   = header frame* end
//! header = magic "MEMTRACE" · format version u32 · crc32 of these 12 bytes u32
//! frame  = kind u32 · payload length u32 · crc32 u32 · payload
//! end    = a frame of kind 1, whose payload is the number of frames before it, u64
//! ```
//!
//! Numbers are little-endian. A frame of kind 0 holds one `Input` as a MessagePack map with field
//! names, so a field may be added with a default and old recordings stay readable; only a change
//! of the frames themselves needs a new version. The first is `Input::Facts`.
//!
//! The crc32 covers the frame's running number (u64, from 0, not stored), its kind, length and
//! payload: a frame that was changed, moved, dropped or doubled does not pass. The end frame tells
//! a whole file from one whose recorder was killed.
//!
//! A replay stops at the first damage. Later frames could often be found again, but totals that
//! lack one frame are wrong, while totals up to an instant are right and say up to when.

mod damage;
mod error;
mod frame;
mod read;
mod write;

pub use self::{
    damage::{Damage, DamageKind},
    error::{RecordError, ReplayError},
    frame::FORMAT_VERSION,
    read::Replay,
    write::Recorder,
};

#[cfg(test)]
mod tests;
