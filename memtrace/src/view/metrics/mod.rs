//! Metrics of a snapshot: OpenMetrics text for `/metrics`, and OTLP. docs/METRICS.md has every family,
//! and a test compares.

pub mod classic;
mod container;
mod family;
mod node;
#[cfg(feature = "otlp")]
pub mod otlp;

#[cfg(test)]
pub(crate) mod tests;

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, encoding::text, registry::Registry,
};

use self::family::{Sink, Text};
use crate::agent::Snapshot;

/// The content type of what [`render`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything, as Prometheus scrapes it.
///
/// # Errors
/// None that is known of: the encoder's interface has them.
pub fn render(snapshot: &Arc<Snapshot>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Metrics(Arc::clone(snapshot))));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Metrics(Arc<Snapshot>);

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        families(&self.0, &mut Text(encoder))
    }
}

/// All families, one after the other.
fn families(all: &Snapshot, to: &mut dyn Sink) -> Result<(), fmt::Error> {
    container::encode(all, to)?;
    node::encode(all, to)
}
