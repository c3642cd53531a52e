//! One workload's cgroups, files and processes; all gone when it is dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use memtrace_tests::cgroup::{Hierarchy, TestCgroup};
use memtrace_tests::process::{Running, join_at};
use memtrace_tests::slow_disk::SlowDisk;

use super::Tools;
use crate::bench::risk::workload::{Do, Workload};
use crate::process;

/// What a service reads.
const FILE_BYTES: u64 = 300 << 20;
/// What gets through to a slow disk.
const SLOW_BYTES_PER_SECOND: u64 = 256 << 10;

/// The compiled Java program.
pub(super) struct Java {
    classes: PathBuf,
    /// What it is, for people.
    version: String,
}

impl Java {
    /// Compiles it; an error says what is missing.
    pub(super) fn compile(scratch: &Path) -> Result<Self> {
        let source = scratch.join("Heap.java");
        fs::write(&source, include_str!("Heap.java")).context("write Heap.java")?;
        let mut compile = Command::new("javac");
        process::run(compile.arg("-d").arg(scratch).arg(&source))
            .context("install a JDK (Debian: default-jdk-headless)")?;
        let version = process::stdout(Command::new("java").arg("--version"))?;
        Ok(Self {
            classes: scratch.to_owned(),
            version: version.lines().next().unwrap_or_default().to_owned(),
        })
    }
}

/// See the module. Processes go first, then cgroups, those below before those above.
pub(super) struct Scene {
    running: Vec<(usize, Running)>,
    cgroups: Vec<Option<TestCgroup>>,
    directories: Vec<PathBuf>,
    slow: Option<SlowDisk>,
    acted: usize,
    program: Option<String>,
}

impl Scene {
    pub(super) fn set(workload: &Workload, tools: &Tools, root: &Hierarchy) -> Result<Self> {
        let mut scene = Self {
            running: Vec::new(),
            cgroups: Vec::new(),
            directories: Vec::new(),
            slow: None,
            acted: 0,
            program: None,
        };
        for wanted in &workload.cgroups {
            let made = match wanted.parent {
                None => TestCgroup::create(root)?,
                Some(above) => {
                    let above = scene.cgroups[above].as_ref();
                    above.context("its parent has ended")?.child(wanted.name)?
                }
            };
            if let Some(mib) = wanted.limit_mib {
                made.set_limit(mib << 20)?;
            }
            scene.directories.push(made.path.clone());
            scene.cgroups.push(Some(made));
        }
        let uses = |what: &str| {
            let mentions = |act: &Do| matches!(act, Do::Live(_, steps) if steps.contains(what));
            workload.acts.iter().any(|(_, act)| mentions(act))
        };
        if uses("{slow}") {
            let cgroup = scene.cgroups[0].as_ref().context("no cgroup")?;
            let disk = SlowDisk::new(tools.scratch.path(), cgroup, SLOW_BYTES_PER_SECOND);
            scene.slow = Some(disk.context("there is no slow disk to be had here")?);
        }
        if uses("{file}:") {
            let file = file_of(workload, tools);
            let bytes = FILE_BYTES.to_string();
            let mut write = Command::new(&tools.hog);
            process::run(
                write
                    .arg("write")
                    .arg(&file)
                    .arg(bytes)
                    .stdout(Stdio::null()),
            )?;
            // Its pages are to be the workload's.
            process::run(
                Command::new(&tools.hog)
                    .arg("fadvise")
                    .arg(&file)
                    .stdout(Stdio::null()),
            )?;
        }
        Ok(scene)
    }

    /// Of the cgroups.
    pub(super) fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Whether a cgroup has ended.
    pub(super) fn has_ended(&self, place: usize) -> bool {
        self.cgroups[place].is_none()
    }

    /// The Java VM, if one ran.
    pub(super) fn program(&self) -> Option<&str> {
        self.program.as_deref()
    }

    /// Does what is due.
    pub(super) fn act(&mut self, second: u32, workload: &Workload, tools: &Tools) -> Result<()> {
        while let Some((at, act)) = workload.acts.get(self.acted)
            && *at <= second
        {
            self.acted += 1;
            match act {
                Do::Live(place, steps) => {
                    let steps = self.named(steps, workload, tools);
                    let mut life = Command::new(&tools.hog);
                    life.arg("life").args(steps.split(' '));
                    self.start(*place, life)?;
                }
                Do::Java(place, arguments) => {
                    let java = tools.java.as_ref().context("there is no Java here")?;
                    self.program = Some(java.version.clone());
                    let (options, rest): (Vec<_>, Vec<_>) =
                        arguments.split(' ').partition(|word| word.starts_with('-'));
                    let mut run = Command::new("java");
                    run.args(options).arg("-cp").arg(&java.classes);
                    run.arg("Heap").args(rest);
                    self.start(*place, run)?;
                }
                Do::Limit(place, mib) => {
                    let cgroup = self.cgroups[*place].as_ref();
                    cgroup.context("it has ended")?.set_limit(mib << 20)?;
                }
                Do::End(place) => {
                    self.running.retain(|(whose, _)| whose != place);
                    self.cgroups[*place] = None;
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, place: usize, mut command: Command) -> Result<()> {
        join_at(&mut command, &self.directories[place])?;
        let running = Running::start(command.stdin(Stdio::null()))?;
        self.running.push((place, running));
        Ok(())
    }

    /// Steps with their files.
    fn named(&self, steps: &str, workload: &Workload, tools: &Tools) -> String {
        let tmpfs = tools.tmpfs.path().join(workload.name);
        let mut named = steps
            .replace("{file}", &file_of(workload, tools).to_string_lossy())
            .replace("{tmpfs}", &tmpfs.to_string_lossy());
        if let Some(slow) = &self.slow {
            let file = slow.folder().join(workload.name);
            named = named.replace("{slow}", &file.to_string_lossy());
        }
        named
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.running.clear();
        while self.cgroups.pop().is_some() {}
    }
}

fn file_of(workload: &Workload, tools: &Tools) -> PathBuf {
    tools.scratch.path().join(workload.name)
}
