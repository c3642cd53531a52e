//! `cargo xtask btf-extract`: cuts a kernel's BTF down to what memtrace looks up in it.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// Reads the BTF blob `from` (such as `/sys/kernel/btf/vmlinux`) and writes its extract to `to`.
///
/// What to keep is read off memtrace's own layout table, so this runs a program that links the
/// library; xtask itself stays independent of it and can build even when memtrace does not.
///
/// # Errors
/// If cargo cannot be run, or the extractor fails; it has then said why on standard error.
pub fn run(from: &Path, to: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "run",
            "--quiet",
            "--package",
            "memtrace",
            "--example",
            "btf-extract",
            "--",
        ])
        .args([from, to])
        .stdin(Stdio::null())
        .status()
        .context("run cargo")?;
    ensure!(
        status.success(),
        "btf-extract of {}: {status}",
        from.display()
    );
    Ok(())
}
