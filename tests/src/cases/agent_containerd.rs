//! `memtrace agent` and a container that a real runtime made: no image and no registry is needed.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use super::{
    agent_scene::{Agent, OWN, UID, has, link, listed},
    oom_scene::{LIMIT, let_the_log_rest},
    room::{Room, text},
};
use crate::{
    cgroup::{self, Version},
    host::Host,
    process::{self, PATIENCE, Running},
    suite::Outcome,
};

/// Long enough for the agent to look at the tree, and for the link to be read.
const LIVES_S: u32 = 8;

/// containerd without its Kubernetes part, with folders of its own.
pub(super) struct Containerd {
    socket: PathBuf,
    _running: Running,
}

impl Containerd {
    pub(super) fn start(room: &Room<'_>) -> anyhow::Result<Self> {
        let folder = room.folder();
        let socket = folder.join("containerd.sock");
        let config = folder.join("containerd.toml");
        let place = folder.display();
        fs::write(
            &config,
            format!(
                "version = 2\nroot = \"{place}/root\"\nstate = \"{place}/state\"\n\
                 disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
                 [grpc]\naddress = \"{}\"\n",
                socket.display()
            ),
        )?;
        let mut command = process::command("containerd".as_ref(), ["--config", text(&config)?]);
        let own = Self {
            _running: Running::start(&mut command)?,
            socket,
        };
        let start = std::time::Instant::now();
        while !own.ctr(&["version"])?.status.success() {
            ensure!(start.elapsed() < PATIENCE, "containerd does not answer");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(own)
    }

    /// `ctr ARGUMENTS`, to be started.
    pub(super) fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = process::command("ctr".as_ref(), ["--address", text(&self.socket)?]);
        command.args(["--namespace", "k8s.io"]).args(arguments);
        Ok(command)
    }

    /// `ctr ARGUMENTS`, to its end.
    pub(super) fn ctr(&self, arguments: &[&str]) -> anyhow::Result<process::Finished> {
        process::run(self.command(arguments)?)
    }
}

/// The runtime makes the container's cgroup in every hierarchy that is mounted (v1 has one a
/// controller); those above it stay behind.
pub(super) struct Above {
    /// The room's cgroup.
    room: PathBuf,
    hierarchies: Vec<PathBuf>,
    /// The innermost of those above the container, below the room's.
    innermost: String,
}

impl Above {
    pub(super) fn new(room: &Room<'_>, innermost: &str) -> anyhow::Result<Self> {
        let mount = &room.host.hierarchy.mount;
        let hierarchies = match room.cgroup.version() {
            Version::V2 => vec![mount.clone()],
            Version::V1 => fs::read_dir(mount.parent().unwrap_or(mount))?
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            room: room.cgroup.path.clone(),
            hierarchies,
            innermost: innermost.to_owned(),
        })
    }
}

impl Drop for Above {
    fn drop(&mut self) {
        let name = self.room.file_name().unwrap_or_default();
        for hierarchy in &self.hierarchies {
            let top = hierarchy.join(name);
            let innermost = top.join(&self.innermost);
            let own = |folder: &&Path| folder.starts_with(&top) && **folder != self.room;
            for folder in innermost
                .ancestors()
                .take_while(own)
                .filter(|folder| folder.exists())
            {
                if let Err(error) = cgroup::remove(folder) {
                    eprintln!("{error:#}");
                }
            }
        }
    }
}

/// A root file system with a shell.
fn root_fs(room: &Room<'_>, busybox: &Path) -> anyhow::Result<PathBuf> {
    let root = room.folder().join("rootfs");
    for folder in ["bin", "proc", "dev", "sys", "tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy(busybox, root.join("bin/busybox"))?;
    for name in ["sh", "sleep", "tail"] {
        symlink("busybox", root.join("bin").join(name))?;
    }
    Ok(root)
}

/// A container of containerd's is named after its death.
pub(super) fn real_container(host: &Host) -> anyhow::Result<Outcome> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    let Some(busybox) = busybox.into_iter().find(|path| path.exists()) else {
        return Ok(Outcome::Skipped("there is no busybox here".to_owned()));
    };
    for program in ["containerd", "ctr", "runc"] {
        if !has(program) {
            return Ok(Outcome::Skipped(format!("there is no {program} here")));
        }
    }
    let room = Room::new(host)?;
    let containerd = Containerd::start(&room)?;
    let root = root_fs(&room, busybox)?;
    let id = format!("{:064x}", std::process::id());
    link(&room, &id, 2)?;
    let mut agent = Agent::start(&room)?;
    let _above = Above::new(&room, &format!("kubepods/burstable/pod{UID}"))?;
    let path = format!("{}/kubepods/burstable/pod{UID}/{id}", room.cgroup.name());
    let_the_log_rest(host);
    let ran = containerd.ctr(&[
        "run",
        "--rm",
        "--rootfs",
        "--cgroup",
        &path,
        "--memory-limit",
        &LIMIT.to_string(),
        text(&root)?,
        &id,
        "/bin/sh",
        "-c",
        &format!("sleep {LIVES_S}; exec tail /dev/zero"),
    ])?;
    ensure!(ran.status.code() == Some(137), "not killed: {ran:?}");
    let directory = host.hierarchy.mount.join(path.trim_start_matches('/'));
    ensure!(
        !directory.exists(),
        "{} is still there",
        directory.display()
    );
    agent.wait_for("the series", |agent| Ok(agent.series(OWN)? == Some(1.0)))?;
    let reports = listed(&room)?;
    let report = reports.first().context("no report is kept")?;
    let name = &report["victim_name"];
    ensure!(
        name["namespace"] == "shop" && name["pod"] == "web-0" && name["container"] == "app",
        "{report}"
    );
    ensure!(name["container_id"] == id.as_str(), "{report}");
    ensure!(report["victim"]["comm"] == "tail", "{report}");
    agent.end(Signal::TERM)?;
    Ok(Outcome::Passed("shop/web-0/app, by containerd".to_owned()))
}
