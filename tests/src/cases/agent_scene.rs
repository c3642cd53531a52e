//! A running agent, and a container as the kubelet and its runtime make them.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::{
    oom::set_limit,
    oom_scene::{LIMIT, growing},
    room::{Room, text},
};
use crate::{
    cgroup::{self, Version},
    process::{self, Finished, PATIENCE, Running},
};

/// Kills of the container by its own limit.
pub(super) const OWN: &str = r#"memtrace_container_oom_kills_total{namespace="shop",pod="web-0",container="app",limit_owner="own"}"#;

pub(super) const UID: &str = "26822839-8c92-4c60-a921-ffc5991fa00f";

/// A pod's container, below the room's cgroup.
pub(super) struct Container {
    pub(super) directory: PathBuf,
    /// From the room's cgroup on, top first.
    made: Vec<PathBuf>,
}

impl Container {
    /// `shop/web-0/app`, with a limit of 32 MiB: `kubepods/burstable/pod<uid>/<id>`, and the links
    /// that the kubelet would make.
    pub(super) fn new(room: &Room<'_>, number: u8) -> anyhow::Result<Self> {
        let id = format!("{number:02x}").repeat(32);
        let mut directory = room.cgroup.path.clone();
        let mut made = Vec::new();
        for name in ["kubepods", "burstable", &format!("pod{UID}"), &id] {
            if room.cgroup.version() == Version::V2 {
                fs::write(directory.join("cgroup.subtree_control"), "+memory")
                    .context("handing the memory controller down")?;
            }
            directory = directory.join(name);
            if !directory.exists() {
                fs::create_dir(&directory).with_context(|| directory.display().to_string())?;
                made.push(directory.clone());
            }
        }
        set_limit(room.host, &directory, LIMIT)?;
        link(room, &id, number)?;
        Ok(Self { directory, made })
    }

    /// A process grows in it until it is killed; its pid.
    pub(super) fn kill_one(&self, room: &Room<'_>) -> anyhow::Result<u32> {
        let ended = growing(room, &self.directory)?.wait()?;
        ensure!(
            std::os::unix::process::ExitStatusExt::signal(&ended.status) == Some(9),
            "not killed: {ended:?}"
        );
        Ok(ended.pid)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for directory in self.made.iter().rev() {
            if let Err(error) = cgroup::remove(directory) {
                eprintln!("{error:#}");
            }
        }
    }
}

/// The links that the kubelet makes for `shop/web-0/app`.
pub(super) fn link(room: &Room<'_>, id: &str, restart: u8) -> anyhow::Result<()> {
    let logs = logs(room);
    let target = logs.join(format!("pods/shop_web-0_{UID}/app"));
    fs::create_dir_all(&target)?;
    fs::create_dir_all(logs.join("containers"))?;
    symlink(
        target.join(format!("{restart}.log")),
        logs.join(format!("containers/web-0_shop_app-{id}.log")),
    )?;
    Ok(())
}

/// Where a room's agent looks for the kubelet's links.
pub(super) fn logs(room: &Room<'_>) -> PathBuf {
    room.folder().join("log")
}

/// A running agent.
pub(super) struct Agent {
    running: Running,
    address: SocketAddr,
}

impl Agent {
    /// Starts one in the room and waits until it is ready.
    pub(super) fn start(room: &Room<'_>) -> anyhow::Result<Self> {
        Self::start_with(room, &[])
    }

    /// The same with more arguments.
    pub(super) fn start_with(room: &Room<'_>, more: &[String]) -> anyhow::Result<Self> {
        Self::start_ticking(room, "200ms", more)
    }

    /// The same at another tick.
    pub(super) fn start_ticking(
        room: &Room<'_>,
        tick: &str,
        more: &[String],
    ) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = process::command(&room.host.memtrace, ["agent", "--tick", tick]);
        command
            .args(["--listen", &address.to_string(), "--node-name", "node-17"])
            .args(["--logs", text(&logs(room))?])
            .args(source(room)?)
            .args(more);
        let mut agent = Self {
            running: Running::start(&mut command)?,
            address,
        };
        agent.wait_for("it to be ready", |agent| {
            Ok(agent
                .get("/readyz")
                .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")))
        })?;
        Ok(agent)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What any of its threads may do (capabilities(7), the permitted set).
    pub(super) fn privileges(&self) -> anyhow::Result<u64> {
        let mut all = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.running.pid()))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
            let permitted = line.context("no CapPrm")?.trim();
            all |= u64::from_str_radix(permitted, 16)?;
            ensure!(
                status.contains("NoNewPrivs:\t1"),
                "it may get new privileges"
            );
            // SECCOMP_MODE_FILTER
            ensure!(status.contains("Seccomp:\t2"), "it is not confined");
        }
        Ok(all)
    }

    /// What it holds of memory.
    pub(super) fn rss_bytes(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.running.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kib.context("no VmRSS")?.parse::<u64>()? << 10)
    }

    /// The whole answer to a GET.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<String> {
        ask(&self.address.to_string(), path)
    }

    /// Whatever comes back for these bytes, until the other side closes.
    pub(super) fn send(&self, bytes: &[u8]) -> anyhow::Result<String> {
        send(&self.address.to_string(), bytes)
    }

    /// The value of the series that starts so; `None` if there is none.
    pub(super) fn series(&self, start: &str) -> anyhow::Result<Option<f64>> {
        let text = self.get("/metrics")?;
        let line = text.lines().find_map(|line| line.strip_prefix(start));
        line.map(|rest| {
            let value = rest.rsplit(' ').next().unwrap_or_default();
            value.parse().with_context(|| format!("{start}{rest}"))
        })
        .transpose()
    }

    /// The reports announced so far.
    pub(super) fn announced(&self) -> anyhow::Result<Vec<Value>> {
        // The last line may be on its way.
        let text = self.running.so_far();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        parse(whole)
    }

    pub(super) fn wait_for(
        &mut self,
        what: &str,
        mut done: impl FnMut(&Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let start = Instant::now();
        while !done(self)? {
            if start.elapsed() > PATIENCE {
                bail!(
                    "waited for {what} in vain; announced: {}",
                    self.running.so_far()
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends it by a signal, and all it announced.
    pub(super) fn end(self, signal: Signal) -> anyhow::Result<(Finished, Vec<Value>)> {
        self.running.signal(signal)?;
        let ended = self.running.wait()?;
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        // Killed, it may have left half a line.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let reports = parse(whole)?;
        Ok((ended, reports))
    }
}

/// The whole answer to a GET at an address.
pub(super) fn ask(address: &str, path: &str) -> anyhow::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    send(address, request.as_bytes())
}

/// Whatever comes back for these bytes, until the other side closes.
pub(super) fn send(address: &str, bytes: &[u8]) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    // It may be closed before all is written.
    let written = stream.write_all(bytes);
    let mut answer = Vec::new();
    match (stream.read_to_end(&mut answer), written) {
        (Ok(_), _) => Ok(String::from_utf8_lossy(&answer).into_owned()),
        (Err(error), _) if !answer.is_empty() => {
            Ok(format!("{}\n({error})", String::from_utf8_lossy(&answer)))
        }
        (Err(error), _) => Err(error.into()),
    }
}

fn parse(lines: &str) -> anyhow::Result<Vec<Value>> {
    let lines = lines.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

/// Where a room's agent keeps its reports.
pub(super) fn source(room: &Room<'_>) -> anyhow::Result<[String; 4]> {
    let place = |name: &str| text(&room.folder().join(name)).map(str::to_owned);
    Ok([
        "--socket".to_owned(),
        place("agent.sock")?,
        "--history".to_owned(),
        place("history.redb")?,
    ])
}

/// `memtrace oom ARGUMENTS` for a room's agent; it must succeed.
pub(super) fn oom(room: &Room<'_>, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = process::command(&room.host.memtrace, ["oom"]);
    command.args(arguments).args(source(room)?);
    let ended = process::run(command)?;
    ensure!(ended.status.success(), "{ended:?}");
    Ok(String::from_utf8(ended.stdout)?)
}

/// `memtrace oom list` for a room's agent.
pub(super) fn listed(room: &Room<'_>) -> anyhow::Result<Vec<Value>> {
    let text = oom(room, &["list", "--limit", "1000", "-o", "json"])?;
    let answer: Value = serde_json::from_str(&text)?;
    Ok(answer["reports"].as_array().context("no reports")?.clone())
}

/// Whether a program is to be had.
pub(super) fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| Path::new(&folder).join(program).is_file())
}
