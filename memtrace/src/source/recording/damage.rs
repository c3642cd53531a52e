//! Where a recording stops making sense, in words for the trust line.

/// The rest of the recording is missing: numbers hold up to here and no further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the recording is incomplete: {what} (byte {at_byte}); the numbers cover the {inputs_read} \
     inputs before that and nothing after"
)]
pub struct Damage {
    /// Where the first frame begins that could not be read.
    pub at_byte: u64,
    /// Inputs that were read whole before.
    pub inputs_read: u64,
    /// What is wrong there.
    pub what: DamageKind,
}

/// What is wrong with a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DamageKind {
    /// No end frame, though the last frame is whole.
    #[error(
        "it has no end, because memtrace was stopped or its disk filled up, or the file was cut"
    )]
    NoEnd,
    /// The file ends inside a frame.
    #[error(
        "it ends in the middle of a frame, because memtrace was stopped or its disk filled up, or \
         the file was cut"
    )]
    CutOff,
    /// Length, order or content is not what was written.
    #[error("a frame does not match its checksum")]
    Checksum,
    /// A length that no frame has.
    #[error("a frame claims a length of {0} bytes")]
    Length(u32),
    /// A kind of frame that this format does not have.
    #[error("a frame is of the unknown kind {0}")]
    UnknownKind(u32),
    /// The frame is what was written, but this memtrace does not understand it.
    #[error("a frame cannot be read by this version of memtrace: {0}")]
    Content(String),
    /// The end frame counts other inputs than were read.
    #[error("its end says that {0} inputs were written")]
    Count(u64),
    /// Bytes after the end frame.
    #[error("more bytes follow its end")]
    AfterEnd,
    /// The operating system would not read on.
    #[error("reading failed: {0}")]
    Io(String),
}
