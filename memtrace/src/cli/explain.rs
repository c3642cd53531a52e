//! `memtrace explain`.

use std::{path::Path, path::PathBuf, process::ExitCode};

use clap::Args;
use memtrace::{
    aggregate::Aggregator,
    kernel::attach::LoadOptions,
    model::Explanation,
    source::recording::{Damage, Recorder, Replay},
    view,
};

use super::{
    Output,
    failure::Failure,
    past::Window,
    print,
    target::{Watch, Watched},
};

/// Why the working set of a cgroup, or of a command, grows.
#[derive(Args)]
pub struct Explain {
    #[command(flatten)]
    pub watch: Watch,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Output,
    /// Keep what the answer is made of, for --replay
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub record: Option<PathBuf>,
    #[command(flatten)]
    pub window: Window,
}

impl Explain {
    /// Runs it.
    pub async fn run(self, load: LoadOptions) -> Result<ExitCode, Failure> {
        if let Some(target) = &self.watch.target
            && let Some(done) = self.window.run(target, self.output).await
        {
            return done;
        }
        if let Some(path) = &self.watch.replay {
            let (explanation, damage) = replay(path)?;
            print(&rendered(&explanation, self.output))?;
            return Ok(match damage {
                None => ExitCode::SUCCESS,
                Some(damage) => {
                    eprintln!("memtrace: {}: {damage}", path.display());
                    ExitCode::from(1)
                }
            });
        }
        let with_command = !self.watch.command.is_empty();
        let or_125 = |failure: Failure| match with_command {
            true => failure.with_command(),
            false => failure,
        };
        let recorder = self
            .record
            .as_deref()
            .map(Recorder::create)
            .transpose()
            .map_err(|error| or_125(Failure::failed(error)))?;
        let Watched { answer, ended } = self.watch.live(recorder, load).await?;
        print(&rendered(&answer.explanation, self.output)).map_err(or_125)?;
        if let Some(error) = answer.recording_failed {
            return Err(or_125(Failure::failed(error)));
        }
        Ok(ended.map_or(ExitCode::SUCCESS, |ended| ExitCode::from(ended.exit_code())))
    }
}

/// Prints an answer as asked.
pub fn rendered(explanation: &Explanation, output: Output) -> String {
    match output {
        Output::Text => view::text::render(explanation),
        Output::Json => view::json::render(explanation),
    }
}

/// Explains a recording. One that is damaged or cut short explains what was whole.
fn replay(path: &Path) -> Result<(Explanation, Option<Damage>), Failure> {
    let recording = Replay::open(path).map_err(Failure::failed)?;
    explain_inputs(recording, path)
}

/// Explains a stream of recorded inputs; `path` is for messages.
pub fn explain_inputs(
    recording: impl Iterator<Item = Result<memtrace::input::Input, Damage>>,
    path: &Path,
) -> Result<(Explanation, Option<Damage>), Failure> {
    let mut aggregator = Aggregator::new();
    let mut damage = None;
    for input in recording {
        match input {
            Ok(input) => aggregator.apply(&input),
            Err(found) => damage = Some(found),
        }
    }
    match aggregator.explain() {
        Ok(explanation) => {
            let said = damage.iter().map(ToString::to_string);
            Ok((explanation.with_source_warnings(said), damage))
        }
        Err(incomplete) => {
            let error = anyhow::Error::from(incomplete);
            let error = match &damage {
                Some(damage) => error.context(damage.to_string()),
                None => error,
            };
            Err(Failure::failed(
                error.context(format!("replaying {}", path.display())),
            ))
        }
    }
}
