//! On what and under what load a part was measured.

use std::fs;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use memtrace_tests::steal::CpuTicks;
use serde::{Deserialize, Serialize};

use super::Bench;

/// As the document tells them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Conditions {
    /// Seconds since 1970 when it ended.
    pub unix_seconds: u64,
    /// The kernel's release, without what names a build.
    pub kernel: String,
    /// Model of the CPU, and how many.
    pub cpu: String,
    /// Load average of a minute before it began, and at its end.
    pub load_before: String,
    pub load_after: String,
    /// Of all CPU time, what other machines took.
    pub stolen_percent: u64,
    /// Programs compared, with their versions.
    pub versions: Vec<String>,
}

/// Watches while a part is measured.
pub(super) struct Watch {
    load_before: String,
    ticks: CpuTicks,
}

impl Watch {
    pub(super) fn begin() -> Result<Self> {
        Ok(Self {
            load_before: load()?,
            ticks: CpuTicks::now()?,
        })
    }

    pub(super) fn end(&self, bench: &Bench) -> Result<Conditions> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(Conditions {
            unix_seconds: now.as_secs(),
            kernel: kernel()?,
            cpu: cpu()?,
            load_before: self.load_before.clone(),
            load_after: load()?,
            stolen_percent: self.ticks.stolen_percent_until(&CpuTicks::now()?),
            versions: bench.peers.versions(),
        })
    }
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {path}"))
}

fn load() -> Result<String> {
    let text = read("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

fn kernel() -> Result<String> {
    let release = read("/proc/sys/kernel/osrelease")?;
    let short: Vec<_> = release.trim().split(['.', '-']).take(2).collect();
    Ok(short.join("."))
}

fn cpu() -> Result<String> {
    let text = read("/proc/cpuinfo")?;
    let models: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model)
        .collect();
    let model = models.first().copied().unwrap_or("unknown CPU");
    Ok(format!("{} x {model}", models.len()))
}
