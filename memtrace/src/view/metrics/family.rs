//! Families of series, written one by one.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use crate::agent::Labels;

/// Labels of one series, in the order in which they are written.
pub(super) type Set<'a> = Vec<(&'static str, &'a str)>;

/// A family's name without the unit and `_total`, its unit, and what it tells.
#[derive(Clone, Copy)]
pub(super) struct About {
    pub(super) name: &'static str,
    pub(super) unit: Option<fn() -> Unit>,
    pub(super) help: &'static str,
}

/// Of a family in bytes.
pub(super) fn bytes(name: &'static str, help: &'static str) -> About {
    About {
        name,
        unit: Some(|| Unit::Bytes),
        help,
    }
}

/// Of a family in seconds.
pub(super) fn seconds(name: &'static str, help: &'static str) -> About {
    About {
        name,
        unit: Some(|| Unit::Seconds),
        help,
    }
}

/// Of a family that counts things, or is a share.
pub(super) fn plain(name: &'static str, help: &'static str) -> About {
    About {
        name,
        unit: None,
        help,
    }
}

/// Of which kind a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A value that goes up and down.
    Gauge,
    /// One that only grows.
    Counter,
}

/// Where families go: whoever serves or sends metrics takes them from here, so that all have the same.
pub(super) trait Sink {
    /// Takes a whole family.
    fn family<'a>(
        &mut self,
        about: About,
        kind: Kind,
        rows: &mut dyn Iterator<Item = (Set<'a>, f64)>,
    ) -> Result<(), fmt::Error>;
}

/// Writes gauges. What is unknown has no row.
pub(super) fn gauges<'a>(
    to: &mut dyn Sink,
    about: About,
    rows: impl IntoIterator<Item = (Set<'a>, f64)>,
) -> Result<(), fmt::Error> {
    to.family(about, Kind::Gauge, &mut rows.into_iter())
}

/// Writes counters.
pub(super) fn counters<'a>(
    to: &mut dyn Sink,
    about: About,
    rows: impl IntoIterator<Item = (Set<'a>, f64)>,
) -> Result<(), fmt::Error> {
    to.family(about, Kind::Counter, &mut rows.into_iter())
}

/// OpenMetrics text.
pub(super) struct Text<'e>(pub(super) DescriptorEncoder<'e>);

impl Sink for Text<'_> {
    fn family<'a>(
        &mut self,
        about: About,
        kind: Kind,
        rows: &mut dyn Iterator<Item = (Set<'a>, f64)>,
    ) -> Result<(), fmt::Error> {
        let unit = about.unit.map(|unit| unit());
        let metric_type = match kind {
            Kind::Gauge => MetricType::Gauge,
            Kind::Counter => MetricType::Counter,
        };
        let mut family =
            self.0
                .encode_descriptor(about.name, about.help, unit.as_ref(), metric_type)?;
        for (labels, value) in rows {
            let mut row = family.encode_family(&labels)?;
            match kind {
                Kind::Counter => row.encode_counter::<NoLabelSet, f64, f64>(&value, None)?,
                Kind::Gauge => row.encode_gauge(&value)?,
            }
        }
        Ok(())
    }
}

/// A container's labels.
pub(super) fn whose(labels: &Labels) -> Set<'_> {
    vec![
        ("namespace", &labels.namespace),
        ("pod", &labels.pod),
        ("container", &labels.container),
    ]
}

/// The same with one more.
pub(super) fn whose_and<'a>(labels: &'a Labels, name: &'static str, value: &'a str) -> Set<'a> {
    let mut set = whose(labels);
    set.push((name, value));
    set
}
