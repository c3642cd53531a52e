//! `memtrace agent`: names, metrics, history.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::{
    agent_scene::{Agent, Container, OWN, listed, oom},
    oom_scene::let_the_log_rest,
    room::Room,
};
use crate::{host::Host, suite::Outcome};

/// Times the agent is killed; this variable asks for more.
const DEATHS: u64 = 20;
const DEATHS_VARIABLE: &str = "MEMTRACE_AGENT_DEATHS";
/// Kernels before 5.19 ask for it at each look into a map.
const CAP_BPF: u64 = 1 << 39;
/// A kill shows everywhere within this time, on a machine of one's own.
const SHOWN_S: f64 = 1.0;

/// A kill in a container appears everywhere with its name, also when the container is gone.
pub(super) fn a_kill_with_its_name(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let container = Container::new(&room, 7)?;
    let mut agent = Agent::start(&room)?;
    agent.wait_for("the container's series", |agent| {
        Ok(agent.series(OWN)? == Some(0.0))
    })?;
    let_the_log_rest(host);
    let victim = container.kill_one(&room)?;
    let died = Instant::now();
    let of = |report: &Value| report["victim"]["pid"] == victim;
    agent.wait_for("the report", |agent| Ok(agent.announced()?.iter().any(of)))?;
    let told_s = died.elapsed().as_secs_f64();
    agent.wait_for("the series", |agent| Ok(agent.series(OWN)? == Some(1.0)))?;
    let shown_s = died.elapsed().as_secs_f64();
    drop(container);
    let reports = listed(&room)?;
    let report = reports.iter().find(|report| of(report));
    let report = report.context("the history does not have it")?;
    ensure!(agent.announced()?.contains(report), "{report}");
    let name = &report["victim_name"];
    for (key, wanted) in [
        ("namespace", "shop"),
        ("pod", "web-0"),
        ("container", "app"),
        ("qos", "Burstable"),
    ] {
        ensure!(name[key] == wanted, "{key}: {name}");
    }
    ensure!(name["restarts"] == 7, "{name}");
    ensure!(
        report["complete"] == true && report["limit_owner"] == "own",
        "{report}"
    );
    ensure!(report["limit_name"] == *name, "{report}");
    let shown = oom(&room, &["show", &report["id"].to_string()])?;
    ensure!(
        shown.contains("shop/web-0/app  restart 7  Burstable"),
        "{shown}"
    );
    // The name and the count outlive the cgroup: two looks at the tree later they are still there.
    thread::sleep(Duration::from_secs(if host.is_emulated() { 1 } else { 11 }));
    ensure!(
        agent.series(OWN)? == Some(1.0),
        "{}",
        agent.get("/metrics")?
    );
    let privileges = agent.privileges()?;
    ensure!(
        privileges & !CAP_BPF == 0,
        "it may do too much: {privileges:#x}"
    );
    let (ended, announced) = agent.end(Signal::TERM)?;
    ensure!(ended.status.success(), "{ended:?}");
    ensure!(
        announced.iter().filter(|report| of(report)).count() == 1,
        "told twice"
    );
    ensure!(
        shown_s < SHOWN_S || host.is_emulated() || host.is_robbed()?.is_some(),
        "told after {told_s:.2} s, in the metrics after {shown_s:.2} s"
    );
    Ok(Outcome::Passed(format!(
        "told after {told_s:.2} s, in the metrics after {shown_s:.2} s, capabilities {privileges:#x}"
    )))
}

/// What is killed while no agent runs is told of by the next one, and by that one only.
pub(super) fn kills_while_it_was_away(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let container = Container::new(&room, 8)?;
    let mut agent = Agent::start(&room)?;
    agent.wait_for("the container's series", |agent| {
        Ok(agent.series(OWN)? == Some(0.0))
    })?;
    let (_, before) = agent.end(Signal::TERM)?;
    for _ in 0..2 {
        container.kill_one(&room)?;
    }
    let ours =
        |report: &Value| report["victim_name"]["pod_uid"] == "26822839-8c92-4c60-a921-ffc5991fa00f";
    let mut agent = Agent::start(&room)?;
    agent.wait_for("an incomplete report", |agent| {
        Ok(agent.announced()?.iter().any(ours))
    })?;
    let (_, told) = agent.end(Signal::TERM)?;
    let told: Vec<_> = before
        .iter()
        .chain(&told)
        .filter(|report| ours(report))
        .collect();
    ensure!(told.len() == 1, "{told:?}");
    let report = told[0];
    ensure!(
        report["complete"] == false && report["kills"] == 2 && report["before_start"] == true,
        "{report}"
    );
    ensure!(report["victim_name"]["container"] == "app", "{report}");
    let mut agent = Agent::start(&room)?;
    // Longer than it waits for somebody to tell of a kill.
    let patience = Instant::now();
    agent.wait_for("some seconds", |_| {
        Ok(patience.elapsed() > Duration::from_secs(5))
    })?;
    let (_, again) = agent.end(Signal::TERM)?;
    ensure!(!again.iter().any(ours), "told again: {again:?}");
    Ok(Outcome::Passed("2 kills, 1 report".to_owned()))
}

/// Killed at any moment, it has each announced report, and no kill goes unmentioned.
pub(super) fn killed_at_any_moment(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let container = Container::new(&room, 9)?;
    let mut agent = Agent::start(&room)?;
    agent.wait_for("the container's series", |agent| {
        Ok(agent.series(OWN)? == Some(0.0))
    })?;
    agent.end(Signal::TERM)?;
    let deaths = match std::env::var(DEATHS_VARIABLE) {
        Ok(wanted) => wanted.parse().context(DEATHS_VARIABLE)?,
        Err(_) => host.scaled(DEATHS),
    };
    let (mut announced, mut killed) = (Vec::new(), 0);
    for death in 0..deaths {
        let agent = Agent::start(&room)?;
        let late_ms = death * 7_919 % 700;
        let end = thread::scope(|scope| {
            let end = scope.spawn(|| {
                thread::sleep(Duration::from_millis(late_ms));
                agent.end(Signal::KILL)
            });
            while !end.is_finished() {
                container.kill_one(&room)?;
                killed += 1;
            }
            end.join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("panicked")))
        });
        announced.extend(end?.1);
    }
    // What was on the disk before anybody could be told of the gaps.
    let kept: BTreeSet<_> = listed(&room)?
        .iter()
        .filter_map(|report| report["id"].as_u64())
        .collect();
    let ids: Vec<_> = announced
        .iter()
        .filter_map(|report| report["id"].as_u64())
        .collect();
    let missing: Vec<_> = ids.iter().filter(|id| !kept.contains(id)).collect();
    ensure!(missing.is_empty(), "announced, and not kept: {missing:?}");
    ensure!(
        ids.iter().collect::<BTreeSet<_>>().len() == ids.len(),
        "announced twice: {ids:?}"
    );
    let mut agent = Agent::start(&room)?;
    let told = |agent: &Agent| -> anyhow::Result<u64> {
        ensure!(agent.get("/healthz")?.contains("200 OK"), "not healthy");
        Ok(listed(&room)?
            .iter()
            .filter(|report| report["victim_name"]["container"] == "app")
            .filter_map(|report| report["kills"].as_u64())
            .sum())
    };
    agent.wait_for(
        "all kills to be told of",
        |agent| Ok(told(agent)? >= killed),
    )?;
    // And not one more.
    thread::sleep(Duration::from_secs(4));
    let told = told(&agent)?;
    agent.end(Signal::TERM)?;
    ensure!(told == killed, "{killed} killed, {told} told of");
    Ok(Outcome::Passed(format!(
        "{deaths} times killed, {} reports announced, {killed} kills told of",
        ids.len()
    )))
}

/// Whoever is rude is turned away, and the others are served.
pub(super) fn rude_requests(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let agent = Agent::start(&room)?;
    let long = "x".repeat(200_000);
    let many = "a: b\r\n".repeat(2_000);
    for (what, request, answers) in [
        ("garbage", "\0\u{1}\u{2}\r\n\r\n".to_owned(), &["400", ""][..]),
        ("no HTTP", "hello there\r\n\r\n".to_owned(), &["400", ""]),
        ("a long path", format!("GET /{long} HTTP/1.1\r\n\r\n"), &["414", "431", "400", ""]),
        ("a long header", format!("GET / HTTP/1.1\r\na: {long}\r\n\r\n"), &["431", "400", ""]),
        ("many headers", format!("GET / HTTP/1.1\r\n{many}\r\n"), &["431", "400", ""]),
        ("another method", "DELETE /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(), &["405"]),
        ("a body", "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\nx".to_owned(), &["405"]),
        ("no such path", "GET /../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(), &["404"]),
        ("the API", "GET /api/v1/oom HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(), &["404"]),
    ] {
        let answer = agent.send(request.as_bytes()).unwrap_or_default();
        let status = answer.strip_prefix("HTTP/1.1 ").unwrap_or_default();
        let status = status.get(..3).unwrap_or_default();
        ensure!(answers.contains(&status), "{what}: {answer:.200}");
    }
    // More than may come at a time, and none of them says a word: those who come later find room
    // again when the others' time is over.
    let idle: Vec<_> = (0..100)
        .map(|_| std::net::TcpStream::connect(agent.address()))
        .collect();
    let start = Instant::now();
    let mut agent = agent;
    agent.wait_for("room", |agent| {
        Ok(agent
            .get("/healthz")
            .is_ok_and(|answer| answer.contains("200 OK")))
    })?;
    let waited_s = start.elapsed().as_secs_f64();
    drop(idle);
    let (ended, _) = agent.end(Signal::TERM)?;
    ensure!(
        ended.status.success() && !ended.stderr.contains("panicked"),
        "{ended:?}"
    );
    Ok(Outcome::Passed(format!(
        "served again after {waited_s:.1} s"
    )))
}
