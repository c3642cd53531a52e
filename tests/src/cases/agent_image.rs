//! The image's root file system under containerd, with the capabilities that deploy/ documents.

use std::{fs, net::TcpListener, path::PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{
    agent_containerd::{Above, Containerd},
    agent_scene::{ask, has},
    room::{Room, text},
};
use crate::{
    host::Host,
    process::{PATIENCE, Running},
    suite::Outcome,
};

/// Always needed (deploy/README.md; the plain manifests are held against that).
const CAPABILITIES: [&str; 2] = ["CAP_BPF", "CAP_PERFMON"];

/// With all of them it sees; without one it says which, and goes on.
pub(super) fn documented_capabilities(host: &Host) -> anyhow::Result<Outcome> {
    // Beside the folder of the program under test; `cargo xtask test` has put it there.
    let unpacked = host
        .memtrace
        .ancestors()
        .nth(2)
        .map(|target| target.join("image-unpacked"));
    let Some(root) = unpacked
        .map(|folder| folder.join("rootfs"))
        .filter(|root| root.is_dir())
    else {
        return Ok(Outcome::Skipped(
            "there is no unpacked image: `cargo xtask test deploy::image`".to_owned(),
        ));
    };
    for program in ["containerd", "ctr", "runc"] {
        if !has(program) {
            return Ok(Outcome::Skipped(format!("there is no {program} here")));
        }
    }
    let room = Room::new(host)?;
    let containerd = Containerd::start(&room)?;
    let _above = Above::new(&room, "image");
    let mut hooks = 0;
    for missing in [None, Some(CAPABILITIES[0]), Some(CAPABILITIES[1])] {
        let given: Vec<_> = CAPABILITIES
            .into_iter()
            .filter(|one| Some(*one) != missing)
            .collect();
        let pod = Pod::new(&room, &root, &given)?;
        let (metrics, log) = pod.run(&room, &containerd)?;
        let on = metrics
            .lines()
            .filter(|line| line.starts_with("memtrace_agent_hook_up{") && line.ends_with(" 1.0"))
            .count();
        match missing {
            None => {
                ensure!(
                    on > 0 && !log.contains("is missing"),
                    "{on} hooks on: {log}"
                );
                hooks = on;
            }
            Some(name) => {
                let others = CAPABILITIES.iter().filter(|other| **other != name);
                ensure!(log.contains(&format!("{name} is missing")), "{name}: {log}");
                for other in others {
                    ensure!(
                        !log.contains(&format!("{other} is missing")),
                        "{other}: {log}"
                    );
                }
                ensure!(on < hooks, "{on} of {hooks} hooks on without {name}");
            }
        }
    }
    Ok(Outcome::Passed(format!(
        "{hooks} hooks on with {CAPABILITIES:?}"
    )))
}

/// The agent's container, as the DaemonSet asks for it.
struct Pod {
    id: String,
    address: String,
    config: PathBuf,
}

impl Pod {
    fn new(room: &Room<'_>, root: &std::path::Path, capabilities: &[&str]) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let history = room.folder().join("history");
        fs::create_dir_all(&history)?;
        let bind = |from: &str, to: &str, mode: &str| json!({"destination": to, "type": "bind", "source": from, "options": ["rbind", mode]});
        let id = format!(
            "memtrace-{}",
            capabilities.join("-").to_lowercase().replace('_', "-")
        );
        let spec: Value = json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": ["/memtrace", "agent", "--tick", "200ms", "--listen", address],
                "env": ["NODE_NAME=node-17"],
                "cwd": "/",
                "noNewPrivileges": true,
                "capabilities": {
                    "bounding": capabilities,
                    "effective": capabilities,
                    "permitted": capabilities,
                },
            },
            "root": {"path": text(root)?, "readonly": true},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
                bind("/sys/fs/cgroup", "/sys/fs/cgroup", "ro"),
                bind(text(&history)?, "/var/lib/memtrace", "rw"),
                {"destination": "/run", "type": "tmpfs", "source": "tmpfs"},
            ],
            "linux": {
                "cgroupsPath": format!("{}/image/{id}", room.cgroup.name()),
                // The machine's PIDs, as with hostPID, and its network, so that it can be asked.
                "namespaces": [{"type": "mount"}, {"type": "ipc"}, {"type": "uts"}],
            },
        });
        let config = room.folder().join(format!("{id}.json"));
        fs::write(&config, spec.to_string())?;
        Ok(Self {
            id,
            address,
            config,
        })
    }

    /// What it serves when it is ready, and what it said.
    fn run(&self, room: &Room<'_>, containerd: &Containerd) -> anyhow::Result<(String, String)> {
        let mut command = containerd.command(&["run", "--rm", "--config", text(&self.config)?])?;
        let mut running = Running::start(command.arg(&self.id))?;
        let start = std::time::Instant::now();
        let ready = loop {
            let answer = ask(&self.address, "/metrics").unwrap_or_default();
            if answer.contains("memtrace_agent_build_info{") {
                break Some(answer);
            }
            if start.elapsed() > PATIENCE || running.has_ended()? {
                break None;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        };
        // It may have ended by itself.
        containerd.ctr(&["task", "kill", "--signal", "SIGTERM", &self.id])?;
        let ended = running.wait()?;
        let metrics = ready.with_context(|| format!("it did not become ready: {ended:?}"))?;
        ensure!(ended.status.success(), "{}: {ended:?}", room.cgroup.name());
        Ok((metrics, ended.stderr))
    }
}
