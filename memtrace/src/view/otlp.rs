//! Reports of kills as OTLP log records, and what OTLP's messages have in common.

use humantime::parse_rfc3339;
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value as Any},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use prost::Message as _;
use serde_json::Value;

use crate::store::Report;

const NAME: &str = "memtrace";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Who sends.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// Name of the node.
    pub node: &'a str,
}

/// `key: "value"`
pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Any::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// Who sends, in OpenTelemetry's words.
pub(super) fn resource(sender: &Sender<'_>) -> Resource {
    Resource {
        attributes: vec![
            text("service.name", NAME),
            text("service.version", VERSION),
            text("service.instance.id", sender.node),
            text("host.name", sender.node),
        ],
        ..Resource::default()
    }
}

/// What within it.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: NAME.to_owned(),
        version: VERSION.to_owned(),
        ..InstrumentationScope::default()
    }
}

/// A report as a record: its body is the JSON of docs/json/oom-report.md, its attributes are what one
/// looks for.
pub fn record(report: &Report, observed_unix_ns: u64) -> LogRecord {
    let json = &report.json;
    let name = &json["victim_name"];
    let mut attributes = vec![attribute(
        "memtrace.report.id",
        Any::IntValue(report.id as i64),
    )];
    for (key, value) in [
        ("k8s.namespace.name", &name["namespace"]),
        ("k8s.pod.name", &name["pod"]),
        ("k8s.pod.uid", &name["pod_uid"]),
        ("k8s.container.name", &name["container"]),
        ("container.id", &name["container_id"]),
        ("memtrace.unit", &name["unit"]),
        ("memtrace.limit_owner", &json["limit_owner"]),
        ("process.command", &json["victim"]["comm"]),
    ] {
        attributes.extend(value.as_str().map(|value| text(key, value)));
    }
    for (key, value) in [
        ("memtrace.kills", &json["kills"]),
        ("process.pid", &json["victim"]["pid"]),
    ] {
        attributes.extend(
            value
                .as_i64()
                .map(|value| attribute(key, Any::IntValue(value))),
        );
    }
    let complete = json["complete"] != Value::Bool(false);
    attributes.push(attribute("memtrace.complete", Any::BoolValue(complete)));
    LogRecord {
        // When the victims of an incomplete report died is not known.
        time_unix_nano: json["time"].as_str().and_then(unix_ns).unwrap_or(0),
        observed_time_unix_nano: observed_unix_ns,
        severity_number: SeverityNumber::Error.into(),
        severity_text: "ERROR".to_owned(),
        body: Some(AnyValue {
            value: Some(Any::StringValue(json.to_string())),
        }),
        attributes,
        event_name: "memtrace.oom_report".to_owned(),
        ..LogRecord::default()
    }
}

/// Records as a body of `POST /v1/logs`.
pub fn request(log_records: Vec<LogRecord>, sender: &Sender<'_>) -> Vec<u8> {
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource(sender)),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    request.encode_to_vec()
}

fn unix_ns(time: &str) -> Option<u64> {
    let since = parse_rfc3339(time)
        .ok()?
        .duration_since(std::time::UNIX_EPOCH);
    Some(since.ok()?.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(record: &LogRecord, key: &str) -> Option<Any> {
        let found = record.attributes.iter().find(|one| one.key == key)?;
        found.value.as_ref()?.value.clone()
    }

    #[test]
    fn a_report_as_a_record() {
        let report = Report {
            id: 17,
            json: json!({
                "id": 17, "complete": true, "kills": 2, "limit_owner": "own",
                "time": "2026-11-21T02:14:07.312000123Z",
                "victim": {"pid": 7, "comm": "java"},
                "victim_name": {"namespace": "shop", "pod": "web-0", "container": "app", "unit": null},
            }),
            text: String::new(),
        };
        let body = request(vec![record(&report, 99)], &Sender { node: "n" });
        let decoded = ExportLogsServiceRequest::decode(body.as_slice()).unwrap();
        let record = &decoded.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!(record.time_unix_nano, 1_795_227_247_312_000_123);
        assert_eq!(record.observed_time_unix_nano, 99);
        assert_eq!(
            value(record, "k8s.pod.name"),
            Some(Any::StringValue("web-0".to_owned()))
        );
        assert_eq!(value(record, "process.pid"), Some(Any::IntValue(7)));
        assert_eq!(value(record, "memtrace.report.id"), Some(Any::IntValue(17)));
        assert_eq!(value(record, "memtrace.unit"), None);
        let Some(Any::StringValue(body)) = record.body.as_ref().unwrap().value.clone() else {
            panic!("{record:?}");
        };
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), report.json);
        let incomplete = Report {
            json: json!({"complete": false, "noticed": "2026-11-21T02:00:00Z", "kills": 3}),
            ..report
        };
        let record = super::record(&incomplete, 99);
        assert_eq!(record.time_unix_nano, 0);
        assert_eq!(
            value(&record, "memtrace.complete"),
            Some(Any::BoolValue(false))
        );
    }
}
