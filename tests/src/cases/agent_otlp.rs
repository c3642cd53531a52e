//! `memtrace agent --otlp` and receivers that are not ours.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::{
    agent_scene::{Agent, Container, OWN, has},
    oom_scene::let_the_log_rest,
    room::{Room, text},
};
use crate::{
    host::Host,
    process::{self, Running},
    suite::Outcome,
};

/// Names a VictoriaMetrics; `cargo xtask test` fetches one.
const VARIABLE: &str = "MEMTRACE_OTLP_RECEIVER";

fn receiver() -> Option<PathBuf> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    named.or_else(|| has("victoria-metrics").then(|| "victoria-metrics".into()))
}

/// Rows of an instant query.
fn query(at: &str, what: &str) -> anyhow::Result<Vec<Value>> {
    let mut command = process::command("promtool".as_ref(), ["query", "instant", "-o", "json"]);
    command.args([format!("http://{at}"), what.to_owned()]);
    let ended = process::run(command)?;
    // It may not listen yet.
    Ok(serde_json::from_slice(&ended.stdout).unwrap_or_default())
}

/// VictoriaMetrics takes what is sent, and has the series that `/metrics` serves, under the same names
/// once it has added units and `_total`; a kill is in them.
pub(super) fn exports(host: &Host) -> anyhow::Result<Outcome> {
    let Some(program) = receiver() else {
        return Ok(Outcome::Skipped(format!(
            "there is no victoria-metrics here; {VARIABLE} names one"
        )));
    };
    if !has("promtool") {
        return Ok(Outcome::Skipped("there is no promtool here".to_owned()));
    }
    let room = Room::new(host)?;
    let container = Container::new(&room, 12)?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let (receiver, at) = start(&room, &program, address.port())?;
    let query = |what: &str| query(&at, what);
    // By a name: the confined agent has to look it up.
    let endpoint = format!("http://localhost:{}/opentelemetry", address.port());
    let arguments = [
        "--otlp",
        &endpoint,
        "--otlp-interval",
        "1s",
        "--otlp-signals",
        "metrics",
    ];
    let mut agent = Agent::start_with(&room, &arguments.map(str::to_owned))?;
    agent.wait_for("the container's series", |agent| {
        Ok(agent.series(OWN)? == Some(0.0))
    })?;
    agent.wait_for("the receiver to have it", |_| Ok(!query(OWN)?.is_empty()))?;
    let_the_log_rest(host);
    container.kill_one(&room)?;
    agent.wait_for("the kill at the receiver", |_| {
        let rows = query(OWN)?;
        Ok(rows.first().is_some_and(|row| row["value"][1] == "1"))
    })?;
    let served = agent.get("/metrics")?;
    let (_, body) = served.split_once("\r\n\r\n").context("no body")?;
    let names: BTreeSet<_> = body
        .lines()
        .filter(|line| line.starts_with("memtrace_"))
        .filter_map(|line| line.split(['{', ' ']).next().map(str::to_owned))
        .collect();
    let rows = query("{__name__=~\"memtrace_.*\"}")?;
    let sent: BTreeSet<_> = rows
        .iter()
        .filter_map(|row| row["metric"]["__name__"].as_str().map(str::to_owned))
        .collect();
    // Those of units and of predictions come and go with the machine.
    let missing: Vec<_> = names.difference(&sent).collect();
    let more: Vec<_> = sent.difference(&names).collect();
    let passing = |names: &[&String]| {
        names
            .iter()
            .all(|name| name.contains("_eta_") || name.contains("predicted_victim"))
    };
    ensure!(
        passing(&missing) && passing(&more),
        "served and not there: {missing:?}, there and not served: {more:?}"
    );
    let own = rows.iter().find(|row| row["metric"]["pod"] == "web-0");
    let own = &own.context("no row of the container")?["metric"];
    ensure!(
        own["namespace"] == "shop" && own.to_string().contains("node-17"),
        "{own}"
    );
    let dropped = agent.series("memtrace_agent_otlp_dropped_total{kind=\"metrics\"}")?;
    agent.privileges()?;
    // Nobody waits for who is gone.
    drop(receiver);
    agent.wait_for("a request without an answer", |agent| {
        let unanswered = "memtrace_agent_otlp_requests_total{outcome=\"unanswered\"}";
        Ok(agent.series(unanswered)?.is_some_and(|count| count > 0.0))
    })?;
    ensure!(agent.get("/healthz")?.contains("200 OK"), "not healthy");
    let (ended, _) = agent.end(Signal::TERM)?;
    ensure!(ended.status.success(), "{ended:?}");
    Ok(Outcome::Passed(format!(
        "{} names, {} series, {} snapshots dropped",
        sent.len(),
        rows.len(),
        dropped.unwrap_or(f64::NAN)
    )))
}

fn start(room: &Room<'_>, program: &Path, port: u16) -> anyhow::Result<(Running, String)> {
    let at = format!("127.0.0.1:{port}");
    let mut command = process::command(program, ["-opentelemetry.usePrometheusNaming"]);
    command
        .arg(format!(
            "-storageDataPath={}",
            text(&room.folder().join("vm"))?
        ))
        .arg(format!("-httpListenAddr={at}"))
        // What has just come is to be seen.
        .args(["-search.latencyOffset=1ms", "-inmemoryDataFlushInterval=1s"])
        // Of the machine's memory, whatever it has.
        .arg("-memory.allowedBytes=64MiB");
    Ok((Running::start(&mut command)?, at))
}
