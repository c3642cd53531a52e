//! `memtrace demo`: writes a file, reads it twice, and explains why the working set grew by all of
//! it although nothing was allocated.

pub mod step;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use memtrace::{
    cgroup::{CgroupReader, Hierarchy, OwnCgroup},
    command::{Ended, Running, Signals},
    input::CgroupSample,
    kernel::{
        attach::{AttachError, LoadOptions},
        facts::KernelFacts,
    },
    model::Explanation,
    session::{Question, Session, SessionError},
    source::{
        live::{Live, LiveError},
        recording::{Recorder, Replay},
    },
};

use self::step::{FILE_BYTES, Work};
use super::{
    Output,
    explain::{explain_inputs, rendered},
    failure::Failure,
    print,
};

/// Made by `memtrace demo --record` on a real kernel.
static RECORDING: &[u8] = include_bytes!("../../../assets/demo.mtrace");

/// The experiment that shows what memtrace is for, in a cgroup of its own.
#[derive(Args)]
pub struct Demo {
    /// How to print the answer
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// Keep what the answer is made of
    #[arg(long, value_name = "FILE", hide = true)]
    record: Option<PathBuf>,
}

impl Demo {
    /// Runs it live, or replays it where that is not possible.
    pub async fn run(self, load: LoadOptions) -> Result<ExitCode, Failure> {
        match Experiment::prepare(load) {
            Ok(experiment) => experiment.run(self.output, self.record.as_deref()).await?,
            Err(failure) if self.record.is_none() => self.replay(&failure)?,
            Err(failure) => return Err(failure),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn replay(&self, why: &Failure) -> Result<(), Failure> {
        let name = Path::new("the built-in recording");
        let recording = Replay::new(RECORDING, name).map_err(Failure::failed)?;
        let (explanation, _) = explain_inputs(recording, name)?;
        if self.output == Output::Json {
            eprintln!("memtrace: {}", replayed(&explanation, why));
            return print(&rendered(&explanation, self.output));
        }
        print(&format!("{}\n\n", replayed(&explanation, why)))?;
        print(&wrote(&explanation.before))?;
        print(&read_twice(&explanation.after))?;
        print(&rendered(&explanation, self.output))
    }
}

fn replayed(explanation: &Explanation, why: &Failure) -> String {
    format!(
        "This is a REPLAY of a recording from Linux {}, because here: {}",
        explanation.facts.kernel_release,
        why.message()
    )
}

/// Everything that can be refused, before anything is printed.
struct Experiment {
    hierarchy: Hierarchy,
    kernel: KernelFacts,
    own: OwnCgroup,
    signals: Signals,
    load: LoadOptions,
}

impl Experiment {
    fn prepare(load: LoadOptions) -> Result<Self, Failure> {
        let hierarchy = Hierarchy::find()?;
        let kernel = KernelFacts::gather()?;
        // Loads every program and takes it off again: better to know now than in the middle.
        let live = Live::start(&kernel, &load).map_err(SessionError::from)?;
        if live.outcomes().iter().all(|hook| hook.attached.is_none()) {
            return Err(SessionError::from(LiveError::from(AttachError::NotPermitted)).into());
        }
        drop(live);
        Ok(Self {
            own: OwnCgroup::create(&hierarchy).map_err(Failure::unsupported)?,
            signals: Signals::install()?,
            hierarchy,
            kernel,
            load,
        })
    }

    async fn run(mut self, output: Output, record: Option<&Path>) -> Result<(), Failure> {
        let file = DemoFile::in_a_real_file_system().map_err(Failure::failed)?;
        let quiet = output == Output::Json;
        let say = |text: &str| if quiet { Ok(()) } else { print(text) };
        let cgroup = self.own.cgroup().clone();
        let mut reader = CgroupReader::open(self.hierarchy.version(), &cgroup.directory)
            .map_err(Failure::failed)?;

        say("The same 100 MiB of page cache, counted in two ways, in a cgroup of its own.\n\n")?;
        finished(
            self.step(Work::Write, &file)?
                .wait(&mut self.signals)
                .await?,
            Work::Write,
        )?;
        say(&wrote(&reader.sample().map_err(Failure::failed)?))?;

        let recorder = record
            .map(Recorder::create)
            .transpose()
            .map_err(Failure::failed)?;
        let question = Question {
            cgroup,
            typed: "demo".to_owned(),
            command: false,
            load: self.load.clone(),
        };
        let mut session = Session::start(&self.kernel, self.hierarchy.clone(), question, recorder)?;
        let mut reading = self.step(Work::Read, &file)?;
        let ended = session.watch(reading.wait(&mut self.signals)).await??;
        finished(ended, Work::Read)?;
        let answer = session.finish()?;
        say(&read_twice(&answer.explanation.after))?;
        print(&rendered(&answer.explanation, output))?;

        finished(
            self.step(Work::Drop, &file)?
                .wait(&mut self.signals)
                .await?,
            Work::Drop,
        )?;
        say(&dropped(&reader.sample().map_err(Failure::failed)?))?;
        self.own.remove().map_err(Failure::failed)?;
        match answer.recording_failed {
            Some(error) => Err(Failure::failed(error)),
            None => Ok(()),
        }
    }

    fn step(&self, work: Work, file: &DemoFile) -> Result<Running, Failure> {
        let program = std::env::current_exe()
            .context("finding memtrace's own program file")
            .map_err(Failure::failed)?;
        let arguments: [OsString; 3] = [
            "demo-step".into(),
            work.name().into(),
            file.path.clone().into(),
        ];
        Ok(Running::start(program.as_os_str(), &arguments, &self.own)?)
    }
}

fn finished(ended: Ended, work: Work) -> Result<(), Failure> {
    match ended.exit_code() {
        0 => Ok(()),
        code => Err(Failure::failed(anyhow::anyhow!(
            "the demo's step {} ended with exit code {code}",
            work.name()
        ))),
    }
}

fn wrote(sample: &CgroupSample) -> String {
    format!(
        "1. A new file of 100 MiB was written, once:\n{}\n",
        counters(sample)
    )
}

fn read_twice(sample: &CgroupSample) -> String {
    format!(
        "2. The file was read twice. Nothing was allocated, and yet:\n{}\n   \
         Why? `memtrace explain` says:\n\n",
        counters(sample)
    )
}

fn dropped(sample: &CgroupSample) -> String {
    format!(
        "\n3. The kernel was asked to drop the file's pages (posix_fadvise), and did:\n{}",
        counters(sample)
    )
}

fn counters(sample: &CgroupSample) -> String {
    let mib = |bytes: Option<u64>| match bytes {
        Some(bytes) => format!("{:>6.1} MiB", bytes as f64 / f64::from(1 << 20)),
        None => "unknown".to_owned(),
    };
    format!(
        "     usage {}   of it inactive_file {}   kubectl top shows {}\n",
        mib(sample.usage_bytes),
        mib(sample.stat.inactive_file),
        mib(sample.working_set_bytes()),
    )
}

/// The demo's file, removed at the end.
struct DemoFile {
    path: PathBuf,
}

impl DemoFile {
    /// In the first of TMPDIR, /var/tmp, /tmp and the current folder that is not in memory and has
    /// room: on tmpfs, pages are shmem, and the experiment would be another one.
    fn in_a_real_file_system() -> anyhow::Result<Self> {
        let tmpdir = std::env::var_os("TMPDIR").map(PathBuf::from);
        let folders = ["/var/tmp", "/tmp", "."].map(PathBuf::from);
        let folder = tmpdir
            .into_iter()
            .chain(folders)
            .find(|folder| is_on_disk(folder))
            .context(
                "demo: no folder on a disk with 128 MiB to spare (tried TMPDIR, /var/tmp, /tmp and the current one); set TMPDIR to one",
            )?;
        let path = folder.join(format!("memtrace-demo-{}", std::process::id()));
        Ok(Self { path })
    }
}

impl Drop for DemoFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn is_on_disk(folder: &Path) -> bool {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC` (include/uapi/linux/magic.h).
    const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
    rustix::fs::statfs(folder).is_ok_and(|found| {
        let free_bytes = found.f_bavail.saturating_mul(found.f_bsize as u64);
        !IN_MEMORY.contains(&(found.f_type as u64)) && free_bytes > FILE_BYTES + (28 << 20)
    })
}
