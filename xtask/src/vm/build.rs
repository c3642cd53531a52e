//! Static binaries for the guest.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{process, workspace};

const TARGET: &str = "x86_64-unknown-linux-musl";

/// Builds packages for the guest's target, optimized, and returns the path of each
/// executable in `names`.
pub fn executables(packages: &[&str], names: &[&str]) -> Result<Vec<PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--bins", "--release", "--target", TARGET]);
    command.args(["--message-format", "json-render-diagnostics"]);
    for package in packages {
        command.args(["-p", package]);
    }
    command.current_dir(workspace::root());
    eprintln!("vm: building {} for the guests", packages.join(", "));
    let messages = process::stdout(&mut command)
        .with_context(|| format!("if the target is missing: rustup target add {TARGET}"))?;
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
