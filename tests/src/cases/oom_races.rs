//! What changes between a look at the processes and the kill.

use std::{fs, io::Write as _, path::Path, process::Command, thread, time::Duration};

use anyhow::{Context as _, bail, ensure};

use super::{
    oom::{pid, set_limit},
    oom_scene::{
        Expected, LIMIT, MIB, Watch, check, growing, killed_at, let_the_log_rest, seconds_of_day,
    },
    room::{Room, text},
};
use crate::{
    host::Host,
    process::{self, Running},
    suite::Outcome,
};

/// Writing here decides the pid of the next process (Documentation/admin-guide/sysctl/kernel.rst).
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
/// Others fork as well, and may be faster.
const TRIES: u32 = 50;

/// A limit is lowered after the last look at rest; the report has the new one, and the old.
pub(super) fn limit_lowered(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let_the_log_rest(host);
    set_limit(host, &room.cgroup.path, LIMIT)?;
    let watch = Watch::start(host, text(&room.cgroup.path)?, 1)?;
    let big = room.hog_holding(&["anon", &(20 * MIB).to_string()])?;
    let lowered = 24 * MIB;
    set_limit(host, &room.cgroup.path, lowered)?;
    let trigger = growing(&room, &room.cgroup.path)?;
    let report = watch.report()?;
    let name = room.cgroup.name();
    // Whichever is larger when the limit is reached.
    let victim = pid(&report["victim"]).context("no victim")?;
    ensure!([big.pid(), trigger.pid()].contains(&victim), "{report}");
    let expected = Expected {
        victim,
        victim_cgroup: &name,
        trigger: Some(trigger.pid()),
        trigger_cgroup: Some(&name),
        owner: "own",
        limit_cgroup: Some(&name),
        constraint: "memcg",
    };
    let figures = check(host, &report, &expected)?;
    let at_kill = &report["at_kill"];
    ensure!(
        at_kill["limit_bytes"] == lowered && at_kill["limit_before"]["bytes"] == LIMIT,
        "not lowered from {LIMIT} to {lowered}: {report}"
    );
    Ok(Outcome::Passed(figures))
}

/// The process that was foretold ends, another one gets its pid, and is killed: a prediction from
/// before its time was not about it.
pub(super) fn pid_used_again(host: &Host) -> anyhow::Result<Outcome> {
    if let Err(error) = fs::read(LAST_PID) {
        return Ok(Outcome::Skipped(format!("{LAST_PID}: {error}")));
    }
    let room = Room::new(host)?;
    let_the_log_rest(host);
    set_limit(host, &room.cgroup.path, LIMIT)?;
    let watch = Watch::start(host, text(&room.cgroup.path)?, 1)?;
    let mut first = room.hog_holding(&["anon", &(8 * MIB).to_string()])?;
    let wanted = first.pid();
    // A look, which is taken every two seconds where nothing is near; on an emulated CPU, where it
    // takes some 60 ms, after a rest of 200 times that.
    thread::sleep(Duration::from_secs(match host.is_emulated() {
        true => 15,
        false => 3,
    }));
    first.release();
    first.wait()?;
    let (again, mut word) = with_pid(&room, wanted)?;
    let began = seconds_of_day();
    word.write_all(b"go\n").context("telling it to grow")?;
    let report = watch.report()?;
    drop(again);
    ensure!(pid(&report["victim"]) == Some(wanted), "{report}");
    let now = &report["foretold"]["now"];
    let before = now["before_seconds"].as_f64();
    let read = killed_at(&report)
        .zip(before)
        .map(|(at, before)| at - before);
    let read = read.with_context(|| format!("nothing was foretold: {report}"))?;
    let wrong = now["held"] == "wrong" && now["cause"] == "not_there";
    if read < began {
        ensure!(wrong, "foretold of another process: {report}");
    } else {
        ensure!(now["held"] == "right", "{report}");
    }
    // Two looks make a window, and nobody else asked for memory in it.
    let waits = &report["window"]["reclaim_waits"];
    ensure!(
        waits["passes"].as_u64() >= Some(1) && waits["longest"]["pid"] == wanted,
        "the victim did not wait in reclaim: {report}"
    );
    Ok(Outcome::Passed(format!(
        "pid {wanted} again, looked at {:.0} ms after: {}; it waited {waits}",
        (read - began) * 1e3,
        now["held"]
    )))
}

/// A process with this pid that grows beyond the limit at a line on its standard input.
fn with_pid(room: &Room<'_>, wanted: u32) -> anyhow::Result<(Running, std::io::PipeWriter)> {
    for _ in 0..TRIES {
        let script = format!("read go; exec {} anon {}", text(&room.host.hog)?, 2 * LIMIT);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script]);
        let (reader, writer) = std::io::pipe().context("making a pipe")?;
        command.stdin(reader);
        process::join_at(&mut command, Path::new(&room.cgroup.path))?;
        fs::write(LAST_PID, (wanted - 1).to_string())
            .with_context(|| format!("writing {LAST_PID}"))?;
        let running = Running::start(&mut command)?;
        if running.pid() == wanted {
            return Ok((running, writer));
        }
    }
    bail!("pid {wanted} was never free in {TRIES} tries")
}
