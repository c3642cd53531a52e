//! `memtrace agent` and a real Prometheus.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::{
    agent_scene::{Agent, Container, OWN, has},
    room::Room,
};
use crate::{
    host::Host,
    process::{self, Running},
    suite::Outcome,
};

/// A real Prometheus takes what is served.
pub(super) fn scrapes(host: &Host) -> anyhow::Result<Outcome> {
    for program in ["prometheus", "promtool"] {
        if !has(program) {
            return Ok(Outcome::Skipped(format!("there is no {program} here")));
        }
    }
    let room = Room::new(host)?;
    let _container = Container::new(&room, 10)?;
    let mut agent = Agent::start(&room)?;
    agent.wait_for("the container's series", |agent| {
        Ok(agent.series(OWN)? == Some(0.0))
    })?;
    let answer = agent.get("/metrics")?;
    let (_, metrics) = answer.split_once("\r\n\r\n").context("no body")?;
    let mut check = process::command("promtool".as_ref(), ["check", "metrics"]);
    check.stdin(Stdio::piped());
    let mut check = check
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    check
        .stdin
        .take()
        .context("no stdin")?
        .write_all(metrics.as_bytes())?;
    let checked = check.wait_with_output()?;
    ensure!(
        checked.status.success() && checked.stdout.is_empty() && checked.stderr.is_empty(),
        "promtool check metrics: {checked:?}"
    );
    let config = room.folder().join("prometheus.yml");
    fs::write(
        &config,
        format!(
            "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: memtrace\n  static_configs:\n  - targets: ['{}']\n",
            agent.address()
        ),
    )?;
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut prometheus = process::command(
        "prometheus".as_ref(),
        [
            format!("--config.file={}", config.display()),
            format!(
                "--storage.tsdb.path={}",
                room.folder().join("tsdb").display()
            ),
            format!("--web.listen-address={address}"),
        ],
    );
    let _prometheus = Running::start(&mut prometheus)?;
    let query = |what: &str| -> anyhow::Result<f64> {
        let mut ask = process::command("promtool".as_ref(), ["query", "instant", "-o", "json"]);
        ask.args([format!("http://{address}"), what.to_owned()]);
        let ended = process::run(ask)?;
        let rows: Value = serde_json::from_slice(&ended.stdout).unwrap_or_default();
        let value = rows[0]["value"][1].as_str().unwrap_or("NaN");
        Ok(value.parse()?)
    };
    agent.wait_for("Prometheus to have scraped", |_| {
        Ok(query("memtrace_agent_build_info")? == 1.0)
    })?;
    let up = query("up{job=\"memtrace\"}")?;
    ensure!(up == 1.0, "up is {up}");
    let series = query("count({__name__=~\"memtrace_container_.*\",pod=\"web-0\"})")?;
    ensure!(
        (1.0..=12.0).contains(&series),
        "{series} series of the container"
    );
    let samples = query("scrape_samples_scraped")?;
    agent.end(Signal::TERM)?;
    Ok(Outcome::Passed(format!(
        "{samples} samples a scrape, {series} of the container"
    )))
}

/// The alert rules hold what their tests say, and each alert has a page that says what to do.
pub(super) fn alert_rules(_: &Host) -> anyhow::Result<Outcome> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = repository.join("deploy/prometheus");
    if !folder.is_dir() {
        return Ok(Outcome::Skipped("the repository is not here".to_owned()));
    }
    if !has("promtool") {
        return Ok(Outcome::Skipped("there is no promtool here".to_owned()));
    }
    for arguments in [
        ["check", "rules", "memtrace.rules.yml"],
        ["test", "rules", "memtrace.rules.test.yml"],
    ] {
        let mut command = process::command("promtool".as_ref(), arguments);
        command.current_dir(&folder);
        let ended = process::run(command)?;
        ensure!(
            ended.status.success(),
            "{}",
            String::from_utf8_lossy(&ended.stdout)
        );
    }
    let rules = fs::read_to_string(folder.join("memtrace.rules.yml"))?;
    let tests = fs::read_to_string(folder.join("memtrace.rules.test.yml"))?;
    let alerts: Vec<_> = rules.split("- alert: ").skip(1).collect();
    for alert in &alerts {
        let name = alert.lines().next().unwrap_or_default();
        let url = alert
            .lines()
            .find_map(|line| line.trim().strip_prefix("runbook_url: "));
        let url = url.with_context(|| format!("{name} has no page"))?;
        let page = PathBuf::from(url.rsplit_once("/docs/").context("not below docs")?.1);
        let text = fs::read_to_string(repository.join("docs").join(&page))
            .with_context(|| page.display().to_string())?;
        ensure!(
            text.contains(name),
            "{} does not say {name}",
            page.display()
        );
    }
    let tested = alerts.iter().filter(|alert| {
        tests.contains(&format!(
            "alertname: {}\n",
            alert.lines().next().unwrap_or_default()
        ))
    });
    Ok(Outcome::Passed(format!(
        "{} alerts with pages, {} of them with tests",
        alerts.len(),
        tested.count()
    )))
}
