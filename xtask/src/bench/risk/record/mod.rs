//! Recording workloads: real processes in real memory cgroups, read as the agent reads them.

mod scene;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use memtrace::agent::read_node;
use memtrace::cgroup::{CgroupHandle, Hierarchy, Look, StatLines, WatchedCgroup};
use memtrace_tests::cgroup;

use self::scene::{Java, Scene};
use super::recording::{Head, NodeRow, Recording, Row, folder};
use super::workload::{self, Life, Workload};
use crate::workspace;

/// The recording of the machine itself.
pub const MACHINE: &str = "machine";
/// What is recorded after a kill.
const AFTER_KILL: u32 = 3;
/// Not all begin at once: the disk and the CPUs are shared.
const APART: Duration = Duration::from_millis(700);

/// What all workloads need.
struct Tools {
    /// `memtrace-hog`.
    hog: PathBuf,
    /// `None` where there is no JDK.
    java: Option<Java>,
    /// On a disk; gone when this is dropped.
    scratch: tempfile::TempDir,
    /// On a tmpfs; the same.
    tmpfs: tempfile::TempDir,
}

/// Records the workloads with these names, or all of them, side by side, and keeps them.
pub fn run(names: &[String]) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "recording makes memory cgroups: run it as root"
    );
    let hog = workspace::target_dir().join("release/memtrace-hog");
    ensure!(
        hog.is_file(),
        "no {}: run `cargo build --release -p memtrace-tests` first",
        hog.display()
    );
    let disk = workspace::target_dir();
    let scratch = tempfile::Builder::new()
        .prefix("memtrace-bench-")
        .tempdir_in(&disk)
        .with_context(|| format!("make a folder in {}", disk.display()))?;
    let tmpfs = tempfile::Builder::new()
        .prefix("memtrace-bench-")
        .tempdir_in("/dev/shm")
        .context("make a folder in /dev/shm, which must be a tmpfs")?;
    let java = match Java::compile(scratch.path()) {
        Ok(java) => Some(java),
        Err(error) => {
            eprintln!("no Java VM is recorded: {error:#}");
            None
        }
    };
    let tools = Tools {
        hog,
        java,
        scratch,
        tmpfs,
    };
    std::fs::create_dir_all(folder()).with_context(|| format!("make {}", folder().display()))?;
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let all = workload::all();
    let all: Vec<_> = all.iter().filter(|one| wanted(one.name)).collect();
    let longest = all.iter().map(|one| one.seconds).max();
    let tools = &tools;
    thread::scope(|scope| {
        let mut running = Vec::new();
        if wanted(MACHINE) {
            let seconds = longest.unwrap_or(600);
            running.push((MACHINE, scope.spawn(move || machine(seconds))));
        }
        for one in all {
            running.push((one.name, scope.spawn(move || record(one, tools))));
            thread::sleep(APART);
        }
        for (name, thread) in running {
            match thread.join() {
                Ok(Ok(told)) => eprintln!("{name}: {told}"),
                Ok(Err(error)) => eprintln!("{name}: not recorded: {error:#}"),
                Err(_) => eprintln!("{name}: not recorded: its thread panicked"),
            }
        }
    });
    Ok(())
}

fn head(name: &str, hierarchy: &Hierarchy) -> Head {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let short: Vec<_> = release.split(['.', '-']).take(2).collect();
    Head {
        name: name.to_owned(),
        kernel: short.join("."),
        cgroups: hierarchy.version(),
        program: None,
    }
}

/// Waits until `second` seconds after the start.
fn wait_for(start: Instant, second: u32) {
    let due = start + Duration::from_secs(u64::from(second));
    thread::sleep(due.saturating_duration_since(Instant::now()));
}

fn record(workload: &Workload, tools: &Tools) -> Result<String> {
    let hierarchy = Hierarchy::find()?;
    let root = cgroup::Hierarchy::find()?;
    let mut head = head(workload.name, &hierarchy);
    let mut scene = Scene::set(workload, tools, &root)?;
    let version = hierarchy.version();
    let open = |directory: &std::path::Path| -> Result<WatchedCgroup> {
        let handle = CgroupHandle::open(version, directory)?;
        Ok(WatchedCgroup::new(handle)?)
    };
    let mut watched = Vec::new();
    for directory in scene.directories() {
        watched.push(open(directory)?);
    }
    let mut rows = vec![Vec::new(); watched.len()];
    let (mut lines, mut buffer) = (StatLines::new(version), Vec::new());
    let mut until = workload.seconds;
    let (start, mut t) = (Instant::now(), 0);
    let mut kills: Vec<Option<u64>> = vec![None; watched.len()];
    while t < until {
        scene.act(t, workload, tools)?;
        wait_for(start, t);
        for (place, one) in watched.iter_mut().enumerate() {
            if scene.has_ended(place) {
                continue;
            }
            let sample = one.sample(Look::Whole, None, &mut lines, &mut buffer)?;
            let row = Row::of(t, place, &sample);
            let before = *kills[place].get_or_insert(row.kills.unwrap_or(0));
            if row.kills.is_some_and(|now| now > before) {
                until = until.min(t + AFTER_KILL);
            }
            rows[place].push(row);
        }
        t += 1;
    }
    head.program = scene.program().map(str::to_owned);
    let recording = Recording {
        head,
        rows,
        node: Vec::new(),
    };
    let killed = recording.kill();
    ensure!(
        killed.is_some() == matches!(workload.life, Life::Kill { .. }),
        "a kill at {killed:?} was not in the plan, or one that was did not happen"
    );
    recording.save()?;
    Ok(format!(
        "{t} s, {}",
        killed.map_or("no kill".to_owned(), |at| format!("killed at {at} s"))
    ))
}

/// The machine's own memory meanwhile.
fn machine(seconds: u32) -> Result<String> {
    let hierarchy = Hierarchy::find()?;
    let root = CgroupHandle::open(hierarchy.version(), hierarchy.mount_point()).ok();
    let start = Instant::now();
    let mut node = Vec::new();
    for t in 0..seconds {
        wait_for(start, t);
        node.push(NodeRow::of(
            t,
            &read_node(&hierarchy, root.as_ref()).context("read /proc")?,
        ));
    }
    let recording = Recording {
        head: head(MACHINE, &hierarchy),
        rows: Vec::new(),
        node,
    };
    recording.save()?;
    Ok(format!("{seconds} s"))
}
