//! `tests/kernels.lock`: exactly what the ladder ran on.
//!
//! One line per downloaded root package: `what package version suite sha256`.
//! It is committed, so a run can be repeated for as long as the archive keeps
//! these versions.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::apt::Package;

const HEADER: &str = "\
# What the ladder of kernels runs on; written by `cargo xtask vm`.
# `cargo xtask vm --update` resolves every line anew.
# what package version suite sha256
";

/// A package with the checksum it had when it was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// The package.
    pub package: Package,
    /// SHA-256 of its `.deb`, in hex.
    pub sha256: String,
}

/// The lock file in memory.
#[derive(Debug, Default)]
pub struct Lock {
    path: PathBuf,
    entries: BTreeMap<String, Locked>,
}

impl Lock {
    /// Reads the lock file; a file that does not exist yet is an empty one.
    pub fn read(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e).with_context(|| format!("read {}", path.display())),
        };
        let entries = parse(&text).with_context(|| format!("parse {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            entries,
        })
    }

    /// The entry for `what`, e.g. `linux-6.12` or `qemu`.
    pub fn get(&self, what: &str) -> Option<&Locked> {
        self.entries.get(what)
    }

    /// Records an entry and writes the file if that changed it.
    pub fn set(&mut self, what: &str, locked: Locked) -> Result<()> {
        if self.entries.get(what) == Some(&locked) {
            return Ok(());
        }
        self.entries.insert(what.to_owned(), locked);
        let path = &self.path;
        fs::write(path, render(&self.entries)).with_context(|| format!("write {}", path.display()))
    }

    /// Forgets every entry, so that all are resolved anew.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

fn parse(text: &str) -> Result<BTreeMap<String, Locked>> {
    let mut entries = BTreeMap::new();
    for line in text
        .lines()
        .filter(|l| !l.starts_with('#') && !l.trim().is_empty())
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        ensure!(
            words.len() == 5,
            "expected 5 words, found {}: {line}",
            words.len()
        );
        let package = Package {
            name: words[1].to_owned(),
            version: words[2].to_owned(),
            suite: words[3].to_owned(),
        };
        let sha256 = words[4].to_owned();
        entries.insert(words[0].to_owned(), Locked { package, sha256 });
    }
    Ok(entries)
}

fn render(entries: &BTreeMap<String, Locked>) -> String {
    let mut text = HEADER.to_owned();
    for (what, Locked { package: p, sha256 }) in entries {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{what} {} {} {} {sha256}", p.name, p.version, p.suite);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kernels.lock");
        let locked = Locked {
            package: Package {
                name: "linux-image-6.12.107+deb13-cloud-amd64".into(),
                version: "6.12.107-1".into(),
                suite: "trixie".into(),
            },
            sha256: "ab".repeat(32),
        };
        let mut lock = Lock::read(&path).unwrap();
        lock.set("linux-6.12", locked.clone()).unwrap();
        assert_eq!(Lock::read(&path).unwrap().get("linux-6.12"), Some(&locked));
    }

    #[test]
    fn a_broken_line_is_an_error() {
        assert!(parse("linux-6.12 package 1\n").is_err());
    }
}
