use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    error::RecordError,
    frame::{
        FORMAT_VERSION, FRAME_HEADER_BYTES, FrameHeader, KIND_END, KIND_INPUT, MAGIC,
        MAX_PAYLOAD_BYTES, file_header,
    },
};
use crate::input::Input;

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 64 << 10;

/// Writes a recording. Inputs are buffered; [`finish`](Self::finish) marks the end, and a
/// recorder that is dropped without it leaves a file that says it has no end.
#[derive(Debug)]
pub struct Recorder<W: Write = File> {
    to: W,
    path: PathBuf,
    /// Whole frames that are not written yet.
    buffer: Vec<u8>,
    frames: u64,
    closed: bool,
}

impl Recorder {
    /// Creates the file, readable by its owner only: a recording holds paths, process names and
    /// the command line. An earlier recording of that name is replaced and an empty file is used,
    /// any other regular file is left alone. What is not a regular file (a pipe, `/dev/stdout`)
    /// is written to as it is.
    ///
    /// # Errors
    /// If the file cannot be opened or written, or holds something else.
    pub fn create(path: &Path) -> Result<Self, RecordError> {
        let create = |source| RecordError::Create {
            path: path.to_owned(),
            source,
        };
        let special = path.metadata().is_ok_and(|found| !found.is_file());
        let mut file = OpenOptions::new()
            .write(true)
            .read(!special)
            .create(!special)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(create)?;
        if !special {
            let mut start = Vec::new();
            (&file)
                .take(MAGIC.len() as u64)
                .read_to_end(&mut start)
                .map_err(create)?;
            if !start.is_empty() && start != MAGIC {
                return Err(RecordError::NotARecording {
                    path: path.to_owned(),
                });
            }
            file.set_len(0).map_err(create)?;
            file.rewind().map_err(create)?;
        }
        Self::new(file, path)
    }
}

impl<W: Write> Recorder<W> {
    /// Starts a recording on any writer; `path` is for messages only. The header is written at
    /// once, so that a full disk shows before the work starts.
    ///
    /// # Errors
    /// If the header cannot be written.
    pub fn new(to: W, path: &Path) -> Result<Self, RecordError> {
        let mut recorder = Self {
            to,
            path: path.to_owned(),
            buffer: Vec::with_capacity(2 * BUFFER_BYTES),
            frames: 0,
            closed: false,
        };
        recorder.buffer.extend(file_header(FORMAT_VERSION));
        recorder.flush()?;
        Ok(recorder)
    }

    /// Adds one input.
    ///
    /// # Errors
    /// If it cannot be encoded or written, now or, since inputs are buffered, some appends later.
    /// Every later call fails too: a recording with a gap would replay to wrong numbers.
    pub fn append(&mut self, input: &Input) -> Result<(), RecordError> {
        self.frame(KIND_INPUT, |payload| {
            rmp_serde::encode::write_named(payload, input).map_err(|error| error.to_string())
        })?;
        if self.buffer.len() < BUFFER_BYTES {
            return Ok(());
        }
        self.flush()
    }

    /// Writes everything that is still buffered.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub fn flush(&mut self) -> Result<(), RecordError> {
        self.check_open()?;
        let result = self.to.write_all(&self.buffer);
        self.buffer.clear();
        result
            .and_then(|()| self.to.flush())
            .map_err(|source| self.close(|path| RecordError::Write { path, source }))
    }

    /// Marks the end and writes what is buffered; gives the number of inputs recorded. There is
    /// no `fsync`: under the memory pressure that memtrace looks at it may take minutes.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub fn finish(mut self) -> Result<u64, RecordError> {
        let inputs = self.frames;
        self.frame(KIND_END, |payload| {
            payload.extend(inputs.to_le_bytes());
            Ok(())
        })?;
        self.flush()?;
        Ok(inputs)
    }

    /// Appends a frame to the buffer, or leaves the buffer as it was.
    fn frame(
        &mut self,
        kind: u32,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(), RecordError> {
        self.check_open()?;
        let start = self.buffer.len();
        self.buffer.extend([0; FRAME_HEADER_BYTES]);
        let encoded = encode(&mut self.buffer);
        let payload = &self.buffer[start + FRAME_HEADER_BYTES..];
        let fits = payload.len() <= MAX_PAYLOAD_BYTES;
        let too_long = || format!("it has {} bytes, too many", payload.len());
        if let Err(reason) = encoded.and_then(|()| fits.then_some(()).ok_or_else(too_long)) {
            self.buffer.truncate(start);
            let number = self.frames;
            return Err(self.close(|path| RecordError::Encode {
                path,
                number,
                reason,
            }));
        }
        let header = FrameHeader::new(self.frames, kind, payload).to_bytes();
        self.buffer[start..start + FRAME_HEADER_BYTES].copy_from_slice(&header);
        self.frames += 1;
        Ok(())
    }

    fn check_open(&self) -> Result<(), RecordError> {
        if self.closed {
            return Err(RecordError::Closed {
                path: self.path.clone(),
            });
        }
        Ok(())
    }

    fn close(&mut self, why: impl FnOnce(PathBuf) -> RecordError) -> RecordError {
        self.closed = true;
        why(self.path.clone())
    }
}

impl<W: Write> Drop for Recorder<W> {
    /// Saves the whole frames of a run that ends early. Nobody is left to hear of an error.
    fn drop(&mut self) {
        let _ = self.to.write_all(&self.buffer);
    }
}
