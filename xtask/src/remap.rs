//! Keeps this machine's paths out of what is built, so that it is the same everywhere.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::workspace;

/// Adds to encoded compiler flags that the checkout, the crates and the library's sources below
/// `sysroot` have the same names everywhere.
///
/// The new names are absolute and of no existing file: LLVM copies source lines of files that it
/// finds into BTF, which would make an object depend on the folder it is built in. The crates'
/// folders must be there.
pub fn add_flags(flags: &mut OsString, sysroot: &Path) -> Result<()> {
    for (from, to) in prefixes(sysroot)? {
        if !flags.is_empty() {
            flags.push("\x1f");
        }
        for part in [
            OsStr::new("--remap-path-prefix="),
            from.as_os_str(),
            OsStr::new("="),
            OsStr::new(to),
        ] {
            flags.push(part);
        }
    }
    Ok(())
}

fn prefixes(sysroot: &Path) -> Result<Vec<(PathBuf, &'static str)>> {
    let mut prefixes = vec![
        (workspace::root().to_owned(), "/_/memtrace"),
        (sysroot.join("lib/rustlib/src/rust"), "/_/rust"),
    ];
    if let Some(home) = workspace::cargo_home() {
        let sources = home.join("registry/src");
        let context = || format!("cannot list {}", sources.display());
        // The folders below are named after registry hosts, and hold the crates.
        for registry in fs::read_dir(&sources).with_context(context)? {
            prefixes.push((registry.with_context(context)?.path(), "/_/registry"));
        }
    }
    Ok(prefixes)
}
