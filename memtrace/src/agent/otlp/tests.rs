//! Against a receiver on the loopback, which decodes what comes.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::mpsc::{Receiver, Sender, channel},
};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
};
use prost::Message as _;

use super::*;
use crate::view::metrics::tests::whole;

/// However busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request as it came.
#[derive(Debug)]
struct Came {
    path: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

/// Answers each request with the next of these, and then with 200.
fn receiver(answers: &[&'static str]) -> (String, Receiver<Came>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // By its name, as a receiver is called as a rule.
    let address = format!(
        "http://localhost:{}/otlp",
        listener.local_addr().unwrap().port()
    );
    let (sender, receiver) = channel();
    let mut answers = answers.to_vec();
    answers.reverse();
    thread::spawn(move || {
        for stream in listener.incoming() {
            if serve(stream.unwrap(), answers.pop(), &sender).is_none() {
                return;
            }
        }
    });
    (address, receiver)
}

/// `None` when nobody listens any more. A sender that is told to end may cut off a request.
fn serve(
    mut stream: std::net::TcpStream,
    answer: Option<&str>,
    sender: &Sender<Came>,
) -> Option<()> {
    match read(&stream) {
        Ok(came) => {
            let answer = answer.unwrap_or("200 OK\r\ncontent-length: 0");
            _ = write!(stream, "HTTP/1.1 {answer}\r\n\r\n");
            sender.send(came).ok()
        }
        Err(_) => Some(()),
    }
}

fn read(stream: &std::net::TcpStream) -> io::Result<Came> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let length = lines
        .iter()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|length| length.parse().ok())
        .ok_or(io::ErrorKind::InvalidData)?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Came {
        path: lines[0].split(' ').nth(1).unwrap_or_default().to_owned(),
        headers: lines[1..].to_vec(),
        body,
    })
}

fn settings(endpoint: &str) -> OtlpSettings {
    OtlpSettings {
        endpoint: endpoint.parse().unwrap(),
        headers: "authorization=Bearer%20x".parse().unwrap(),
        interval: Duration::from_millis(200),
        authorities: None,
        metrics: true,
        reports: true,
    }
}

fn report(id: u64) -> Report {
    Report {
        id,
        json: serde_json::json!({"id": id, "victim": {"comm": "java", "pid": 7}}),
        text: String::new(),
    }
}

fn ids(came: &Came) -> Vec<String> {
    let decoded = ExportLogsServiceRequest::decode(came.body.as_slice()).unwrap();
    let records = &decoded.resource_logs[0].scope_logs[0].log_records;
    let body = |record: &opentelemetry_proto::tonic::logs::v1::LogRecord| {
        format!("{:?}", record.attributes[0].value)
    };
    records.iter().map(body).collect()
}

#[test]
fn metrics_and_reports_arrive_and_can_be_decoded() {
    let (address, came) = receiver(&[]);
    let (publish, snapshot) = watch::channel(None);
    let mut exporter = Exporter::start(&settings(&address), "node-17", snapshot).unwrap();
    exporter.report(&report(1));
    let first = came.recv_timeout(PATIENCE).unwrap();
    assert_eq!(first.path, "/otlp/v1/logs");
    assert_eq!(ids(&first).len(), 1);
    for wanted in [
        "content-type: application/x-protobuf",
        "authorization: Bearer x",
    ] {
        assert!(first.headers.iter().any(|one| one == wanted), "{first:?}");
    }
    publish.send(Some(whole(3, true))).unwrap();
    let metrics = came.recv_timeout(PATIENCE).unwrap();
    assert_eq!(metrics.path, "/otlp/v1/metrics");
    let decoded = ExportMetricsServiceRequest::decode(metrics.body.as_slice()).unwrap();
    let names: Vec<_> = decoded.resource_metrics[0].scope_metrics[0]
        .metrics
        .iter()
        .map(|metric| metric.name.as_str())
        .collect();
    assert!(
        names.contains(&"memtrace_container_unreclaimable"),
        "{names:?}"
    );
    // And again, and at the end.
    came.recv_timeout(PATIENCE).unwrap();
    exporter.report(&report(2));
    exporter.finish();
    let rest: Vec<_> = came.try_iter().collect();
    assert!(
        rest.iter().any(|one| one.path.ends_with("logs")),
        "{rest:?}"
    );
}

#[test]
fn who_is_busy_is_asked_again_and_who_refuses_is_not() {
    let (address, came) = receiver(&[
        "503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0",
        "200 OK\r\ncontent-length: 0",
        "400 Bad Request\r\ncontent-length: 7\r\n\r\nwhy",
    ]);
    let (_publish, snapshot) = watch::channel(None);
    let only_reports = OtlpSettings {
        metrics: false,
        ..settings(&address)
    };
    let mut exporter = Exporter::start(&only_reports, "n", snapshot).unwrap();
    exporter.report(&report(1));
    let [busy, again] = [(); 2].map(|()| came.recv_timeout(PATIENCE).unwrap());
    assert_eq!(ids(&busy), ids(&again));
    exporter.report(&report(2));
    let refused = came.recv_timeout(PATIENCE).unwrap();
    exporter.report(&report(3));
    let next = came.recv_timeout(PATIENCE).unwrap();
    assert_ne!(ids(&refused), ids(&next));
    let start = std::time::Instant::now();
    while exporter.health().taken < 2 && start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(5));
    }
    let health = exporter.health();
    let counts = (
        health.taken,
        health.unanswered,
        health.refused,
        health.reports_dropped,
    );
    assert_eq!(counts, (2, 1, 1, 1));
    exporter.finish();
}

#[test]
fn nobody_waits_for_who_is_not_there() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let (publish, snapshot) = watch::channel(None);
    let mut exporter = Exporter::start(&settings(&address), "n", snapshot).unwrap();
    publish.send(Some(whole(1, false))).unwrap();
    let start = std::time::Instant::now();
    let mut sent = 0;
    while exporter.health().metrics_dropped == 0 && start.elapsed() < PATIENCE {
        exporter.report(&report(sent));
        sent += 1;
        thread::sleep(Duration::from_millis(20));
    }
    let health = exporter.health();
    assert!(
        health.metrics_dropped > 0 && health.unanswered > 0,
        "{health:?}"
    );
    assert_eq!(health.taken, 0);
    exporter.finish();
}

#[test]
fn https_needs_somebody_who_vouches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let (_publish, snapshot) = watch::channel(None);
    let with = OtlpSettings {
        authorities: Some(path.clone()),
        ..settings("https://collector:4318")
    };
    let refused = |snapshot| {
        let started = Exporter::start(&with, "n", snapshot);
        started.err().unwrap().to_string()
    };
    assert!(refused(snapshot.clone()).contains("ca.pem"));
    std::fs::write(&path, "no certificate\n").unwrap();
    assert!(refused(snapshot).contains("no certificate in it"));
}
