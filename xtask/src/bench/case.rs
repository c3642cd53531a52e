//! A case of the live suite, run for the figures it prints.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;

use crate::{process, vm, workspace};

/// A case, and what it is to measure.
pub struct Case<'a> {
    /// Its name.
    pub name: &'a str,
    /// Environment variables that it reads.
    pub env: &'a [(&'a str, String)],
    /// Limit for one guest.
    pub timeout: Duration,
}

impl Case<'_> {
    /// Runs it on these kernels of the ladder, or on this machine if there are none. What it printed
    /// is told kernel by kernel, whether it passed or not: what is measured is written, whatever
    /// becomes of the next.
    pub fn run(
        &self,
        kernels: &[String],
        mut done: impl FnMut(String) -> Result<()>,
    ) -> Result<()> {
        if kernels.is_empty() {
            return done(self.on_this_machine()?);
        }
        vm::run_case(kernels, self.name, self.env, self.timeout, done)
    }

    fn on_this_machine(&self) -> Result<String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--release", "--bins"]);
        build.args(["-p", "memtrace", "-p", "memtrace-tests"]);
        process::run(build.current_dir(workspace::root()))?;
        let folder = workspace::target_dir().join("release");
        let mut suite = Command::new(folder.join("memtrace-live"));
        suite
            .arg(self.name)
            .env("MEMTRACE_BIN", folder.join("memtrace"))
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdout(Stdio::piped());
        let mut child = suite
            .spawn()
            .with_context(|| format!("start {}", process::line(&suite)))?;
        let out = child.stdout.take().context("no pipe from the suite")?;
        let mut output = String::new();
        for line in BufReader::new(out).lines() {
            let line = line.context("read what the suite prints")?;
            eprintln!("{line}");
            output.push_str(&line);
            output.push('\n');
        }
        // A case that failed has told what it measured all the same.
        child.wait().context("wait for the suite")?;
        Ok(output)
    }
}

/// What stands after a mark at the start of a line, each as JSON.
pub fn figures<T: DeserializeOwned>(output: &str, mark: &str) -> Result<Vec<T>> {
    let lines = output
        .lines()
        .filter_map(|line| line.trim_end().strip_prefix(mark));
    lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("read {line}")))
        .collect()
}
