//! The kernel's own log, for what the OOM killer says there.

mod line;
mod parse;

use std::io;

use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags, SeekFrom, open, seek},
    io::{Errno, read, retry_on_intr},
};

pub use self::parse::Parser;
use crate::{
    input::{CgroupVersion, OomLogEvent},
    source::live::monotonic_ns,
};

/// Where it is read.
pub const PATH: &str = "/dev/kmsg";
/// Longest record that the kernel gives out (kernel/printk/internal.h, `PRINTK_MESSAGE_MAX` is 2048;
/// 8192 before 6.4).
const RECORD_BYTES: usize = 8192;

/// `/dev/kmsg` from the end that it had when it was opened.
pub struct KernelLog {
    file: OwnedFd,
    parser: Parser,
    buffer: Vec<u8>,
    overwritten: u64,
}

impl KernelLog {
    /// Opens it.
    ///
    /// # Errors
    /// As the kernel reports them: `EPERM` without CAP_SYSLOG where `kernel.dmesg_restrict` is set.
    pub fn open(version: CgroupVersion) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = retry_on_intr(|| open(PATH, flags, Mode::empty()))?;
        seek(&file, SeekFrom::End(0))?;
        Ok(Self {
            file,
            parser: Parser::new(version),
            buffer: vec![0; RECORD_BYTES],
            overwritten: 0,
        })
    }

    /// Times that the kernel overwrote records before they were read.
    pub fn overwritten(&self) -> u64 {
        self.overwritten
    }

    /// Reads what has come since, and hands over each kill that it tells of.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn drain(&mut self, mut sink: impl FnMut(OomLogEvent)) -> io::Result<()> {
        loop {
            match retry_on_intr(|| read(&self.file, self.buffer.as_mut_slice())) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(()),
                // devkmsg_read: the next read goes on with the oldest record that is left.
                Err(Errno::PIPE) => {
                    self.overwritten += 1;
                    self.parser.forget();
                }
                Err(errno) => return Err(errno.into()),
                Ok(bytes) => {
                    let record = String::from_utf8_lossy(&self.buffer[..bytes]);
                    if let Some(mut event) = self.parser.record(&record) {
                        event.read_ns = monotonic_ns();
                        sink(event);
                    }
                }
            }
        }
    }
}
