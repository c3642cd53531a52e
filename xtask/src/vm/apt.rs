//! A private view of the Debian archive.
//!
//! apt does the downloading and checks every signature and checksum, under a
//! configuration of its own: its lists, archives and (empty) dpkg status live in
//! our cache folder, so nothing of the machine's own package state is read or
//! changed, and no root is needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::sources::Mirror;
use crate::process::stdout;

/// One version of one binary package in one suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Binary package name.
    pub name: String,
    /// Debian version.
    pub version: String,
    /// Suite whose index lists it, e.g. `trixie-backports`.
    pub suite: String,
}

/// The archive seen through a private apt configuration.
pub struct Apt {
    root: PathBuf,
    mirror: Mirror,
}

impl Apt {
    /// Prepares the configuration below `root` for `suites` of this machine's mirror.
    ///
    /// Fails where apt or a Debian source is missing.
    pub fn open(root: &Path, suites: &[&str]) -> Result<Self> {
        let mirror = Mirror::of_machine(Path::new("/etc/apt"))?;
        for dir in ["lists/partial", "archives/partial"] {
            let dir = root.join(dir);
            fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        }
        let apt = Self {
            root: root.to_owned(),
            mirror,
        };
        apt.write("status", "")?;
        apt.write("apt.conf", &configuration(root, &machine_network()?))?;
        apt.write("sources.list", &apt.source_lines(suites))?;
        Ok(apt)
    }

    /// Fetches the indexes, unless that was done less than `max_age` ago.
    ///
    /// A suite that has left the archive must not hide the others, so what apt says
    /// about single suites is returned; what is missing then shows when a package of
    /// that suite is asked for. Fails when nothing answers at all.
    pub fn refresh(&self, max_age: Duration) -> Result<Vec<String>> {
        let stamp = self.root.join("refreshed");
        let sources = fs::read_to_string(self.root.join("sources.list"))?;
        let age = fs::metadata(&stamp).and_then(|m| m.modified()).ok();
        let fresh = age
            .and_then(|t| t.elapsed().ok())
            .is_some_and(|a| a < max_age);
        if fresh && fs::read_to_string(&stamp).is_ok_and(|s| s == sources) {
            return Ok(Vec::new());
        }
        eprintln!("vm: fetching package indexes from {}", self.mirror.main);
        let output = self.command("apt-get").args(["-q", "update"]).output();
        let output = output.context("run apt-get update; is this a Debian system?")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        if !said
            .lines()
            .any(|l| l.starts_with("Get:") || l.starts_with("Hit:"))
        {
            bail!("cannot reach {}:\n{}", self.mirror.main, complaints.trim());
        }
        let problems: Vec<String> = complaints.lines().map(str::to_owned).collect();
        if output.status.success() && problems.is_empty() {
            fs::write(&stamp, sources).with_context(|| format!("write {}", stamp.display()))?;
        }
        Ok(problems)
    }

    /// All versions, in `suites`, of the packages whose name starts with `prefix`
    /// and satisfies `wanted`.
    pub fn versions(
        &self,
        suites: &[&str],
        prefix: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<Package>> {
        let names = stdout(self.command("apt-cache").args(["pkgnames", prefix]))?;
        let names: Vec<&str> = names.lines().filter(|n| wanted(n)).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let table = stdout(self.command("apt-cache").arg("madison").args(&names))?;
        Ok(madison(&table)
            .filter(|p| suites.contains(&p.suite.as_str()))
            .collect())
    }

    /// The SHA-256 that the signed index gives for a package.
    pub fn sha256(&self, package: &Package) -> Result<String> {
        let spec = format!("{}={}", package.name, package.version);
        let record = stdout(self.command("apt-cache").args(["show", &spec]))?;
        let sum = record.lines().find_map(|l| l.strip_prefix("SHA256: "));
        Ok(sum
            .with_context(|| format!("no SHA256 in the index for {spec}"))?
            .to_owned())
    }

    /// Downloads one package and returns the path of its `.deb`.
    pub fn download(&self, package: &Package) -> Result<PathBuf> {
        let spec = format!("{}={}", package.name, package.version);
        eprintln!("vm: downloading {spec} from {}", package.suite);
        let dir = self
            .root
            .join("archives")
            .join(format!("{}-only", package.name));
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let mut command = self.command("apt-get");
        stdout(command.args(["-q", "download", &spec]).current_dir(&dir))?;
        let version = package.version.replace(':', "%3a");
        let start = format!("{}_{version}_", package.name);
        let entries = fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))?;
        entries
            .filter_map(|e| e.ok().map(|e| e.path()))
            .find(|p| {
                p.file_name()
                    .is_some_and(|n| n.to_string_lossy().starts_with(&start))
            })
            .with_context(|| format!("apt-get download {spec} left no file in {}", dir.display()))
    }

    /// Downloads `packages` and everything they depend on, taken from `suites`
    /// only, later suites preferred; returns the paths of all `.deb` files.
    pub fn download_with_dependencies(
        &self,
        suites: &[&str],
        packages: &[Package],
    ) -> Result<Vec<PathBuf>> {
        self.write("subset.list", &self.source_lines(suites))?;
        let specs = packages.iter().map(|p| format!("{}={}", p.name, p.version));
        let install = |mode: &str| {
            let mut command = self.command("apt-get");
            // No package cache here: it would be that of the full list of sources.
            command.args(["-q", "install", "-y", "--no-install-recommends", mode]);
            command.arg("-o").arg(format!(
                "Dir::Etc::sourcelist={}",
                self.root.join("subset.list").display()
            ));
            command.args([
                "-o",
                "Dir::Cache::pkgcache=",
                "-o",
                "Dir::Cache::srcpkgcache=",
            ]);
            if let Some(last) = suites.last() {
                command.args(["-t", last]);
            }
            command.args(specs.clone());
            stdout(&mut command)
        };
        let files: Vec<String> = install("--print-uris")?
            .lines()
            .filter(|l| l.starts_with('\''))
            .filter_map(|l| l.split_whitespace().nth(1).map(str::to_owned))
            .collect();
        ensure!(
            !files.is_empty(),
            "apt-get found nothing to download for {packages:?}"
        );
        eprintln!("vm: downloading {} packages for QEMU", files.len());
        install("--download-only")?;
        Ok(files
            .iter()
            .map(|f| self.root.join("archives").join(f))
            .collect())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", self.root.join("apt.conf"))
            .env("LC_ALL", "C");
        command
    }

    fn source_lines(&self, suites: &[&str]) -> String {
        let mut lines: Vec<String> = suites.iter().filter_map(|s| self.mirror.entry(s)).collect();
        lines.push(String::new());
        lines.join("\n")
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.root.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }
}

/// The greater of two Debian versions, by dpkg's own comparison.
pub fn is_newer(version: &str, than: &str) -> Result<bool> {
    let status = Command::new("dpkg")
        .args(["--compare-versions", version, "gt", than])
        .status()
        .context("run dpkg --compare-versions")?;
    Ok(status.success())
}

/// Unpacks a `.deb` into `folder`.
pub fn unpack(deb: &Path, folder: &Path) -> Result<()> {
    stdout(Command::new("dpkg-deb").arg("-x").arg(deb).arg(folder)).map(drop)
}

/// The machine's own proxy and retry settings, which the private configuration keeps.
fn machine_network() -> Result<String> {
    let all = stdout(Command::new("apt-config").args(["dump", "Acquire"]))
        .context("this is not a Debian system: apt-config is missing or fails")?;
    let kept = ["Acquire::http", "Acquire::https", "Acquire::Retries"];
    Ok(all
        .lines()
        .filter(|l| kept.iter().any(|k| l.starts_with(k)))
        .map(|l| format!("{l}\n"))
        .collect())
}

/// The private configuration. The machine's own is not read on top of it: it may
/// hold hooks, pins and cache settings that are no business of ours.
fn configuration(root: &Path, network: &str) -> String {
    let root = root.display();
    format!(
        r#"{network}
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "{root}";
Dir::State::lists "{root}/lists";
Dir::State::status "{root}/status";
Dir::Cache "{root}";
Dir::Cache::archives "{root}/archives";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
// A testing suite's Release file can be past its date for days.
Acquire::Check-Valid-Until "false";
"#
    )
}

/// Rows of `apt-cache madison`: `name | version | uri suite/component arch Packages`.
fn madison(table: &str) -> impl Iterator<Item = Package> + '_ {
    table.lines().filter_map(|row| {
        let mut columns = row.split('|').map(str::trim);
        let (name, version, source) = (columns.next()?, columns.next()?, columns.next()?);
        let (suite, _) = source.split_whitespace().nth(1)?.rsplit_once('/')?;
        Some(Package {
            name: name.to_owned(),
            version: version.to_owned(),
            suite: suite.to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn madison_rows() {
        let table = "linux-image-5.10.0-46-cloud-amd64 | 5.10.262-1 | http://m/debian-security bullseye-security/main amd64 Packages\n\
                     linux-binary-7.2.12+deb14-cloud-amd64 |   7.2.12-1 | http://m/debian forky/main amd64 Packages\n";
        let rows: Vec<Package> = madison(table).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].suite, "bullseye-security");
        assert_eq!(rows[1].version, "7.2.12-1");
    }
}
