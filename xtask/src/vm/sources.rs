//! Where this machine gets Debian packages from.
//!
//! The ladder asks the same mirror for other suites, so that a machine behind
//! a mirror of its own needs no second configuration.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The keyring that Debian machines have, used when a source names none.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A Debian mirror, as the machine's own sources describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// URI of the main archive, e.g. `http://deb.debian.org/debian`.
    pub main: String,
    /// URI of the security archive; `None` when the machine uses none.
    pub security: Option<String>,
    /// Keyring that signs the indexes.
    pub keyring: PathBuf,
}

impl Mirror {
    /// Reads `sources.list` and `sources.list.d` below `apt_dir` (`/etc/apt`).
    ///
    /// Fails when no entry there is a Debian archive.
    pub fn of_machine(apt_dir: &Path) -> Result<Self> {
        let mut files = vec![apt_dir.join("sources.list")];
        if let Ok(dir) = fs::read_dir(apt_dir.join("sources.list.d")) {
            files.extend(dir.filter_map(|e| e.ok().map(|e| e.path())));
        }
        files.sort();
        let mut entries = Vec::new();
        for file in files {
            let parse = match file.extension().and_then(|e| e.to_str()) {
                Some("list") => one_line_entries,
                Some("sources") => deb822_entries,
                _ => continue,
            };
            match fs::read_to_string(&file) {
                Ok(text) => entries.extend(parse(&text)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e).with_context(|| format!("read {}", file.display())),
            }
        }
        Self::from_entries(&entries).with_context(|| {
            format!(
                "no Debian archive among the package sources in {}; the ladder downloads Debian's kernels and QEMU",
                apt_dir.display()
            )
        })
    }

    fn from_entries(entries: &[Entry]) -> Result<Self> {
        let uri_ending = |ending: &str| {
            entries
                .iter()
                .filter(|e| e.components.iter().any(|c| c == "main"))
                .find_map(|e| {
                    let uri = e.uris.iter().map(|u| u.trim_end_matches('/'));
                    uri.filter(|u| u.rsplit('/').next() == Some(ending))
                        .map(|u| (u.to_owned(), e.signed_by.clone()))
                        .next()
                })
        };
        // Third-party archives also name their suites after Debian's releases; the
        // last part of the path is what tells Debian's own from them.
        let Some((main, signed_by)) = uri_ending("debian") else {
            bail!("no source with component main ends in /debian");
        };
        Ok(Self {
            main,
            security: uri_ending("debian-security").map(|(uri, _)| uri),
            keyring: signed_by.unwrap_or_else(|| KEYRING.into()),
        })
    }

    /// The one-line source entry for `suite`; `None` for a security suite where
    /// the machine has no security archive.
    pub fn entry(&self, suite: &str) -> Option<String> {
        let uri = if suite.ends_with("-security") {
            self.security.as_deref()?
        } else {
            &self.main
        };
        let keyring = self.keyring.display();
        Some(format!("deb [signed-by={keyring}] {uri} {suite} main"))
    }
}

/// One enabled binary source.
#[derive(Debug, Default)]
struct Entry {
    uris: Vec<String>,
    components: Vec<String>,
    signed_by: Option<PathBuf>,
}

/// A keyring given by path; keys written into the source itself are not used.
fn keyring(value: &str) -> Option<PathBuf> {
    let value = value.trim();
    value.starts_with('/').then(|| PathBuf::from(value))
}

/// Entries of the `deb [options] uri suite components` format.
fn one_line_entries(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line
            .strip_prefix("deb")
            .filter(|r| r.starts_with([' ', '\t']))
        else {
            continue;
        };
        let rest = rest.trim_start();
        let (options, rest) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            Some((options, rest)) => (options, rest),
            None => ("", rest),
        };
        let signed_by = options
            .split_whitespace()
            .find_map(|o| o.strip_prefix("signed-by="))
            .and_then(keyring);
        let mut words = rest.split_whitespace().map(str::to_owned);
        let uris = words.next().into_iter().collect();
        let components = words.skip(1).collect();
        entries.push(Entry {
            uris,
            components,
            signed_by,
        });
    }
    entries
}

/// Entries of the deb822 format: stanzas of `Field: value` lines.
fn deb822_entries(text: &str) -> Vec<Entry> {
    let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    lines
        .split(|l| l.trim().is_empty())
        .filter(|stanza| !stanza.is_empty())
        .filter_map(deb822_stanza)
        .collect()
}

fn deb822_stanza(lines: &[&str]) -> Option<Entry> {
    let field = |name: &str| {
        lines.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let words = |value: &str| value.split_whitespace().map(str::to_owned).collect();
    let off = field("Enabled").is_some_and(|v| v.eq_ignore_ascii_case("no"));
    if off || !field("Types")?.split_whitespace().any(|t| t == "deb") {
        return None;
    }
    Some(Entry {
        uris: words(field("URIs")?),
        components: words(field("Components").unwrap_or_default()),
        signed_by: field("Signed-By").and_then(keyring),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Result<Mirror> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sources.list.d")).unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Mirror::of_machine(dir.path())
    }

    #[test]
    fn deb822_with_a_keyring() {
        let text = "Types: deb\n# a comment\nURIs: http://m.example/debian/\nSuites: bookworm\n\
                    Components: main\nSigned-By: /k.gpg\n\nTypes: deb\n\
                    URIs: http://m.example/debian-security\nSuites: bookworm-security\nComponents: main\n";
        let mirror = machine(&[("sources.list.d/debian.sources", text)]).unwrap();
        assert_eq!(
            mirror,
            Mirror {
                main: "http://m.example/debian".into(),
                security: Some("http://m.example/debian-security".into()),
                keyring: "/k.gpg".into(),
            }
        );
        assert_eq!(
            mirror.entry("forky").unwrap(),
            "deb [signed-by=/k.gpg] http://m.example/debian forky main"
        );
    }

    #[test]
    fn one_line_without_security() {
        let text = "deb-src http://s.example/debian sid main\n\
                    deb [arch=amd64] http://m.example/debian trixie main # x\n";
        let mirror = machine(&[("sources.list", text)]).unwrap();
        assert_eq!(mirror.main, "http://m.example/debian");
        assert_eq!(mirror.entry("trixie-security"), None);
        assert_eq!(mirror.keyring, Path::new(KEYRING));
    }

    #[test]
    fn other_archives_and_disabled_ones_do_not_count() {
        let error = machine(&[
            ("sources.list", "deb http://a.example/ubuntu noble main\n"),
            (
                "sources.list.d/php.list",
                "deb http://p.example/php bookworm main\n",
            ),
            (
                "sources.list.d/off.sources",
                "Types: deb\nEnabled: no\nURIs: http://m.example/debian\nComponents: main\n",
            ),
            (
                "sources.list.d/old.sources.disabled",
                "Types: deb\nURIs: http://m.example/debian\nComponents: main\n",
            ),
        ])
        .unwrap_err();
        assert!(
            format!("{error:#}").contains("no Debian archive"),
            "{error:#}"
        );
    }
}
