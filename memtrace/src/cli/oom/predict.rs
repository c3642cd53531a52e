//! `memtrace oom predict`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use clap::Args;
use memtrace::{
    cgroup::{Hierarchy, Places, resolve_target},
    input::{Input, OomSnapshot},
    kernel::facts::KernelFacts,
    model::oom,
    oom::{SnapshotError, Snapshots},
    source::recording::{Recorder, Replay},
    view,
};

use crate::cli::{Output, failure::Failure, print};

/// Who would be killed if memory ran out: at the target's own limit, at the limits below and above
/// it, and on the whole machine; without TARGET, at every limit of the machine.
#[derive(Args)]
pub struct Predict {
    /// A cgroup path, pid, container id (or its start), systemd unit, or namespace/pod[/container]
    #[arg(conflicts_with = "replay")]
    target: Option<String>,
    /// How long to look at who grows, for the answer at the limit; 0s answers for now only
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    over: Duration,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// Keep what the answer is made of, for --replay
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Predict from a recording
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

impl Predict {
    /// Runs it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let snapshots = match &self.replay {
            Some(path) => replay(path)?,
            None => self.live()?,
        };
        if let Some(path) = &self.record {
            record(path, &snapshots)?;
        }
        let (last, earlier) = match &snapshots[..] {
            [.., earlier, last] => (last, Some(earlier)),
            [last] => (last, None),
            [] => {
                return Err(Failure::failed(anyhow::anyhow!(
                    "the recording holds no `oom predict`: it was made by another command"
                )));
            }
        };
        let prediction = oom::predict(earlier.map(AsRef::as_ref), last);
        print(&match self.output {
            Output::Text => view::oom::text::render(&prediction),
            Output::Json => view::oom::json::render(&prediction),
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn live(&self) -> Result<Vec<Arc<OomSnapshot>>, Failure> {
        let hierarchy = Hierarchy::find()?;
        let typed = self.target.as_deref();
        let cgroup = resolve_target(&hierarchy, &Places::default(), typed.unwrap_or("/"))?;
        let kernel = KernelFacts::gather()?;
        let mut snapshots = Snapshots::new(kernel, hierarchy, cgroup, self.target.clone());
        let mut taken = Vec::new();
        if !self.over.is_zero() {
            taken.push(Arc::new(snapshots.take().map_err(failure)?));
            thread::sleep(self.over);
        }
        taken.push(Arc::new(snapshots.take().map_err(failure)?));
        Ok(taken)
    }
}

fn failure(error: SnapshotError) -> Failure {
    Failure::failed(error)
}

fn record(path: &Path, snapshots: &[Arc<OomSnapshot>]) -> Result<(), Failure> {
    let mut recorder = Recorder::create(path).map_err(Failure::failed)?;
    for snapshot in snapshots {
        recorder
            .append(&Input::OomSnapshot(Arc::clone(snapshot)))
            .map_err(Failure::failed)?;
    }
    recorder.finish().map(drop).map_err(Failure::failed)
}

fn replay(path: &Path) -> Result<Vec<Arc<OomSnapshot>>, Failure> {
    let mut snapshots = Vec::new();
    for input in Replay::open(path).map_err(Failure::failed)? {
        match input {
            Ok(Input::OomSnapshot(snapshot)) => snapshots.push(snapshot),
            Ok(_) => {}
            Err(damage) => {
                return Err(Failure::failed(anyhow::anyhow!(
                    "{}: {damage}",
                    path.display()
                )));
            }
        }
    }
    Ok(snapshots)
}
