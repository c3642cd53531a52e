//! Who is told of a report once it is kept: whoever reads the agent's output, and the OTLP receiver.

use std::sync::Arc;

use tokio::sync::watch;

#[cfg(feature = "otlp")]
use super::otlp::Exporter;
use super::{AgentError, ExportHealth, Settings, Snapshot};
use crate::store::Report;

/// See the module.
pub(super) struct Tell<A> {
    announce: A,
    #[cfg(feature = "otlp")]
    exporter: Option<Exporter>,
}

impl<A: FnMut(&Report)> Tell<A> {
    /// With an exporter, if there is to be one.
    ///
    /// # Errors
    /// If it cannot be started.
    #[cfg(feature = "otlp")]
    pub(super) fn start(
        settings: &Settings,
        snapshot: &watch::Receiver<Option<Arc<Snapshot>>>,
        announce: A,
    ) -> Result<Self, AgentError> {
        let start = |otlp| Exporter::start(otlp, &settings.node_name, snapshot.clone());
        let exporter = settings.otlp.as_ref().map(start).transpose()?;
        Ok(Self { announce, exporter })
    }

    /// Built without an exporter.
    #[cfg(not(feature = "otlp"))]
    pub(super) fn start(
        _: &Settings,
        _: &watch::Receiver<Option<Arc<Snapshot>>>,
        announce: A,
    ) -> Result<Self, AgentError> {
        Ok(Self { announce })
    }

    pub(super) fn of(&mut self, report: &Report) {
        (self.announce)(report);
        #[cfg(feature = "otlp")]
        if let Some(exporter) = &mut self.exporter {
            exporter.report(report);
        }
    }

    /// `None` without an exporter.
    pub(super) fn health(&self) -> Option<ExportHealth> {
        #[cfg(feature = "otlp")]
        return self.exporter.as_ref().map(Exporter::health);
        #[cfg(not(feature = "otlp"))]
        None
    }

    /// Gives the exporter a moment for what waits.
    pub(super) fn finish(self) {
        #[cfg(feature = "otlp")]
        if let Some(exporter) = self.exporter {
            exporter.finish();
        }
    }
}
