//! The ring buffer, read by a thread of its own: what the kernel tells is taken out and stamped at
//! once, whatever the rest of memtrace is busy with.

use std::{
    io, mem,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use tokio::sync::Notify;

use super::{decode, live::monotonic_ns};
use crate::{input::Input, kernel::callers::Callers};

/// Inputs that wait to be asked for, at most: some MiB. What is more stays in the ring buffer, where
/// the kernel counts what finds no room.
const MAX_WAITING: usize = 16_384;
/// How often the thread then looks whether there is room again, and how often the ring buffer is read
/// where there is no thread.
const PAUSE: Duration = Duration::from_millis(5);

/// The stream of what the kernel tells.
pub(super) struct Ring {
    shared: Arc<Shared>,
    reader: Reader,
}

enum Reader {
    /// Nobody has waited yet. The thread starts when somebody does: by then an agent has given up its
    /// privileges, and a thread has those of the one that starts it (capabilities(7)).
    NotYet,
    Thread {
        stop: Arc<OwnedFd>,
        thread: JoinHandle<()>,
    },
    /// No room for one more thread.
    None,
}

struct Shared {
    stream: Mutex<Stream>,
    told: Notify,
}

struct Stream {
    ring: RingBuf<MapData>,
    callers: Callers,
    waiting: Vec<Input>,
    undecodable: u64,
}

impl Ring {
    /// Takes the ring buffer over; records name callers by `callers`.
    pub(super) fn new(ring: RingBuf<MapData>, callers: Callers) -> Self {
        let shared = Arc::new(Shared {
            stream: Mutex::new(Stream {
                ring,
                callers,
                waiting: Vec::new(),
                undecodable: 0,
            }),
            told: Notify::new(),
        });
        Self {
            shared,
            reader: Reader::NotYet,
        }
    }

    /// Waits until there is something to [`drain`](Self::drain).
    pub(super) async fn readable(&mut self) {
        if let Reader::NotYet = self.reader {
            self.reader = self.start().unwrap_or_else(|error| {
                log::warn!("starting a thread for the BPF ring buffer: {error}; read every 5 ms");
                Reader::None
            });
        }
        match self.reader {
            Reader::None => tokio::time::sleep(PAUSE).await,
            _ => self.shared.told.notified().await,
        }
    }

    fn start(&self) -> io::Result<Reader> {
        let readable = self.shared.stream().ring.as_fd().try_clone_to_owned()?;
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let (shared, stopped) = (Arc::clone(&self.shared), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("memtrace-ring".to_owned())
            .spawn(move || read(&shared, readable.as_fd(), stopped.as_fd()))?;
        Ok(Reader::Thread { stop, thread })
    }

    /// All that was told by now.
    pub(super) fn drain(&self) -> Vec<Input> {
        let mut stream = self.shared.stream();
        stream.read();
        mem::take(&mut stream.waiting)
    }

    /// Records that could not be decoded: a programming error, never silent.
    pub(super) fn undecodable(&self) -> u64 {
        self.shared.stream().undecodable
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Reader::Thread { stop, thread } = mem::replace(&mut self.reader, Reader::None) {
            // It only fails if 2^64 were added before.
            let _ = rustix::io::write(&stop, &1_u64.to_ne_bytes());
            if thread.join().is_err() {
                log::error!("the thread that read the ring buffer panicked");
            }
        }
    }
}

impl Shared {
    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    fn read(&mut self) {
        let received_ns = monotonic_ns();
        while let Some(record) = self.ring.next() {
            match decode::decode(&record, received_ns, &self.callers) {
                Ok(input) => self.waiting.push(input),
                Err(error) => {
                    self.undecodable += 1;
                    log::error!("a record from the kernel could not be read: {error}");
                }
            }
        }
    }
}

/// Reads until `stop` can be read.
fn read(shared: &Shared, readable: BorrowedFd<'_>, stop: BorrowedFd<'_>) {
    loop {
        let mut fds = [readable, stop].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => {
                // `drain` still reads what it is asked for.
                let error = io::Error::from(errno);
                log::error!("waiting for the BPF ring buffer: {error}");
                return;
            }
        }
        if !fds[1].revents().is_empty() {
            return;
        }
        let is_full = {
            let mut stream = shared.stream();
            let is_full = stream.waiting.len() >= MAX_WAITING;
            if !is_full {
                stream.read();
            }
            is_full
        };
        shared.told.notify_one();
        if is_full {
            thread::sleep(PAUSE);
        }
    }
}
