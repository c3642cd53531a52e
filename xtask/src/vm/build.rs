//! Static binaries for the guest.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

const TARGET: &str = "x86_64-unknown-linux-musl";

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// Runs `cargo ARGS` for the guest's target, optimized, and returns the path of the
/// executable `name` that it reports.
pub fn executable(args: &[&str], name: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args).args(["--release", "--target", TARGET]);
    command.args(["--quiet", "--message-format", "json-render-diagnostics"]);
    command.current_dir(workspace()).stderr(Stdio::inherit());
    let output = command
        .output()
        .with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}; if the target is missing: rustup target add {TARGET}",
            output.status
        );
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == name;
        is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    executable.with_context(|| format!("{command:?} built no executable named {name}"))
}
