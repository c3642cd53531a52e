//! The bytes of headers and frames, for the side that writes and the side that reads.

use bytes::Buf as _;

/// Version of the frames. What is inside them describes itself.
pub const FORMAT_VERSION: u32 = 1;

pub(super) const MAGIC: &[u8; 8] = b"MEMTRACE";
/// Magic, version, checksum.
pub(super) const HEADER_BYTES: usize = 16;
/// Kind, length, checksum.
pub(super) const FRAME_HEADER_BYTES: usize = 12;
/// Longest payload: a sample of 100,000 processes and their cgroups stays well below. The bound
/// keeps a damaged length from being believed.
pub(super) const MAX_PAYLOAD_BYTES: usize = 64 << 20;

/// The payload is one `Input`.
pub(super) const KIND_INPUT: u32 = 0;
/// The payload is the number of frames before this one.
pub(super) const KIND_END: u32 = 1;

pub(super) fn file_header(version: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&version.to_le_bytes());
    let checksum = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) kind: u32,
    pub(super) payload_bytes: u32,
    pub(super) checksum: u32,
}

impl FrameHeader {
    pub(super) fn new(number: u64, kind: u32, payload: &[u8]) -> Self {
        let payload_bytes = payload.len() as u32;
        Self {
            kind,
            payload_bytes,
            checksum: checksum(number, kind, payload_bytes, payload),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(&self.kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[8..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; FRAME_HEADER_BYTES]) -> Self {
        let mut bytes = &bytes[..];
        Self {
            kind: bytes.get_u32_le(),
            payload_bytes: bytes.get_u32_le(),
            checksum: bytes.get_u32_le(),
        }
    }

    /// Whether this header belongs to this payload, as frame `number` of the file.
    pub(super) fn fits(&self, number: u64, payload: &[u8]) -> bool {
        self.checksum == checksum(number, self.kind, self.payload_bytes, payload)
    }
}

fn checksum(number: u64, kind: u32, payload_bytes: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&kind.to_le_bytes());
    hasher.update(&payload_bytes.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}
