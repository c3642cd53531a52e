//! What is sent when.

use std::{sync::Arc, time::Duration};

use hyper::body::Bytes;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceResponse, metrics::v1::ExportMetricsServiceResponse,
};
use prost::Message as _;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    OtlpSettings,
    client::{Client, Refused},
    queue::Queue,
};
use crate::{
    agent::{ExportHealth, Snapshot},
    source::live::{monotonic_ns, unix_ns},
    store::Report,
    view::{
        metrics::otlp::{Times, requests},
        otlp::{Sender, record, request},
    },
};

/// Whoever does not answer is left alone for so long first, twice as long each time,
const FIRST_REST: Duration = Duration::from_secs(1);
/// and never longer than this.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// What waits at the end may take so long.
const FAREWELL: Duration = Duration::from_secs(3);

/// See the module.
pub(super) struct Work {
    client: Client,
    node: String,
    interval: Duration,
    sends_metrics: bool,
    snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
    publish: watch::Sender<ExportHealth>,
    health: ExportHealth,
    started_unix_ns: u64,
    queue: Queue,
    /// Metrics are due and not taken yet.
    metrics_wait: bool,
    next_metrics: Instant,
    /// Nothing is sent before.
    rest_until: Instant,
    rest: Duration,
    /// Said aloud once, until it is over.
    is_failing: bool,
}

impl Work {
    pub(super) fn new(
        settings: &OtlpSettings,
        client: Client,
        node: &str,
        snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
        publish: watch::Sender<ExportHealth>,
    ) -> Self {
        let now = Instant::now();
        Self {
            client,
            node: node.to_owned(),
            interval: settings.interval,
            sends_metrics: settings.metrics,
            snapshot,
            publish,
            health: ExportHealth::default(),
            started_unix_ns: unix_ns(),
            queue: Queue::default(),
            metrics_wait: false,
            next_metrics: now,
            rest_until: now,
            rest: FIRST_REST,
            is_failing: false,
        }
    }

    /// Until it is told to stop, or nobody is there any more who could.
    pub(super) async fn run(
        mut self,
        mut reports: mpsc::Receiver<Box<Report>>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        let mut open = true;
        loop {
            let wake = match self.has_work() {
                true => self.rest_until.min(self.next_metrics),
                false => self.next_metrics,
            };
            tokio::select! {
                _ = &mut stopped => break,
                report = reports.recv(), if open => match report {
                    Some(report) => self.learn(&report),
                    None => open = false,
                },
                () = sleep_until(wake) => {}
            }
            if self.sends_metrics && self.next_metrics <= Instant::now() {
                self.metrics_due();
            }
            if self.has_work() && self.rest_until <= Instant::now() {
                // What is cut off here stays in the queue.
                tokio::select! {
                    () = self.send() => {}
                    _ = &mut stopped => break,
                }
            }
            _ = self.publish.send(self.health);
        }
        while let Ok(report) = reports.try_recv() {
            self.learn(&report);
        }
        self.metrics_wait = self.sends_metrics;
        if timeout(FAREWELL, self.send()).await.is_err() || self.queue.len() > 0 {
            log::warn!("OTLP: {} reports were not sent", self.queue.len());
        }
    }

    fn has_work(&self) -> bool {
        self.metrics_wait || self.queue.len() > 0
    }

    fn learn(&mut self, report: &Report) {
        self.health.reports_dropped += self.queue.push(record(report, unix_ns()));
    }

    /// The next snapshot stands in for one that nobody took.
    fn metrics_due(&mut self) {
        self.health.metrics_dropped += u64::from(self.metrics_wait);
        self.metrics_wait = true;
        let now = Instant::now();
        // After a long time without a turn one is enough.
        self.next_metrics = (self.next_metrics + self.interval).max(now);
    }

    /// Sends what waits, kills first, until somebody is not reached.
    async fn send(&mut self) {
        while self.queue.len() > 0 {
            let records = self.queue.next();
            let count = records.len();
            let body = request(records, &Sender { node: &self.node });
            match self.client.send("/v1/logs", body).await {
                Ok(answer) => {
                    self.queue.done(count);
                    self.taken();
                    self.health.reports_dropped += rejected_records(&answer);
                }
                Err(Refused::ForGood(reason)) => {
                    self.queue.done(count);
                    self.health.reports_dropped += count as u64;
                    self.refused("reports", &reason);
                }
                Err(Refused::Later { reason, after }) => return self.later(&reason, after),
            }
        }
        if self.metrics_wait {
            self.send_metrics().await;
        }
    }

    async fn send_metrics(&mut self) {
        let Some(snapshot) = self.snapshot.borrow().clone() else {
            return self.later("nothing was read yet", None);
        };
        let age_ns = monotonic_ns().saturating_sub(snapshot.time_ns);
        let times = Times {
            start_unix_ns: self.started_unix_ns,
            unix_ns: unix_ns().saturating_sub(age_ns),
        };
        let bodies = match requests(&snapshot, &Sender { node: &self.node }, times) {
            Ok(bodies) => bodies,
            Err(error) => {
                log::error!("writing the metrics: {error}");
                Vec::new()
            }
        };
        let mut is_whole = true;
        for body in bodies {
            match self.client.send("/v1/metrics", body).await {
                Ok(answer) => {
                    self.taken();
                    is_whole &= !rejects_points(&answer);
                }
                Err(Refused::ForGood(reason)) => {
                    self.refused("metrics", &reason);
                    is_whole = false;
                }
                Err(Refused::Later { reason, after }) => return self.later(&reason, after),
            }
        }
        self.health.metrics_dropped += u64::from(!is_whole);
        self.metrics_wait = false;
    }

    fn taken(&mut self) {
        self.health.taken += 1;
        self.rest = FIRST_REST;
        if std::mem::take(&mut self.is_failing) {
            log::info!("OTLP: the receiver takes requests again");
        }
    }

    fn refused(&mut self, what: &str, reason: &str) {
        self.health.refused += 1;
        if !std::mem::replace(&mut self.is_failing, true) {
            log::warn!("OTLP: {what} were refused: {reason}");
        }
    }

    fn later(&mut self, reason: &str, after: Option<Duration>) {
        self.health.unanswered += 1;
        if !std::mem::replace(&mut self.is_failing, true) {
            log::warn!("OTLP: {reason}; trying again");
        }
        let rest = after.unwrap_or(self.rest).min(LONGEST_REST);
        self.rest = (self.rest * 2).min(LONGEST_REST);
        // Up to a fifth more, so that the agents of a fleet do not come back as one.
        let jitter = rest.mul_f64(0.2 * (unix_ns() % 1_000) as f64 / 1e3);
        self.rest_until = Instant::now() + rest + jitter;
    }
}

/// What a receiver took only in part it says in its answer, and wants no more of it.
fn rejected_records(answer: &Bytes) -> u64 {
    let partial = ExportLogsServiceResponse::decode(answer.clone())
        .ok()
        .and_then(|answer| answer.partial_success);
    let partial = partial.filter(|partial| partial.rejected_log_records > 0);
    partial.map_or(0, |partial| {
        log::warn!(
            "OTLP: of the reports the receiver rejects {}: {}",
            partial.rejected_log_records,
            partial.error_message
        );
        partial.rejected_log_records as u64
    })
}

fn rejects_points(answer: &Bytes) -> bool {
    let partial = ExportMetricsServiceResponse::decode(answer.clone())
        .ok()
        .and_then(|answer| answer.partial_success);
    let partial = partial.filter(|partial| partial.rejected_data_points > 0);
    partial.is_some_and(|partial| {
        log::warn!(
            "OTLP: of the metrics the receiver rejects {} values: {}",
            partial.rejected_data_points,
            partial.error_message
        );
        true
    })
}
