//! OTLP over HTTP, on a thread of its own: metrics every so often, reports of kills as they are kept.
//!
//! Nobody waits for it. Of the metrics only the newest snapshot is sent; reports wait in a queue that is
//! bounded in bytes; whoever is not reached is tried again, later and later. What is dropped is counted.

mod client;
mod endpoint;
mod queue;
mod work;

#[cfg(test)]
mod tests;

use std::{io, path::PathBuf, sync::Arc, thread, time::Duration};

use tokio::sync::{mpsc, oneshot, watch};

use self::{client::Client, work::Work};
pub use self::{
    client::TlsError,
    endpoint::{Endpoint, EndpointError, Headers, HeadersError},
};
use super::{ExportHealth, Snapshot};
use crate::store::Report;

/// Reports on their way to the thread.
const WAITING: usize = 64;

/// Where to send, and what.
#[derive(Clone, Debug)]
pub struct OtlpSettings {
    /// The receiver, without `/v1/metrics`.
    pub endpoint: Endpoint,
    /// Sent with each request; they may be secret.
    pub headers: Headers,
    /// How often the metrics are sent.
    pub interval: Duration,
    /// Certificates of authorities, PEM, for https; `None` for the machine's own.
    pub authorities: Option<PathBuf>,
    /// Whether metrics are sent.
    pub metrics: bool,
    /// Whether reports are sent.
    pub reports: bool,
}

/// Why there is no exporter.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// https.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The thread.
    #[error("starting the thread that sends OTLP: {0}")]
    Thread(#[source] io::Error),
}

/// The thread, as its owner sees it.
pub(super) struct Exporter {
    reports: mpsc::Sender<Box<Report>>,
    health: watch::Receiver<ExportHealth>,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
    wants_reports: bool,
    /// There was no room on the way to the thread.
    dropped: u64,
}

impl Exporter {
    /// Starts it.
    ///
    /// # Errors
    /// [`OtlpError`], if the endpoint wants TLS and nobody can vouch for it.
    pub(super) fn start(
        settings: &OtlpSettings,
        node: &str,
        snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
    ) -> Result<Self, OtlpError> {
        let client = Client::new(settings)?;
        let (reports, waiting) = mpsc::channel(WAITING);
        let (health, healthy) = watch::channel(ExportHealth::default());
        let (stop, stopped) = oneshot::channel();
        let work = Work::new(settings, client, node, snapshot, health);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(OtlpError::Thread)?;
        let thread = thread::Builder::new()
            .spawn(move || runtime.block_on(work.run(waiting, stopped)))
            .map_err(OtlpError::Thread)?;
        Ok(Self {
            reports,
            health: healthy,
            stop,
            thread,
            wants_reports: settings.reports,
            dropped: 0,
        })
    }

    /// A report was kept.
    pub(super) fn report(&mut self, report: &Report) {
        if self.wants_reports && self.reports.try_send(Box::new(report.clone())).is_err() {
            self.dropped += 1;
        }
    }

    pub(super) fn health(&self) -> ExportHealth {
        let mut health = *self.health.borrow();
        health.reports_dropped += self.dropped;
        health
    }

    /// Sends what waits, if that is soon done.
    pub(super) fn finish(self) {
        drop(self.reports);
        // It fails only if the thread has ended by itself.
        _ = self.stop.send(());
        if self.thread.join().is_err() {
            log::error!("the thread that sends OTLP panicked");
        }
    }
}
