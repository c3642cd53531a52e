//! Static binaries: for the guests of the VM ladder, and for the image.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{process, remap, workspace};

/// What they are built for.
pub const TARGET: &str = "x86_64-unknown-linux-musl";

/// Builds packages, optimized and without paths of this machine, and returns the path of each
/// executable in `names`.
pub fn executables(packages: &[&str], names: &[&str]) -> Result<Vec<PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let install = || {
        format!(
            "if the target is missing: rustup target add {TARGET}; if a C compiler for it is: \
             `cargo xtask setup`"
        )
    };
    // The crates' folders must be there before they can be remapped.
    let mut fetch = Command::new(&cargo);
    fetch.args(["fetch", "--quiet", "--locked", "--target", TARGET]);
    process::run(fetch.current_dir(workspace::root())).with_context(install)?;
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--locked",
        "--bins",
        "--release",
        "--target",
        TARGET,
    ]);
    command.args(["--message-format", "json-render-diagnostics"]);
    for package in packages {
        command.args(["-p", package]);
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", flags()?);
    command.current_dir(workspace::root());
    eprintln!("building {}, static", packages.join(", "));
    let messages = process::stdout(&mut command).with_context(install)?;
    let find = |name: &str| {
        messages.lines().find_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            let path = message["executable"].as_str()?;
            (message["target"]["name"] == name).then(|| PathBuf::from(path))
        })
    };
    let path = |name: &&str| {
        find(name).with_context(|| format!("{} built no program {name}", packages.join(", ")))
    };
    names.iter().map(path).collect()
}

/// Whether the toolchain can build them.
pub fn has_target() -> bool {
    sysroot().is_ok_and(|root| root.join("lib/rustlib").join(TARGET).is_dir())
}

fn flags() -> Result<OsString> {
    let mut flags = OsString::new();
    remap::add_flags(&mut flags, &sysroot()?)?;
    Ok(flags)
}

fn sysroot() -> Result<PathBuf> {
    let mut command = Command::new("rustc");
    command.args(["--print", "sysroot"]);
    let printed = process::stdout(command.current_dir(workspace::root()))?;
    Ok(PathBuf::from(printed.trim()))
}
