//! From a lock entry, or none, to an unpacked package in the cache.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::apt::{self, Apt, Package};
use super::lock::{Lock, Locked};

/// Package indexes older than this are fetched again before something is resolved.
const INDEX_MAX_AGE: Duration = Duration::from_secs(6 * 3600);

/// Something that the archive had once and has no longer.
#[derive(Debug)]
pub struct Gone {
    what: String,
    suites: String,
}

impl std::error::Error for Gone {}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, suites } = self;
        write!(
            f,
            "{what} has left the archive: no package of it in {suites}"
        )
    }
}

/// The cache folder with the archive behind it, which is only opened when
/// something is missing from the cache.
pub struct Store {
    /// `$XDG_CACHE_HOME/memtrace/vm`, or the same below `~/.cache`.
    pub cache: PathBuf,
    /// What was taken and is to be taken again.
    pub lock: Lock,
    suites: Vec<&'static str>,
    apt: Option<Apt>,
    // Held while the store lives: two runs must not unpack into each other.
    _held: File,
}

impl Store {
    /// Opens the cache and waits for any other run that is filling it.
    pub fn open(lock_file: &Path, suites: Vec<&'static str>) -> Result<Self> {
        let cache = cache_folder()?;
        fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
        let path = cache.join("busy");
        let held = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        held.lock()
            .with_context(|| format!("lock {}", path.display()))?;
        Ok(Self {
            lock: Lock::read(lock_file)?,
            cache,
            suites,
            apt: None,
            _held: held,
        })
    }

    /// The archive, with fresh indexes.
    pub fn archive(&mut self) -> Result<&Apt> {
        if self.apt.is_none() {
            let apt = Apt::open(&self.cache.join("apt"), &self.suites)?;
            for problem in apt.refresh(INDEX_MAX_AGE)? {
                eprintln!("vm: apt-get update: {problem}");
            }
            self.apt = Some(apt);
        }
        self.apt
            .as_ref()
            .context("the archive was opened just above")
    }

    /// Decides which version of `what` to take, and records it.
    ///
    /// The locked version if the archive still has it, else the newest one that
    /// `wanted` accepts in `suites`, which is then said aloud. Fails when there is none.
    pub fn resolve(
        &mut self,
        what: &str,
        suites: &[&str],
        prefix: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Locked> {
        let locked = self.lock.get(what).cloned();
        let apt = self.archive()?;
        let offered = apt.versions(suites, prefix, wanted)?;
        if let Some(locked) = &locked
            && offered.contains(&locked.package)
        {
            let sha256 = apt.sha256(&locked.package)?;
            ensure!(
                sha256 == locked.sha256,
                "{what}: the archive gives {sha256} for {} {}, the lock file {}",
                locked.package.name,
                locked.package.version,
                locked.sha256
            );
            return Ok(locked.clone());
        }
        let Some(package) = newest(offered)? else {
            return Err(Gone {
                what: what.to_owned(),
                suites: suites.join(", "),
            }
            .into());
        };
        let sha256 = apt.sha256(&package)?;
        if let Some(locked) = &locked {
            eprintln!(
                "vm: WARNING: {what}: the locked {} {} has left the archive; taking the newest, {} {}",
                locked.package.name, locked.package.version, package.name, package.version
            );
        }
        let taken = Locked { package, sha256 };
        self.lock.set(what, taken.clone())?;
        Ok(taken)
    }
}

/// Unpacks `debs` into `folder`, which appears whole or not at all.
pub fn unpack(debs: &[PathBuf], folder: &Path) -> Result<()> {
    let partial = folder.with_extension("partial");
    for left_over in [partial.as_path(), folder] {
        if left_over.exists() {
            fs::remove_dir_all(left_over)
                .with_context(|| format!("remove {}", left_over.display()))?;
        }
    }
    fs::create_dir_all(&partial).with_context(|| format!("create {}", partial.display()))?;
    for deb in debs {
        apt::unpack(deb, &partial)?;
    }
    fs::rename(&partial, folder)
        .with_context(|| format!("rename {} to {}", partial.display(), folder.display()))?;
    for deb in debs {
        fs::remove_file(deb).with_context(|| format!("remove {}", deb.display()))?;
    }
    Ok(())
}

/// The highest version; of equal ones `linux-binary-*` goes before `linux-image-*`,
/// which from 7.2.6 on is empty but for its dependencies.
fn newest(offered: Vec<Package>) -> Result<Option<Package>> {
    let mut best: Option<Package> = None;
    for package in offered {
        let better = match &best {
            None => true,
            Some(b) if b.version == package.version => package.name < b.name,
            Some(b) => apt::is_newer(&package.version, &b.version)?,
        };
        if better {
            best = Some(package);
        }
    }
    Ok(best)
}

/// Where downloads are kept: below `$XDG_CACHE_HOME`, else `~/.cache`.
pub(crate) fn cache_folder() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => {
            let home =
                std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
            PathBuf::from(home).join(".cache")
        }
    };
    Ok(base.join("memtrace/vm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_goes_by_version_then_prefers_the_real_kernel() {
        let package = |name: &str, version: &str| Package {
            name: name.into(),
            version: version.into(),
            suite: "forky".into(),
        };
        let offered = vec![
            package("linux-image-7.2.9", "7.2.9-1"),
            package("linux-image-7.2.12", "7.2.12-1"),
            package("linux-binary-7.2.12", "7.2.12-1"),
            package("linux-binary-7.2.11", "7.2.11-1~bpo13+1"),
        ];
        assert_eq!(
            newest(offered).unwrap().unwrap().name,
            "linux-binary-7.2.12"
        );
        assert_eq!(newest(Vec::new()).unwrap(), None);
    }
}
