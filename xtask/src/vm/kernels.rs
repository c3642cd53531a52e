//! The kernels of the ladder: which series, from which suites.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

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
        let cached = store.lock.get(&what).map(|l| l.package.clone());
        if let Some(package) = cached
            && let Ok(vmlinuz) =
                image(&folder.join(format!("{}_{}", package.name, package.version)))
            {
                return Ok(self.kernel(package.version, vmlinuz));
            }
        let locked = store.resolve(&what, self.suites, "linux-", |name| self.has(name))?;
        let package = &locked.package;
        let folder = folder.join(format!("{}_{}", package.name, package.version));
        if !folder.exists() {
            let deb = store.archive()?.download(package)?;
            fetch::verify(&deb, &locked.sha256)?;
            fetch::unpack(&[deb], &folder)?;
            // Modules are not needed: all that the suite uses is built in.
            let _ = fs::remove_dir_all(folder.join("lib"));
            let _ = fs::remove_dir_all(folder.join("usr"));
        }
        Ok(self.kernel(package.version.clone(), image(&folder)?))
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

/// The one `boot/vmlinuz-*` of an unpacked package.
fn image(folder: &std::path::Path) -> Result<PathBuf> {
    let boot = folder.join("boot");
    let entries = fs::read_dir(&boot).with_context(|| format!("list {}", boot.display()))?;
    entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .find(|p| {
            p.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz-"))
        })
        .with_context(|| format!("no vmlinuz in {}", boot.display()))
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
