//! The kernels of the ladder: which series, from which suites.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::apt::Package;
use super::fetch::{self, Store};

/// A kernel series and the Debian suites that carry it.
pub struct Series {
    /// First two numbers of the version, e.g. `6.12`.
    pub name: &'static str,
    /// Suites searched for the newest point release.
    pub suites: &'static [&'static str],
}

/// Oldest first. Sid and unsigned packages are left out: they change by the day.
pub const SERIES: [Series; 5] = [
    Series {
        name: "5.10",
        suites: &["bullseye", "bullseye-security"],
    },
    Series {
        name: "6.1",
        suites: &["bookworm", "bookworm-security"],
    },
    Series {
        name: "6.12",
        suites: &["trixie", "trixie-security"],
    },
    Series {
        name: "6.18",
        suites: &["trixie-backports"],
    },
    Series {
        name: "7.2",
        suites: &["forky"],
    },
];

/// A kernel ready to boot.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Series it belongs to.
    pub series: &'static str,
    /// Debian version, e.g. `6.12.107-1`.
    pub version: String,
    /// The bootable image.
    pub vmlinuz: PathBuf,
}

impl Series {
    /// The kernel of this series: from the cache if the lock file names one that is
    /// there, else from the archive.
    pub fn fetch(&self, store: &mut Store) -> Result<Kernel> {
        let what = format!("linux-{}", self.name);
        let folder = store.cache.join("kernels");
        let image =
            |package: &Package| folder.join(format!("{}_{}", package.name, package.version));
        if let Some(package) = store.lock.get(&what).map(|l| l.package.clone())
            && image(&package).exists()
        {
            let vmlinuz = image(&package);
            return Ok(self.kernel(package.version, vmlinuz));
        }
        let locked = store.resolve(&what, self.suites, "linux-", |name| self.has(name))?;
        let vmlinuz = image(&locked.package);
        if !vmlinuz.exists() {
            let deb = store.archive()?.download(&locked.package)?;
            let unpacked = folder.join("unpacked");
            fetch::unpack(&[deb], &unpacked)?;
            // Modules are not needed: all that the suite uses is built in.
            let kept = find_image(&unpacked)?
                .with_context(|| format!("no vmlinuz in {}", locked.package.name))?;
            fs::rename(&kept, &vmlinuz)
                .with_context(|| format!("rename {} to {}", kept.display(), vmlinuz.display()))?;
            fs::remove_dir_all(&unpacked)
                .with_context(|| format!("remove {}", unpacked.display()))?;
        }
        Ok(self.kernel(locked.package.version, vmlinuz))
    }

    fn kernel(&self, version: String, vmlinuz: PathBuf) -> Kernel {
        Kernel {
            series: self.name,
            version,
            vmlinuz,
        }
    }

    /// Whether a package name is a signed cloud kernel of this series. The
    /// meta-packages carry no point version and do not match.
    fn has(&self, package: &str) -> bool {
        let version = package
            .strip_prefix("linux-image-")
            .or_else(|| package.strip_prefix("linux-binary-"))
            .and_then(|rest| rest.strip_suffix("-cloud-amd64"));
        version
            .and_then(|v| v.strip_prefix(self.name))
            .is_some_and(|rest| rest.starts_with('.'))
    }
}

/// The kernel image below a folder: `boot/vmlinuz-VERSION`, or since 7.2.6
/// `usr/lib/modules/VERSION/vmlinuz`.
fn find_image(folder: &Path) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("list {}", folder.display()))?;
        let kind = entry
            .file_type()
            .with_context(|| format!("stat {}", entry.path().display()))?;
        if kind.is_file() && entry.file_name().to_string_lossy().starts_with("vmlinuz") {
            return Ok(Some(entry.path()));
        }
        if kind.is_dir()
            && let Some(image) = find_image(&entry.path())?
        {
            return Ok(Some(image));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str) -> &'static Series {
        SERIES.iter().find(|s| s.name == name).unwrap()
    }

    #[test]
    fn names_of_a_series() {
        assert!(series("6.1").has("linux-image-6.1.0-50-cloud-amd64"));
        assert!(series("7.2").has("linux-binary-7.2.12+deb14-cloud-amd64"));
        for other in [
            "linux-image-6.1-cloud-amd64",
            "linux-image-6.12.107+deb13-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64-unsigned",
            "linux-image-6.1.0-50-cloud-amd64-dbg",
            "linux-binary-unsigned-6.1.0-50-cloud-amd64",
            "linux-image-6.1.0-50-amd64",
        ] {
            assert!(!series("6.1").has(other), "{other}");
        }
    }
}
