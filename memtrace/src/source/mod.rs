//! Where [`Input`](crate::input::Input)s come from: the ring buffer of a live kernel, or a recording.

pub mod decode;
pub mod kernel_log;
pub mod live;
pub mod recording;
mod ring;
