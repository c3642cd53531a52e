//! `memtrace explain TARGET --since 02:00 --until 02:15`: from what the agent has kept.

use std::{path::Path, process::ExitCode};

use clap::Args;
use jiff::{Timestamp, Zoned, tz::TimeZone};
use memtrace::{
    cgroup::{Hierarchy, Places, resolve_target},
    model::past::{Instant, Past, Question},
    store, view,
};
use serde_json::Value;

use super::{
    Output,
    failure::Failure,
    print,
    source::{Source, refused},
    when::{self, When},
};

/// Digits that a pid has at most; what has more is a container's id.
const PID_DIGITS: usize = 7;

/// The window, and where it is kept.
#[derive(Args, Clone, Debug, Default)]
pub struct Window {
    /// Explain what was, from the samples that the agent has kept: since this time. Local (02:00), RFC
    /// 3339, or `15m ago`
    #[arg(
        long,
        value_name = "TIME",
        value_parser = when::parse,
        requires = "target",
        conflicts_with_all = ["time", "exact", "command", "replay", "record"]
    )]
    since: Option<When>,
    /// Until this time; now unless told
    #[arg(long, value_name = "TIME", value_parser = when::parse, requires = "since")]
    until: Option<When>,
    #[command(flatten)]
    source: Source,
}

impl Window {
    /// `None` if nobody asked for what was.
    pub async fn run(&self, target: &str, output: Output) -> Option<Result<ExitCode, Failure>> {
        let since = self.since?;
        Some(self.answer(target, since, output).await)
    }

    async fn answer(&self, target: &str, since: When, output: Output) -> Result<ExitCode, Failure> {
        let now = Zoned::now();
        let [since, until] = when::window(since, self.until, &now)
            .map_err(|words| Failure::usage(anyhow::anyhow!(words)))?;
        let question = Question {
            target: as_kept(target)?,
            since: instant(since),
            until: instant(until),
        };
        let past = match self.source.ask(&path(&question)).await? {
            Some(answer) => parse(answer)?,
            None => {
                let page_size_bytes = rustix::param::page_size() as u64;
                store::past(&self.source.open()?, &question, page_size_bytes)
                    .map_err(Failure::failed)?
                    .map_err(Failure::failed)?
            }
        };
        let text = match output {
            Output::Text => {
                let zone = now.time_zone();
                view::past::render(&past, &|at| local(at, zone))
            }
            Output::Json => {
                let json = serde_json::to_string(&past).map_err(Failure::failed)?;
                format!("{json}\n")
            }
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A pid means its process's cgroup, and a path in the file system the one in the hierarchy. The rest is
/// as the agent has kept it.
fn as_kept(target: &str) -> Result<String, Failure> {
    let is_pid = target.len() <= PID_DIGITS && target.bytes().all(|byte| byte.is_ascii_digit());
    if is_pid && !target.is_empty() {
        let cgroup = resolve_target(&Hierarchy::find()?, &Places::default(), target)?;
        return Ok(cgroup.path);
    }
    let below = |hierarchy: Hierarchy| hierarchy.path_of(Path::new(target));
    let path = Hierarchy::find().ok().and_then(below);
    Ok(path.unwrap_or_else(|| target.to_owned()))
}

fn path(question: &Question) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("target", &question.target)
        .append_pair("since", &question.since.rfc3339())
        .append_pair("until", &question.until.rfc3339())
        .finish();
    format!("/api/v1/series?{query}")
}

fn parse(answer: Value) -> Result<Past, Failure> {
    if answer["of"].is_null() {
        return Err(refused(&answer));
    }
    serde_json::from_value(answer).map_err(|error| {
        Failure::failed(anyhow::Error::new(error).context("the agent is of another version"))
    })
}

fn instant(at: Timestamp) -> Instant {
    Instant(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

/// `2026-11-21 02:14:07`
fn local(at: Instant, zone: &TimeZone) -> String {
    match Timestamp::from_millisecond(at.0 as i64) {
        Ok(at) => at.to_zoned(zone.clone()).strftime("%F %T").to_string(),
        Err(_) => at.rfc3339(),
    }
}
