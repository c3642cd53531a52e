//! A real Prometheus on what was scraped, on loopback, gone when this is dropped.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use memtrace_tests::process::Running;
use serde::Deserialize;

use super::replay::{DAY_S, EPOCH_S};
use super::rules::Rule;
use crate::process;

/// Until it answers.
const PATIENCE: Duration = Duration::from_secs(120);
/// More than all nodes' samples of a day.
const MAX_SAMPLES: &str = "--query.max-samples=1000000000";

/// See the module.
pub struct Prometheus {
    url: String,
    _running: Running,
}

/// A time in which an alert fired, seconds of the day.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// Of the alert.
    pub labels: BTreeMap<String, String>,
    /// From,
    pub fired: u32,
    /// until it was resolved, or the day ended.
    pub resolved: u32,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

impl Prometheus {
    /// Makes blocks of a file of OpenMetrics text below `folder`, and starts Prometheus on them.
    pub fn start(text: &Path, folder: &Path) -> Result<Self> {
        let data = folder.join("data");
        let mut fill = Command::new("promtool");
        fill.args([
            "tsdb",
            "create-blocks-from",
            "--max-block-duration=24h",
            "openmetrics",
        ]);
        process::stdout(fill.arg(text).arg(&data)).context("fill Prometheus")?;
        let config = folder.join("prometheus.yml");
        std::fs::write(&config, "scrape_configs: []\n").context("configure Prometheus")?;
        // Free a moment ago; if somebody takes it meanwhile, Prometheus says so and ends.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args([
                "--storage.tsdb.retention.time=100y",
                "--query.timeout=30m",
                MAX_SAMPLES,
            ])
            .stdin(Stdio::null());
        let mut running = Running::start(&mut command)?;
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(!running.has_ended()?, "prometheus ended at once");
            ensure!(begun.elapsed() < PATIENCE, "prometheus does not listen");
            thread::sleep(Duration::from_millis(100));
        }
        let url = format!("http://127.0.0.1:{port}");
        let started = Self {
            url,
            _running: running,
        };
        while let Err(error) = started.ask("vector(1)", 60) {
            if begun.elapsed() > PATIENCE {
                return Err(error).context("prometheus does not answer");
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(started)
    }

    /// When an alert fires over the day, its rule evaluated each `every` seconds.
    pub fn episodes(&self, rule: &Rule, every: u32) -> Result<Vec<Episode>> {
        let series = self.ask(&rule.expr, every);
        let series = series.with_context(|| format!("evaluate {}", rule.name))?;
        let mut all = Vec::new();
        for Series { metric, values } in series {
            let times = values.iter().map(|(at, _)| (*at as u64 - EPOCH_S) as u32);
            for (fired, resolved) in firing(times, rule.for_s as u32, every) {
                all.push(Episode {
                    labels: metric.clone(),
                    fired,
                    resolved,
                });
            }
        }
        Ok(all)
    }

    fn ask(&self, expr: &str, every: u32) -> Result<Vec<Series>> {
        let mut query = Command::new("promtool");
        query
            .args(["query", "range", "-o", "json"])
            .arg(format!("--start={EPOCH_S}"))
            .arg(format!("--end={}", EPOCH_S + u64::from(DAY_S) - 1))
            .arg(format!("--step={every}s"))
            .args([&self.url, expr]);
        let answer = process::stdout(&mut query)?;
        match serde_json::from_str(&answer) {
            Ok(series) => Ok(series),
            Err(error) => bail!("{error} in {:.200}", answer),
        }
    }
}

/// As Prometheus' rule manager does it (rules/alerting.go, `Eval`): an alert is pending from the first
/// evaluation with a result, fires at the first one that is `for_s` later, and is resolved by one
/// without.
fn firing(times: impl Iterator<Item = u32>, for_s: u32, every: u32) -> Vec<(u32, u32)> {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    for at in times {
        match spans.last_mut() {
            Some((_, last)) if at - *last <= every => *last = at,
            _ => spans.push((at, at)),
        }
    }
    let fires = |(since, last): (u32, u32)| {
        let fired = since + for_s.div_ceil(every) * every;
        (fired <= last).then_some((fired, last + every))
    };
    spans.into_iter().filter_map(fires).collect()
}

#[cfg(test)]
mod tests {
    use super::firing;

    #[test]
    fn an_alert_fires_once_it_was_active_for_long_enough() {
        let times = || (0..10).map(|n| n * 15).chain((20..22).map(|n| n * 15));
        assert_eq!(firing(times(), 120, 15), [(120, 150)]);
        assert_eq!(firing(times(), 0, 15), [(0, 150), (300, 330)]);
        assert_eq!(firing(times(), 136, 15), []);
        // At 40 s, 2 minutes have passed at the third evaluation after the first.
        assert_eq!(firing((0..5).map(|n| n * 40), 100, 40), [(120, 200)]);
    }
}
