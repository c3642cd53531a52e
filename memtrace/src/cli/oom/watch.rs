//! `memtrace oom watch`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use memtrace::{
    cgroup::{Hierarchy, Places, resolve_target},
    command::Signals,
    input::{Input, OomWatchFacts},
    kernel::{attach::LoadOptions, facts::KernelFacts},
    model::oom::{KillStory, Kills},
    oom::OomWatch,
    source::{
        live::{LiveError, monotonic_ns},
        recording::{Recorder, Replay},
    },
    view::oom::kill,
};
use tokio::time::{Instant, sleep_until};

use crate::cli::{Output, failure::Failure, print};

/// Kills as they happen. In the kernel's own points where its OOM killer can be hooked (`memtrace
/// doctor` tells).
#[derive(Args)]
pub struct Watch {
    /// Only kills of processes in this cgroup and below; a TARGET as for predict
    #[arg(conflicts_with = "replay")]
    target: Option<String>,
    /// End after this time; else with Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// End after this many kills
    #[arg(long, value_name = "N")]
    kills: Option<u64>,
    /// How to print: a block of lines, or one line of JSON, for each kill
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// Keep what the answers are made of, for --replay
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Tell of kills from a recording
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

impl Watch {
    /// Runs it.
    pub async fn run(self, load: &LoadOptions) -> Result<ExitCode, Failure> {
        match &self.replay {
            Some(path) => self.replay(path)?,
            None => self.live(load).await?,
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn live(&self, load: &LoadOptions) -> Result<(), Failure> {
        let hierarchy = Hierarchy::find()?;
        let typed = self.target.as_deref().unwrap_or("/");
        let cgroup = resolve_target(&hierarchy, &Places::default(), typed)?;
        let kernel = KernelFacts::gather()?;
        let mut signals = Signals::install()?;
        let recorder = self.record.as_deref().map(Recorder::create).transpose();
        let (mut watch, facts) =
            OomWatch::start(kernel, load, hierarchy, cgroup, self.target.clone(), |_| {})
                .map_err(failure)?;
        let mut teller = Teller {
            recorder: recorder.map_err(Failure::failed)?,
            ..Teller::new(self, facts)
        };
        teller.record(|facts| Input::OomWatch(facts.clone().into()))?;
        log::info!("attached");
        let deadline = self.time.map(|time| Instant::now() + time);
        while !teller.has_enough() {
            let mut told = Vec::new();
            tokio::select! {
                () = watch.gather(|input| told.push(input)) => {}
                _ = signals.next() => break,
                () = until(deadline) => break,
            }
            teller.learn(told)?;
            teller.tell(monotonic_ns())?;
        }
        let mut told = Vec::new();
        let counters = watch.finish(|input| told.push(input)).map_err(failure)?;
        teller.learn(told)?;
        teller.tell_rest(monotonic_ns())?;
        let lost: u64 = counters.iter().map(|hook| hook.records_lost).sum();
        if lost > 0 {
            eprintln!(
                "memtrace: {lost} records of the OOM hooks were lost: the ring buffer was full"
            );
        }
        match teller.recorder {
            Some(recorder) => recorder.finish().map(drop).map_err(Failure::failed),
            None => Ok(()),
        }
    }

    fn replay(&self, path: &Path) -> Result<(), Failure> {
        let mut teller: Option<Teller> = None;
        let mut last_ns = 0;
        for input in Replay::open(path).map_err(Failure::failed)? {
            let input = input.map_err(|damage| {
                Failure::failed(anyhow::anyhow!("{}: {damage}", path.display()))
            })?;
            match (input, &mut teller) {
                (Input::OomWatch(facts), _) => teller = Some(Teller::new(self, facts)),
                (Input::OomTick(now_ns), Some(teller)) => {
                    last_ns = now_ns;
                    teller.tell(now_ns)?;
                }
                (input, Some(teller)) => teller.kills.apply(&input),
                (_, None) => break,
            }
        }
        let Some(mut teller) = teller else {
            return Err(Failure::failed(anyhow::anyhow!(
                "{} holds no `oom watch`: it was made by another command",
                path.display()
            )));
        };
        teller.tell_rest(last_ns)
    }
}

fn failure(error: LiveError) -> Failure {
    Failure::from(memtrace::session::SessionError::from(error))
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Prints kills, and keeps what they are made of.
struct Teller {
    kills: Kills,
    output: Output,
    wanted: Option<u64>,
    printed: u64,
    recorder: Option<Recorder>,
}

impl Teller {
    fn new(asked: &Watch, facts: Box<OomWatchFacts>) -> Self {
        Self {
            kills: Kills::new(facts),
            output: asked.output,
            wanted: asked.kills,
            printed: 0,
            recorder: None,
        }
    }

    fn has_enough(&self) -> bool {
        self.wanted.is_some_and(|wanted| self.printed >= wanted)
    }

    fn record(&mut self, input: impl FnOnce(&OomWatchFacts) -> Input) -> Result<(), Failure> {
        match &mut self.recorder {
            Some(recorder) => recorder
                .append(&input(self.kills.facts()))
                .map_err(Failure::failed),
            None => Ok(()),
        }
    }

    fn learn(&mut self, told: Vec<Input>) -> Result<(), Failure> {
        for input in told {
            self.kills.apply(&input);
            self.record(|_| input)?;
        }
        Ok(())
    }

    fn tell(&mut self, now_ns: u64) -> Result<(), Failure> {
        let settled = self.kills.settled(now_ns);
        if !settled.is_empty() {
            self.record(|_| Input::OomTick(now_ns))?;
        }
        self.print(&settled)
    }

    /// As [`tell`](Self::tell), and then those that are not complete.
    fn tell_rest(&mut self, now_ns: u64) -> Result<(), Failure> {
        self.record(|_| Input::OomTick(now_ns))?;
        let settled = self.kills.settled(now_ns);
        self.print(&settled)?;
        let rest = self.kills.rest(now_ns);
        self.print(&rest)
    }

    fn print(&mut self, stories: &[KillStory]) -> Result<(), Failure> {
        for story in stories {
            if self.has_enough() || !self.concerns(story) {
                continue;
            }
            self.printed += 1;
            let facts = self.kills.facts();
            print(&match self.output {
                Output::Text => kill::text(story, facts),
                Output::Json => kill::json(story, facts),
            })?;
        }
        Ok(())
    }

    fn concerns(&self, story: &KillStory) -> bool {
        let Some(within) = &self.kills.facts().within else {
            return true;
        };
        let path = story.victim_path.as_deref();
        path.is_some_and(|path| Path::new(path).starts_with(within))
    }
}
