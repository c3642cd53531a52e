use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use bytes::Buf as _;

use super::{
    damage::{Damage, DamageKind},
    error::ReplayError,
    frame::{
        FORMAT_VERSION, FRAME_HEADER_BYTES, FrameHeader, HEADER_BYTES, KIND_END, KIND_INPUT, MAGIC,
        MAX_PAYLOAD_BYTES, file_header,
    },
};
use crate::input::Input;

/// Reads a recording. As an iterator it gives each input that is whole and, if the recording is
/// not, one [`Damage`] as the last item: the numbers are then right up to there, and the answer
/// has to say so.
#[derive(Debug)]
pub struct Replay<R = File> {
    from: BufReader<R>,
    /// Where the next frame begins.
    at_byte: u64,
    frames: u64,
    ended: bool,
}

impl Replay {
    /// Opens a recording.
    ///
    /// # Errors
    /// If there is none, or its header is not that of a recording this version reads.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let file = File::open(path).map_err(|source| ReplayError::Open {
            path: path.to_owned(),
            source,
        })?;
        Self::new(file, path)
    }
}

impl<R: Read> Replay<R> {
    /// Reads a recording from any reader; `path` is for messages only.
    ///
    /// # Errors
    /// If the header cannot be read or is not that of a recording this version reads.
    pub fn new(from: R, path: &Path) -> Result<Self, ReplayError> {
        let path = || path.to_owned();
        let mut from = BufReader::new(from);
        let mut header = Vec::new();
        (&mut from)
            .take(HEADER_BYTES as u64)
            .read_to_end(&mut header)
            .map_err(|source| ReplayError::Read {
                path: path(),
                source,
            })?;
        if header.is_empty() {
            return Err(ReplayError::Empty { path: path() });
        }
        if !header.starts_with(MAGIC) && !MAGIC.starts_with(&header) {
            return Err(ReplayError::NotARecording { path: path() });
        }
        if header.len() < HEADER_BYTES {
            return Err(ReplayError::Header { path: path() });
        }
        let found = (&header[MAGIC.len()..]).get_u32_le();
        if header != file_header(found) {
            return Err(ReplayError::Header { path: path() });
        }
        if found != FORMAT_VERSION {
            return Err(ReplayError::Version {
                path: path(),
                found,
            });
        }
        Ok(Self {
            from,
            at_byte: HEADER_BYTES as u64,
            frames: 0,
            ended: false,
        })
    }

    /// The next input; `None` after a sound end.
    fn read_frame(&mut self) -> Result<Option<Input>, DamageKind> {
        let bytes = self.read_up_to(FRAME_HEADER_BYTES)?;
        if bytes.is_empty() {
            return Err(DamageKind::NoEnd);
        }
        let bytes = bytes.try_into().map_err(|_| DamageKind::CutOff)?;
        let header = FrameHeader::from_bytes(bytes);
        let length = header.payload_bytes as usize;
        if length > MAX_PAYLOAD_BYTES {
            return Err(DamageKind::Length(header.payload_bytes));
        }
        let payload = self.read_up_to(length)?;
        if payload.len() < length {
            return Err(DamageKind::CutOff);
        }
        if !header.fits(self.frames, &payload) {
            return Err(DamageKind::Checksum);
        }
        let input = match header.kind {
            KIND_INPUT => rmp_serde::from_slice(&payload)
                .map(Some)
                .map_err(|error| DamageKind::Content(error.to_string()))?,
            KIND_END => {
                self.check_end(&payload)?;
                None
            }
            unknown => return Err(DamageKind::UnknownKind(unknown)),
        };
        self.at_byte += (FRAME_HEADER_BYTES + length) as u64;
        self.frames += 1;
        Ok(input)
    }

    fn check_end(&mut self, mut payload: &[u8]) -> Result<(), DamageKind> {
        let written = payload
            .try_get_u64_le()
            .map_err(|error| DamageKind::Content(error.to_string()))?;
        if written != self.frames {
            return Err(DamageKind::Count(written));
        }
        if !self.read_up_to(1)?.is_empty() {
            return Err(DamageKind::AfterEnd);
        }
        Ok(())
    }

    /// Memory grows with the bytes that are there, not with the length that was asked for.
    fn read_up_to(&mut self, length: usize) -> Result<Vec<u8>, DamageKind> {
        let mut bytes = Vec::new();
        (&mut self.from)
            .take(length as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| DamageKind::Io(error.to_string()))?;
        Ok(bytes)
    }
}

impl<R: Read> Iterator for Replay<R> {
    type Item = Result<Input, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.read_frame() {
            Ok(Some(input)) => Some(Ok(input)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(what) => {
                self.ended = true;
                Some(Err(Damage {
                    at_byte: self.at_byte,
                    inputs_read: self.frames,
                    what,
                }))
            }
        }
    }
}
