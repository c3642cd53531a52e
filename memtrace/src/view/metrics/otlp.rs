//! The same families as OTLP messages. A receiver that adds units and `_total`, as Prometheus does, comes
//! to the names of docs/METRICS.md.

use std::fmt;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{
        AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
        metric::Data, number_data_point::Value,
    },
};
use prometheus_client::registry::Unit;
use prost::Message as _;

use super::{
    families,
    family::{About, Kind, Set, Sink},
};
use crate::{
    agent::Snapshot,
    view::otlp::{self, Sender},
};

/// Rows of one request: all of a thousand containers at once would be megabytes of messages.
const MAX_ROWS: usize = 2_000;

/// When the values are of, ns since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When counters began.
    pub start_unix_ns: u64,
    /// Now.
    pub unix_ns: u64,
}

/// All families as bodies of `POST /v1/metrics`, in parts.
///
/// # Errors
/// None that is known of: the families' interface has them.
pub fn requests(
    all: &Snapshot,
    sender: &Sender<'_>,
    times: Times,
) -> Result<Vec<Vec<u8>>, fmt::Error> {
    let mut batches = Batches {
        sender,
        times,
        metrics: Vec::new(),
        rows: 0,
        bodies: Vec::new(),
    };
    families(all, &mut batches)?;
    batches.close();
    Ok(batches.bodies)
}

struct Batches<'a> {
    sender: &'a Sender<'a>,
    times: Times,
    metrics: Vec<Metric>,
    /// In `metrics`.
    rows: usize,
    /// Encoded.
    bodies: Vec<Vec<u8>>,
}

impl Batches<'_> {
    fn close(&mut self) {
        if self.metrics.is_empty() {
            return;
        }
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(otlp::resource(self.sender)),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(otlp::scope()),
                    metrics: std::mem::take(&mut self.metrics),
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        };
        self.rows = 0;
        self.bodies.push(request.encode_to_vec());
    }

    fn push(&mut self, about: About, kind: Kind, data_points: Vec<NumberDataPoint>) {
        self.rows += data_points.len();
        let data = match kind {
            Kind::Gauge => Data::Gauge(Gauge { data_points }),
            Kind::Counter => Data::Sum(Sum {
                data_points,
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
                is_monotonic: true,
            }),
        };
        self.metrics.push(Metric {
            name: about.name.to_owned(),
            description: about.help.to_owned(),
            unit: unit(about).to_owned(),
            data: Some(data),
            ..Metric::default()
        });
        if self.rows >= MAX_ROWS {
            self.close();
        }
    }
}

impl Sink for Batches<'_> {
    fn family<'a>(
        &mut self,
        about: About,
        kind: Kind,
        rows: &mut dyn Iterator<Item = (Set<'a>, f64)>,
    ) -> Result<(), fmt::Error> {
        let mut points = Vec::new();
        for (labels, value) in rows {
            points.push(NumberDataPoint {
                attributes: labels
                    .iter()
                    .map(|(key, value)| otlp::text(key, value))
                    .collect(),
                start_time_unix_nano: match kind {
                    Kind::Counter => self.times.start_unix_ns,
                    Kind::Gauge => 0,
                },
                time_unix_nano: self.times.unix_ns,
                value: Some(Value::AsDouble(value)),
                ..NumberDataPoint::default()
            });
            if self.rows + points.len() >= MAX_ROWS {
                self.push(about, kind, std::mem::take(&mut points));
            }
        }
        if !points.is_empty() {
            self.push(about, kind, points);
        }
        Ok(())
    }
}

/// Of the Unified Code for Units of Measure, as OTLP has it.
fn unit(about: About) -> &'static str {
    match about.unit.map(|unit| unit()) {
        Some(Unit::Bytes) => "By",
        Some(Unit::Seconds) => "s",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{super::tests::whole, *};
    use crate::view::metrics::render;

    const SENDER: Sender<'_> = Sender { node: "node-17" };
    const TIMES: Times = Times {
        start_unix_ns: 5,
        unix_ns: 9,
    };

    fn decoded(containers: usize) -> Vec<ExportMetricsServiceRequest> {
        let bodies = requests(&whole(containers, true), &SENDER, TIMES).unwrap();
        let decode = |body: &Vec<u8>| ExportMetricsServiceRequest::decode(body.as_slice()).unwrap();
        bodies.iter().map(decode).collect()
    }

    fn metrics(requests: &[ExportMetricsServiceRequest]) -> impl Iterator<Item = &Metric> {
        let resources = requests.iter().flat_map(|one| &one.resource_metrics);
        let scopes = resources.flat_map(|one| &one.scope_metrics);
        scopes.flat_map(|scope| &scope.metrics)
    }

    fn points(metric: &Metric) -> &[NumberDataPoint] {
        match metric.data.as_ref().unwrap() {
            Data::Gauge(gauge) => &gauge.data_points,
            Data::Sum(sum) => &sum.data_points,
            other => panic!("{other:?}"),
        }
    }

    /// `name{labels} value` of each row, as Prometheus translates OTLP, in any order.
    fn translated(requests: &[ExportMetricsServiceRequest]) -> BTreeSet<String> {
        let mut series = BTreeSet::new();
        for metric in metrics(requests) {
            let unit = match metric.unit.as_str() {
                "By" => "_bytes",
                "s" => "_seconds",
                _ => "",
            };
            let total = match &metric.data {
                Some(Data::Sum(sum)) => {
                    assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
                    "_total"
                }
                _ => "",
            };
            for point in points(metric) {
                assert_eq!(point.time_unix_nano, 9);
                let labels: Vec<_> = point
                    .attributes
                    .iter()
                    .map(|label| format!("{}={:?}", label.key, label.value))
                    .collect();
                let new = series.insert(format!("{}{unit}{total}{labels:?}", metric.name));
                assert!(new, "{} twice", metric.name);
            }
        }
        series
    }

    #[test]
    fn the_same_series_as_metrics_serves() {
        let requests = decoded(3);
        let text = render(&whole(3, true)).unwrap();
        let served = text.lines().filter(|line| !line.starts_with('#'));
        let names: BTreeSet<_> = served
            .clone()
            .map(|line| line.split(['{', ' ']).next().unwrap().to_owned())
            .collect();
        let sent = translated(&requests);
        assert_eq!(sent.len(), served.count());
        let sent: BTreeSet<_> = sent
            .iter()
            .map(|line| line.split('[').next().unwrap().to_owned())
            .collect();
        assert_eq!(sent, names);
    }

    #[test]
    fn large_nodes_are_sent_in_parts() {
        let requests = decoded(1_000);
        assert!(requests.len() > 5, "{}", requests.len());
        let rows = |request: &ExportMetricsServiceRequest| {
            metrics(std::slice::from_ref(request))
                .map(|metric| points(metric).len())
                .sum::<usize>()
        };
        assert!(requests.iter().all(|request| rows(request) <= MAX_ROWS));
        let text = render(&whole(1_000, true)).unwrap();
        let served = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(translated(&requests).len(), served);
        for request in &requests {
            let resource = request.resource_metrics[0].resource.as_ref().unwrap();
            let keys: Vec<_> = resource.attributes.iter().map(|one| &one.key).collect();
            assert_eq!(
                keys,
                [
                    "service.name",
                    "service.version",
                    "service.instance.id",
                    "host.name"
                ]
            );
        }
    }
}
