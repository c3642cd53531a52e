//! `memtrace oom watch`.

use std::{path::Path, process::ExitCode, time::Duration};

use clap::Args;
use memtrace::{
    cgroup::{Cgroup, Hierarchy, Places, find_by_id, resolve_target},
    command::Signals,
    kernel::{attach::LoadOptions, facts::KernelFacts, hooks},
    model::oom::{KillReport, Kills},
    source::live::{Live, LiveError, monotonic_ns, unix_ns},
    view::oom::kill::{self, Setting},
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::cli::{Output, failure::Failure, print};

/// How often settled kills are printed.
const TICK: Duration = Duration::from_millis(25);

/// Kills as they happen. In the kernel's own points where its OOM killer can be hooked (`memtrace
/// doctor` tells).
#[derive(Args)]
pub struct Watch {
    /// Only kills of processes in this cgroup and below; a TARGET as for predict
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
}

impl Watch {
    /// Runs it.
    pub async fn run(self, load: &LoadOptions) -> Result<ExitCode, Failure> {
        let hierarchy = Hierarchy::find()?;
        let within = self
            .target
            .as_deref()
            .map(|typed| resolve_target(&hierarchy, &Places::default(), typed))
            .transpose()?;
        let mut kernel = KernelFacts::gather()?;
        kernel.find_per_cpu();
        let mut signals = Signals::install()?;
        let mut live =
            Live::start_some(&kernel, load, |signal| hooks::OOM_SIGNALS.contains(&signal))
                .map_err(failure)?;
        log::info!("attached");
        let mut printer = Printer {
            kills: Kills::new(kernel.rss_counters, kernel.page_size_bytes),
            hierarchy,
            within,
            output: self.output,
            wanted: self.kills,
            printed: 0,
        };
        let deadline = self.time.map(|time| Instant::now() + time);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ready = live.readable() => {
                    ready.map_err(failure)?;
                    live.drain(|input| printer.kills.apply(&input));
                }
                _ = tick.tick() => printer.print_settled(monotonic_ns())?,
                _ = signals.next() => break,
                () = until(deadline) => break,
            }
            if self.kills.is_some_and(|wanted| printer.printed >= wanted) {
                break;
            }
        }
        let counters = live
            .finish(|input| printer.kills.apply(&input))
            .map_err(failure)?;
        printer.print_settled(u64::MAX)?;
        let lost: u64 = counters.iter().map(|hook| hook.records_lost).sum();
        if lost > 0 {
            eprintln!(
                "memtrace: {lost} records of the OOM hooks were lost: the ring buffer was full"
            );
        }
        Ok(ExitCode::SUCCESS)
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

struct Printer {
    kills: Kills,
    hierarchy: Hierarchy,
    within: Option<Cgroup>,
    output: Output,
    wanted: Option<u64>,
    printed: u64,
}

impl Printer {
    fn print_settled(&mut self, now_ns: u64) -> Result<(), Failure> {
        for report in self.kills.settled(now_ns) {
            let enough = self.wanted.is_some_and(|wanted| self.printed >= wanted);
            if !enough && self.concerns(&report) {
                self.print(&report)?;
                self.printed += 1;
            }
        }
        Ok(())
    }

    fn path_of(&self, id: u64) -> Option<String> {
        find_by_id(&self.hierarchy, id)
            .ok()
            .flatten()
            .map(|cgroup| cgroup.path)
    }

    fn concerns(&self, report: &KillReport) -> bool {
        let Some(within) = &self.within else {
            return true;
        };
        let path = report.victim.cgroup_id.and_then(|id| self.path_of(id));
        path.is_some_and(|path| Path::new(&path).starts_with(&within.path))
    }

    fn print(&self, report: &KillReport) -> Result<(), Failure> {
        let setting = Setting {
            realtime_minus_monotonic_ns: unix_ns() as i64 - monotonic_ns() as i64,
            path_of: &|id| self.path_of(id),
        };
        print(&match self.output {
            Output::Text => kill::text(report, &setting),
            Output::Json => kill::json(report, &setting),
        })
    }
}
