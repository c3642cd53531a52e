//! Static binaries for the guest.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{process, workspace};

const TARGET: &str = "x86_64-unknown-linux-musl";

/// Runs `cargo ARGS` for the guest's target, optimized, and returns the path of the
/// executable `name` that it reports.
pub fn executable(args: &[&str], name: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args).args(["--release", "--target", TARGET]);
    command.args(["--message-format", "json-render-diagnostics"]);
    command.current_dir(workspace::root());
    let messages = process::stdout(&mut command)
        .with_context(|| format!("if the target is missing: rustup target add {TARGET}"))?;
    let executable = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == name;
        is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    executable.with_context(|| {
        format!(
            "`{}` built no executable named {name}",
            process::line(&command)
        )
    })
}
