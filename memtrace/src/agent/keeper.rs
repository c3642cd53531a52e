//! A thread that keeps reports: fsync takes tens of milliseconds, and nobody else waits for it.

use std::{
    collections::VecDeque,
    path::Path,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::{self, JoinHandle},
};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::store::{Balances, History, HistoryError, Report};

/// Requests that wait.
const WAITING: usize = 1_024;
/// Reports that are looked at for what they have in common with the next ones.
const RECENT: usize = 200;
/// Reports that are kept without a history.
const IN_MEMORY: usize = 256;

/// What the keeper is asked for.
enum Request {
    Keep(Box<Report>, Balances),
    KeepBalances(Balances),
    Newest(usize, oneshot::Sender<Result<Vec<Report>, HistoryError>>),
    One(u64, oneshot::Sender<Result<Option<Report>, HistoryError>>),
}

/// What became of a report.
pub(super) struct Kept {
    /// With its number.
    pub(super) report: Report,
    /// It is on the disk, or nobody asked for that.
    pub(super) is_safe: bool,
}

/// Asks the keeper; cheap to clone.
#[derive(Clone)]
pub(super) struct Archive(SyncSender<Request>);

/// Where reports are.
enum Shelf {
    History(Box<History>),
    Memory {
        reports: VecDeque<Report>,
        last: u64,
    },
}

/// The thread.
pub(super) struct Keeper {
    archive: Archive,
    thread: JoinHandle<()>,
}

/// What there is when the history is open.
pub(super) struct Opened {
    pub(super) keeper: Keeper,
    /// What the last agent had told of; `None` if there was none.
    pub(super) balances: Option<Balances>,
    /// The newest reports, newest first.
    pub(super) recent: Vec<Value>,
    /// Where kept reports come out.
    pub(super) kept: mpsc::Receiver<Kept>,
}

impl Keeper {
    /// Opens the history, if there is to be one, and starts the thread.
    ///
    /// # Errors
    /// If the history cannot be opened.
    pub(super) fn start(
        history: Option<&Path>,
        max_bytes: u64,
        boot_id: &str,
    ) -> Result<Opened, HistoryError> {
        let (shelf, balances, recent) = match history {
            Some(path) => {
                let history = History::open(path, max_bytes)?;
                let balances = history.balances(boot_id)?;
                let recent = history.newest(RECENT)?;
                (Shelf::History(Box::new(history)), balances, recent)
            }
            None => {
                let memory = Shelf::Memory {
                    reports: VecDeque::new(),
                    last: 0,
                };
                (memory, None, Vec::new())
            }
        };
        let (sender, requests) = sync_channel(WAITING);
        let (kept, receiver) = mpsc::channel(WAITING);
        let boot_id = boot_id.to_owned();
        let thread = thread::spawn(move || work(shelf, &requests, &kept, &boot_id));
        let keeper = Self {
            archive: Archive(sender),
            thread,
        };
        Ok(Opened {
            keeper,
            balances,
            recent: recent.into_iter().map(|report| report.json).collect(),
            kept: receiver,
        })
    }

    pub(super) fn archive(&self) -> Archive {
        self.archive.clone()
    }

    /// `false` if so many wait that there is no room for one more.
    pub(super) fn keep(&self, report: Report, balances: Balances) -> bool {
        self.archive.ask(Request::Keep(Box::new(report), balances))
    }

    /// What was told of, between reports.
    pub(super) fn keep_balances(&self, balances: Balances) {
        // The next one comes in a minute, and with every report.
        _ = self.archive.ask(Request::KeepBalances(balances));
    }

    /// Waits until all is kept. There must be no other [`Archive`] any more.
    pub(super) fn finish(self) {
        drop(self.archive);
        if self.thread.join().is_err() {
            log::error!("the thread that keeps reports panicked");
        }
    }
}

impl Archive {
    fn ask(&self, request: Request) -> bool {
        match self.0.try_send(request) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// The newest reports, newest first; `None` if the keeper is too busy to answer.
    pub(super) async fn newest(&self, count: usize) -> Option<Result<Vec<Report>, HistoryError>> {
        let (sender, answer) = oneshot::channel();
        self.ask(Request::Newest(count, sender)).then_some(())?;
        answer.await.ok()
    }

    /// One report, if there is one of that number; `None` as above.
    pub(super) async fn one(&self, id: u64) -> Option<Result<Option<Report>, HistoryError>> {
        let (sender, answer) = oneshot::channel();
        self.ask(Request::One(id, sender)).then_some(())?;
        answer.await.ok()
    }
}

fn work(mut shelf: Shelf, requests: &Receiver<Request>, kept: &mpsc::Sender<Kept>, boot_id: &str) {
    for request in requests {
        match request {
            Request::Keep(report, balances) => {
                let done = shelf.keep(*report, &balances, boot_id);
                // Nobody to announce it to any more: it is kept all the same.
                _ = kept.blocking_send(done);
            }
            Request::KeepBalances(balances) => {
                if let Shelf::History(history) = &mut shelf
                    && let Err(error) = history.keep_balances(&balances, boot_id)
                {
                    log::error!("{error}");
                }
            }
            // Who asked may have gone.
            Request::Newest(count, answer) => _ = answer.send(shelf.newest(count)),
            Request::One(id, answer) => _ = answer.send(shelf.one(id)),
        }
    }
}

impl Shelf {
    fn keep(&mut self, report: Report, balances: &Balances, boot_id: &str) -> Kept {
        match self {
            Self::History(history) => match history.append(report.clone(), balances, boot_id) {
                Ok(report) => Kept {
                    report,
                    is_safe: true,
                },
                Err(error) => {
                    log::error!("{error}");
                    Kept {
                        report,
                        is_safe: false,
                    }
                }
            },
            Self::Memory { reports, last } => {
                *last += 1;
                let report = report.numbered(*last);
                if reports.len() >= IN_MEMORY {
                    reports.pop_front();
                }
                reports.push_back(report.clone());
                Kept {
                    report,
                    is_safe: true,
                }
            }
        }
    }

    fn newest(&self, count: usize) -> Result<Vec<Report>, HistoryError> {
        match self {
            Self::History(history) => history.newest(count),
            Self::Memory { reports, .. } => Ok(reports.iter().rev().take(count).cloned().collect()),
        }
    }

    fn one(&self, id: u64) -> Result<Option<Report>, HistoryError> {
        match self {
            Self::History(history) => history.report(id),
            Self::Memory { reports, .. } => {
                Ok(reports.iter().find(|report| report.id == id).cloned())
            }
        }
    }
}
