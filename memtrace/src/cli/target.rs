//! What to explain: a target for a while, or a command until its end.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::Args;
use memtrace::{
    cgroup::{Hierarchy, OwnCgroup, Places, ScopeError, resolve_target},
    command::{Ended, Running, Signals, Waited, wait_empty},
    input::Input,
    kernel::{attach::LoadOptions, facts::KernelFacts},
    session::{Answer, Question, Session},
    source::recording::Recorder,
};
use tokio::time::{Instant, sleep};

use super::failure::Failure;

/// Time that a target is watched unless `--for` says otherwise.
const DEFAULT_FOR: Duration = Duration::from_secs(30);

/// Arguments of every command that watches something live.
#[derive(Args, Clone, Debug)]
pub struct Watch {
    /// A cgroup path, pid, container id (or its start), systemd unit, or namespace/pod[/container]
    #[arg(conflicts_with = "command", required_unless_present_any = ["command", "replay"])]
    pub target: Option<String>,
    /// How long to watch TARGET (30s unless told); with a command, how long to wait for what it
    /// leaves behind
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub time: Option<Duration>,
    /// Bytes of the BPF ring buffer, a power of two and at least a page
    #[arg(long, hide = true, default_value_t = LoadOptions::default().ring_bytes, value_parser = ring_bytes)]
    pub ring_bytes: u32,
    /// Count every update of the cgroup's counters, to the page (Linux 6.18 and later); `memtrace
    /// doctor` says what that costs
    #[arg(long, conflicts_with = "replay")]
    pub exact: bool,
    /// Run this command in a cgroup of its own and explain that
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
    /// Explain a recording instead of a live kernel
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "command", "time"])]
    pub replay: Option<PathBuf>,
}

fn ring_bytes(typed: &str) -> Result<u32, String> {
    let bytes: u32 = typed.parse().map_err(|_| "not a number".to_owned())?;
    if bytes.is_power_of_two() && bytes as usize >= rustix::param::page_size() {
        Ok(bytes)
    } else {
        Err("must be a power of two and at least a page".to_owned())
    }
}

/// An answer, and how the command ended, if there was one.
pub struct Watched {
    pub answer: Answer,
    pub ended: Option<Ended>,
}

impl Watch {
    /// Watches live.
    pub async fn live(
        &self,
        recorder: Option<Recorder>,
        load: LoadOptions,
    ) -> Result<Watched, Failure> {
        let load = LoadOptions {
            ring_bytes: self.ring_bytes,
            exact: self.exact,
            ..load
        };
        match (&self.target, self.command.split_first()) {
            (_, Some((program, arguments))) => {
                run_command(program, arguments, self.time, recorder, load)
                    .await
                    .map_err(Failure::with_command)
            }
            (Some(target), None) => {
                watch_target(target, self.time.unwrap_or(DEFAULT_FOR), recorder, load).await
            }
            (None, None) => Err(Failure::usage(anyhow::anyhow!(
                "nothing to explain: name a TARGET, or a command after --"
            ))),
        }
    }
}

async fn watch_target(
    typed: &str,
    time: Duration,
    recorder: Option<Recorder>,
    load: LoadOptions,
) -> Result<Watched, Failure> {
    let began = std::time::Instant::now();
    let hierarchy = Hierarchy::find()?;
    let cgroup = resolve_target(&hierarchy, &Places::default(), typed)?;
    let kernel = KernelFacts::gather()?;
    let mut signals = Signals::install()?;
    let question = Question {
        cgroup,
        typed: typed.to_owned(),
        command: false,
        load,
    };
    let mut session = Session::start(&kernel, hierarchy, question, recorder)?;
    log::info!("attached after {} ms", began.elapsed().as_millis());
    session
        .watch(async {
            tokio::select! {
                () = sleep(time) => {}
                // Asked to stop: what was seen so far is the answer.
                _ = signals.next() => {}
            }
        })
        .await?;
    Ok(Watched {
        answer: session.finish()?,
        ended: None,
    })
}

async fn run_command(
    program: &OsString,
    arguments: &[OsString],
    patience: Option<Duration>,
    recorder: Option<Recorder>,
    load: LoadOptions,
) -> Result<Watched, Failure> {
    let began = std::time::Instant::now();
    let hierarchy = Hierarchy::find()?;
    let kernel = KernelFacts::gather()?;
    let mut signals = Signals::install()?;
    let own = OwnCgroup::create(&hierarchy).map_err(scope_failure)?;
    if let Some(remark) = own.remark() {
        log::warn!("{remark}");
    }
    let argv: Vec<String> = std::iter::once(program)
        .chain(arguments)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let question = Question {
        cgroup: own.cgroup().clone(),
        typed: argv.join(" "),
        command: true,
        load,
    };
    let mut session = Session::start(&kernel, hierarchy, question, recorder)?;
    log::info!("attached after {} ms", began.elapsed().as_millis());
    let mut running = Running::start(program, arguments, &own)?;
    session.feed(Input::CommandStarted {
        pid: running.pid(),
        argv,
    });
    let ended = session.watch(running.wait(&mut signals)).await??;
    session.feed(Input::CommandEnded {
        code: ended.code(),
        signal: ended.signal(),
    });
    let deadline = patience.map(|patience| Instant::now() + patience);
    let waited = session
        .watch(wait_empty(&own, deadline, &mut signals))
        .await?
        .map_err(|error| Failure::failed(anyhow::Error::from(error)))?;
    // The end of the window is before the leftovers move out: their memory stays where it is.
    if waited != Waited::Empty {
        let tasks = own
            .release()
            .map_err(|error| Failure::failed(anyhow::Error::from(error)))?;
        for (pid, comm) in &tasks {
            log::warn!("left behind, alive, moved to memtrace's own cgroup: {comm} (pid {pid})");
        }
        session.feed(Input::LeftBehind { tasks });
    }
    let answer = session.finish()?;
    own.remove().map_err(scope_failure)?;
    Ok(Watched {
        answer,
        ended: Some(ended),
    })
}

fn scope_failure(error: ScopeError) -> Failure {
    Failure::failed(error)
}
