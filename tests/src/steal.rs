//! CPU time that other machines took from this one.

use std::fs;

use anyhow::Context as _;

/// Share of stolen CPU time from which wall-clock times say nothing about the program under test.
pub const STOLEN_PERCENT: u64 = 10;

/// Time all CPUs have spent since boot (proc_stat(5)), in ticks.
#[derive(Clone, Copy, Debug)]
pub struct CpuTicks {
    all: u64,
    stolen: u64,
}

impl CpuTicks {
    /// Now.
    pub fn now() -> anyhow::Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("/proc/stat")?;
        let line = stat.lines().next().context("/proc/stat is empty")?;
        let fields = line.split_whitespace().skip(1).map(str::parse);
        let ticks: Vec<u64> = fields.collect::<Result<_, _>>().context("/proc/stat")?;
        Ok(Self {
            // user, nice, system, idle, iowait, irq, softirq, steal; guest time is in user.
            all: ticks.iter().take(8).sum(),
            stolen: *ticks.get(7).context("/proc/stat has no steal")?,
        })
    }

    /// Percent of all time since; of the time that was not idle it would be more.
    pub fn stolen_percent_until(&self, later: &Self) -> u64 {
        let all = later.all.saturating_sub(self.all).max(1);
        100 * later.stolen.saturating_sub(self.stolen) / all
    }
}
