//! `memtrace explain TARGET --since`: what the agent has kept of a container that is gone.

use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::{
    agent_scene::{Agent, Container, OWN, source},
    oom::set_limit,
    oom_scene::{LIMIT, let_the_log_rest},
    room::Room,
};
use crate::{
    host::Host,
    process::{self, Finished, Running},
    suite::Outcome,
};

const MIB: u64 = 1 << 20;
/// More than the limit that the kill is at.
const HELD: u64 = 24 * MIB;
/// Sizes are kept to a page of 4 KiB, rounded.
const UNIT: u64 = 4_096;
/// The agent ticks five times a second: long enough to be seen, however busy the machine is.
const SEEN: Duration = Duration::from_secs(3);
/// Limits and counts are read every five seconds far from the limit, counts always.
const WHOLE: Duration = Duration::from_secs(9);

/// `memtrace explain ARGUMENTS`, where the room's agent keeps its history.
fn explain(room: &Room<'_>, arguments: &[&str]) -> anyhow::Result<Finished> {
    let mut command = process::command(&room.host.memtrace, ["explain"]);
    command.args(arguments).args(source(room)?);
    process::run(command)
}

fn past(room: &Room<'_>, arguments: &[&str]) -> anyhow::Result<Value> {
    let ended = explain(room, &[arguments, &["-o", "json"]].concat())?;
    ensure!(ended.status.success(), "{ended:?}");
    Ok(serde_json::from_slice(&ended.stdout)?)
}

/// The kernel's own count, now.
fn anon(container: &Container) -> anyhow::Result<u64> {
    let text = fs::read_to_string(container.directory.join("memory.stat"))?;
    let key = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        ["anon", "total_rss"]
            .contains(&key)
            .then(|| value.parse().ok())?
    };
    text.lines().find_map(key).context("no anon in memory.stat")
}

/// Held memory, a limit that is changed and a kill, asked for when the container and its agent are gone.
pub(super) fn of_a_dead_container(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let begun = SystemTime::now();
    let container = Container::new(&room, 11)?;
    let mut agent = Agent::start(&room)?;
    agent.wait_for("the container's series", |agent| {
        Ok(agent.series(OWN)? == Some(0.0))
    })?;
    let mut command = room.hog_command(&["anon", &HELD.to_string()]);
    process::join_at(&mut command, &container.directory)?;
    let mut hog = Running::start(command.stdin(Stdio::piped()))?;
    hog.wait_for_stdout("holding")?;
    let held = anon(&container)?;
    thread::sleep(SEEN);
    hog.release();
    hog.wait()?;
    set_limit(host, &container.directory, LIMIT / 2)?;
    thread::sleep(WHOLE);
    let_the_log_rest(host);
    let victim = container.kill_one(&room)?;
    agent.wait_for("the report", |agent| Ok(agent.series(OWN)? == Some(1.0)))?;
    thread::sleep(WHOLE);
    drop(container);
    // The agent looks for cgroups every five seconds, too.
    thread::sleep(WHOLE);
    // What is not kept yet is kept at the end.
    let (ended, _) = agent.end(Signal::TERM)?;
    ensure!(ended.status.success(), "{ended:?}");
    let since = format!("{}s ago", begun.elapsed()?.as_secs() + 600);
    let window = ["shop/web-0/app", "--since", since.as_str()];

    let told = past(&room, &window)?;
    let of = &told["of"][0];
    ensure!(
        told["of"].as_array().is_some_and(|of| of.len() == 1),
        "{told}"
    );
    ensure!(
        of["who"]["namespace"] == "shop" && of["who"]["container"] == "app",
        "{of}"
    );
    ensure!(of["who"]["gone"] == true, "{of}");
    let most = part(of, "anon", "most_bytes")?;
    ensure!(
        most + UNIT >= held && most <= held + MIB,
        "most anon {most}, the kernel said {held}: {of}"
    );
    ensure!(part(of, "anon", "start_bytes")? < MIB, "{of}");
    let change = of["limit_changes"].as_array().and_then(|all| all.last());
    let change = change.with_context(|| format!("no change of the limit: {of}"))?;
    ensure!(
        change["before_bytes"] == LIMIT && change["after_bytes"] == LIMIT / 2,
        "{change}"
    );
    ensure!(of["limit_bytes"] == LIMIT / 2, "{of}");
    let report = &of["reports"][0];
    ensure!(report["pid"] == victim && of["kills"] == 1, "{of}");
    ensure!(
        !told["gaps"].as_array().context("no gaps")?.is_empty(),
        "{told}"
    );

    // The same from a running agent, over its socket, and as text.
    let agent = Agent::start(&room)?;
    let again = past(&room, &window)?;
    ensure!(again["of"] == told["of"], "{again}\n{told}");
    let ended = explain(&room, &window)?;
    let text = String::from_utf8(ended.stdout)?;
    for words in [
        "Working set of shop/web-0/app",
        "The limit was lowered.",
        "The OOM killer killed 1 process",
        "NOT KNOWN which files and processes",
        "no agent ran",
    ] {
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(flat.contains(words), "{words}: {text}");
    }
    for (arguments, code, words) in [
        (
            &["shop/web-9", "--since", "1h ago"][..],
            1,
            "nothing is kept of",
        ),
        (
            &["shop/web-0/app", "--since", "2am"],
            2,
            "give a local time",
        ),
        (
            &["shop/web-0/app", "--since", "1m ago", "--until", "2m ago"],
            2,
            "not after",
        ),
        (&["shop/web-0/app", "--until", "02:15"], 2, "--since"),
        (&["--since", "02:00"], 2, "TARGET"),
        (
            &["shop/web-0/app", "--since", "02:00", "--for", "1s"],
            2,
            "--for",
        ),
        (
            &[
                "shop/web-0/app",
                "--since",
                "2000-01-01 00:00",
                "--until",
                "2000-01-02 00:00",
            ],
            1,
            "nothing is kept",
        ),
    ] {
        let ended = explain(&room, arguments)?;
        ensure!(
            ended.status.code() == Some(code) && ended.stderr.contains(words),
            "{arguments:?}: {ended:?}"
        );
    }
    agent.end(Signal::TERM)?;
    let seconds = UNIX_EPOCH.elapsed()?.as_secs() - begun.duration_since(UNIX_EPOCH)?.as_secs();
    Ok(Outcome::Passed(format!(
        "most anon {most} bytes of {held}, {} samples in {seconds} s",
        of["samples"]
    )))
}

fn part(of: &Value, name: &str, key: &str) -> anyhow::Result<u64> {
    let parts = of["parts"].as_array().context("no parts")?;
    let part = parts.iter().find(|part| part["name"] == name);
    part.and_then(|part| part[key].as_u64())
        .with_context(|| format!("no {key} of {name}: {of}"))
}
