//! A thread that keeps reports and series: fsync takes tens of milliseconds, and nobody else waits for it.

use std::{
    sync::mpsc::{SyncSender, TrySendError, sync_channel},
    thread::{self, JoinHandle},
};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::Settings;
use crate::{
    model::past::{Past, Question},
    store::{Balances, Dropped, History, HistoryError, Minute, NotKept, Report, past},
};

/// Requests that wait.
const WAITING: usize = 1_024;
/// Reports that are looked at for what they have in common with the next ones.
const RECENT: usize = 200;
/// Reports and series that are kept without a history, bytes each.
const IN_MEMORY_BYTES: u64 = 2 << 20;

/// What the keeper is asked for.
enum Request {
    Keep(Box<Report>, Balances),
    KeepBalances(Balances),
    Newest(usize, oneshot::Sender<Result<Vec<Report>, HistoryError>>),
    One(u64, oneshot::Sender<Result<Option<Report>, HistoryError>>),
    KeepMinute(Minute),
    Past(Question, oneshot::Sender<Looked>),
}

/// What was, or why it is not known.
pub(super) type Looked = Result<Result<Past, NotKept>, HistoryError>;

/// What became of what was to be kept.
pub(super) enum Kept {
    /// A report.
    Report {
        /// With its number.
        report: Box<Report>,
        /// It is on the disk, or nobody asked for that.
        is_safe: bool,
    },
    /// A minute of the series; `None` if it could not be written.
    Minute(Option<Dropped>),
}

/// Asks the keeper; cheap to clone.
#[derive(Clone)]
pub(super) struct Archive(SyncSender<Request>);

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
    /// The number of the next new series.
    pub(super) next_series: u32,
    /// Where what was kept comes out.
    pub(super) kept: mpsc::Receiver<Kept>,
}

impl Keeper {
    /// Opens the history, if there is to be one, and starts the thread.
    ///
    /// # Errors
    /// If the history cannot be opened.
    pub(super) fn start(settings: &Settings, boot_id: &str) -> Result<Opened, HistoryError> {
        let (mut history, series_bytes) = match &settings.history {
            Some(path) => {
                let history = History::open(path, settings.history_bytes)?;
                (history, settings.series_bytes)
            }
            None => {
                let history = History::in_memory(IN_MEMORY_BYTES)?;
                (history, settings.series_bytes.min(IN_MEMORY_BYTES))
            }
        };
        let balances = history.balances(boot_id)?;
        let recent = history.newest(RECENT)?;
        let next_series = history.begin_series()?;
        let (sender, requests) = sync_channel(WAITING);
        let (kept, receiver) = mpsc::channel(WAITING);
        let boot_id = boot_id.to_owned();
        let page_size_bytes = rustix::param::page_size() as u64;
        let mut shelf = Shelf {
            history,
            boot_id,
            series_bytes,
            page_size_bytes,
        };
        let thread = thread::spawn(move || {
            for request in requests {
                shelf.work(request, &kept);
            }
        });
        let keeper = Self {
            archive: Archive(sender),
            thread,
        };
        Ok(Opened {
            keeper,
            balances,
            recent: recent.into_iter().map(|report| report.json).collect(),
            next_series,
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

    /// `false` as above.
    pub(super) fn keep_minute(&self, minute: Minute) -> bool {
        self.archive.ask(Request::KeepMinute(minute))
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

    /// What was; `None` as above.
    pub(super) async fn past(&self, question: Question) -> Option<Looked> {
        let (sender, answer) = oneshot::channel();
        self.ask(Request::Past(question, sender)).then_some(())?;
        answer.await.ok()
    }

    /// One report, if there is one of that number; `None` as above.
    pub(super) async fn one(&self, id: u64) -> Option<Result<Option<Report>, HistoryError>> {
        let (sender, answer) = oneshot::channel();
        self.ask(Request::One(id, sender)).then_some(())?;
        answer.await.ok()
    }
}

/// What the thread has.
struct Shelf {
    history: History,
    boot_id: String,
    series_bytes: u64,
    page_size_bytes: u64,
}

impl Shelf {
    fn work(&mut self, request: Request, kept: &mpsc::Sender<Kept>) {
        // Nobody to announce it to any more: it is kept all the same. Who asked may have gone, too.
        match request {
            Request::Keep(report, balances) => {
                let report = *report;
                let kept_as = self
                    .history
                    .append(report.clone(), &balances, &self.boot_id);
                let is_safe = kept_as.is_ok();
                let report = Box::new(logged(kept_as).unwrap_or(report));
                _ = kept.blocking_send(Kept::Report { report, is_safe });
            }
            Request::KeepBalances(balances) => {
                _ = logged(self.history.keep_balances(&balances, &self.boot_id));
            }
            Request::KeepMinute(minute) => {
                log::debug!("a minute of the series: {} bytes", minute.rows_bytes());
                let done = self.history.keep_minute(&minute, self.series_bytes);
                _ = kept.blocking_send(Kept::Minute(logged(done)));
            }
            Request::Newest(count, answer) => _ = answer.send(self.history.newest(count)),
            Request::One(id, answer) => _ = answer.send(self.history.report(id)),
            Request::Past(question, answer) => {
                _ = answer.send(past(&self.history, &question, self.page_size_bytes));
            }
        }
    }
}

fn logged<T>(done: Result<T, HistoryError>) -> Option<T> {
    done.inspect_err(|error| log::error!("{error}")).ok()
}
