//! Programs that memtrace is compared with: installed for the bench only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::process;
use crate::vm::apt::{self, Apt};
use crate::vm::fetch::cache_folder;

/// The last Debian release that has cAdvisor.
const CADVISOR_SUITES: [&str; 1] = ["bullseye"];
const CADVISOR: &str = "cadvisor";
/// Debian packages that are installed, and their programs.
const PACKAGES: [(&str, &str); 2] = [
    ("bpftrace", "bpftrace"),
    ("prometheus-node-exporter", "prometheus-node-exporter"),
];
/// From Cargo's registry; its BPF part wants a clang that Debian's default one (14) is not: that crashes.
const BELOW: (&str, &str) = ("below", "0.9.0");
const BELOW_CLANG: &str = "clang-19";
/// Indexes of an old release do not change.
const INDEX_MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Where they are; `None` of one that is not to be had, with the reason told.
pub(super) struct Peers {
    pub bpftrace: Option<PathBuf>,
    pub node_exporter: Option<PathBuf>,
    pub cadvisor: Option<PathBuf>,
    pub below: Option<PathBuf>,
}

impl Peers {
    /// Finds them; installs what is missing, as root.
    pub(super) fn find() -> Result<Self> {
        let [bpftrace, node_exporter] = PACKAGES.map(|(package, program)| {
            found(
                package,
                process::find(program, &[]).map_or_else(|| install(package, program), Ok),
            )
        });
        Ok(Self {
            bpftrace,
            node_exporter,
            cadvisor: found(CADVISOR, cadvisor()),
            below: found(BELOW.0, below()),
        })
    }

    /// Name and version of each that is there.
    pub(super) fn versions(&self) -> Vec<String> {
        let of = |program: &Option<PathBuf>, option: &str| {
            let program = program.as_ref()?;
            let output = Command::new(program).arg(option).output().ok()?;
            // node_exporter says it on standard error.
            let both = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&both).into_owned();
            let line = text.lines().next()?;
            Some(line.split(" (").next().unwrap_or(line).to_owned())
        };
        [
            of(&self.bpftrace, "--version"),
            of(&self.node_exporter, "--version"),
            of(&self.cadvisor, "--version"),
        ]
        .into_iter()
        .flatten()
        // It does not tell its own.
        .chain(
            self.below
                .as_ref()
                .map(|_| format!("{} {}", BELOW.0, BELOW.1)),
        )
        .collect()
    }
}

fn found(name: &str, path: Result<PathBuf>) -> Option<PathBuf> {
    path.inspect_err(|error| eprintln!("bench: without {name}: {error:#}"))
        .ok()
}

fn install(package: &str, program: &str) -> Result<PathBuf> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "run `apt-get install {package}` as root"
    );
    let mut command = Command::new("apt-get");
    command
        .args(["install", "--yes", "--no-install-recommends", package])
        .env("DEBIAN_FRONTEND", "noninteractive");
    process::stdout(&mut command)?;
    process::find(program, &[]).with_context(|| format!("{package} has no {program}"))
}

/// Downloads the package of an older release, and unpacks it into the cache: this machine's packages
/// stay as they are.
fn cadvisor() -> Result<PathBuf> {
    let folder = cache_folder()?.join("bench");
    let program = folder.join("cadvisor/usr/bin/cadvisor");
    if !Path::is_file(&program) {
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let archive = Apt::open(&folder, &CADVISOR_SUITES)?;
        archive.refresh(INDEX_MAX_AGE)?;
        let package = archive
            .versions(&CADVISOR_SUITES, CADVISOR, |name| name == CADVISOR)?
            .into_iter()
            .next()
            .context("the archive has no such package")?;
        apt::unpack(&archive.download(&package)?, &folder.join("cadvisor"))?;
    }
    Ok(program)
}

/// Builds it into the cache.
fn below() -> Result<PathBuf> {
    let (name, version) = BELOW;
    let root = cache_folder()?
        .join("bench")
        .join(format!("{name}-{version}"));
    let program = root.join("bin").join(name);
    if !Path::is_file(&program) {
        let clang = process::find(BELOW_CLANG, &[])
            .map_or_else(|| install(BELOW_CLANG, BELOW_CLANG), Ok)?;
        for package in ["libelf-dev", "zlib1g-dev"] {
            process::stdout(Command::new("apt-get").args(["install", "--yes", package]))?;
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(["install", "--locked", "--quiet", name, "--version", version])
            .arg("--root")
            .arg(&root)
            .env("CLANG", clang);
        process::run(&mut command)?;
    }
    Ok(program)
}
