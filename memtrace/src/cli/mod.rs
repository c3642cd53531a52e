//! The command line: one file a subcommand. Only this module parses arguments, prints and exits.

mod agent;
mod demo;
mod doctor;
mod explain;
mod failure;
mod logging;
mod oom;
#[cfg(feature = "otlp")]
mod otlp;
mod past;
mod record;
mod source;
mod target;
mod when;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use memtrace::kernel::{attach::LoadOptions, plan::hook_name};

use self::failure::Failure;

/// Explains why a container's working set grew, whether that memory would come back, and whom the
/// OOM killer would pick.
#[derive(Parser)]
#[command(name = "memtrace", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Say more on standard error, and let the BPF programs log
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Leave this hook out, named as doctor names it; may be repeated
    #[arg(long, global = true, value_name = "HOOK", value_parser = hook_name)]
    without_hook: Vec<String>,
}

#[derive(Subcommand)]
enum Command {
    /// The node's service: metrics, a history of kills, an API
    Agent(Box<agent::Agent>),
    /// The experiment that shows what memtrace is for, in a cgroup of its own
    Demo(demo::Demo),
    /// What this kernel allows, hook by hook, and how to get more
    Doctor(doctor::Doctor),
    /// Why the working set of a cgroup, or of a command, grows
    Explain(explain::Explain),
    /// One step of the demo, run in the demo's cgroup
    #[command(hide = true)]
    DemoStep(demo::step::Step),
    /// Whom the OOM killer would choose, and whom it chose
    Oom(oom::Oom),
    /// The same as explain, and keep what it was answered from in a file
    Record(record::Record),
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs: docs/json has the schemas
    Json,
}

/// Parses, runs, and maps every outcome to its exit code: 0 done, 1 failed, 2 wrong usage, 3 not
/// permitted or not supported here; with a command, the command's own or 125 to 127.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output and are no failure.
            let code = u8::from(error.use_stderr()) * 2;
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    logging::init(arguments.verbose);
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("memtrace: starting the async runtime: {error}");
            return ExitCode::from(1);
        }
    };
    let load = LoadOptions {
        verbose: arguments.verbose,
        without: arguments.without_hook,
        ..LoadOptions::default()
    };
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Agent(agent) => (*agent).run(&load).await,
            Command::Demo(demo) => demo.run(load).await,
            Command::DemoStep(step) => step.run(),
            Command::Doctor(doctor) => doctor.run(&load),
            Command::Explain(explain) => explain.run(load).await,
            Command::Oom(oom) => oom.run(load).await,
            Command::Record(record) => record.run(load).await,
        }
    });
    match outcome {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

/// Prints to standard output. A reader that has gone away (`| head`) is not an error.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write as _};
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| {
            Failure::failed(anyhow::anyhow!(error).context("writing to standard output"))
        }),
    }
}
