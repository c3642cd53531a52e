//! `memtrace doctor --cost`: what each hook costs on this machine, by the kernel's own clock.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use memtrace::{
    kernel::{
        attach::{LoadOptions, Measuring, Runs, TimedProgram},
        facts::KernelFacts,
    },
    source::live::Live,
};
use serde_json::{Value, json};

use super::load::{self, Load};
use crate::cli::failure::Failure;

/// Windows of measuring: a hook's cost is their median, so that what interrupts one is not in it.
const WINDOWS: u32 = 9;
/// How often runs are sent and read, as while explaining.
const FLUSH_EVERY: Duration = Duration::from_millis(50);

/// What was measured.
pub(super) struct Cost {
    elapsed: Duration,
    hooks: Vec<HookCost>,
}

/// One hook.
struct HookCost {
    hook: String,
    calls: u64,
    /// Of each window in which it was called.
    run_ns: Vec<f64>,
    /// The same of an empty program; of none where there is none.
    empty_ns: Vec<f64>,
}

impl HookCost {
    /// What a call takes more than that of an empty program.
    fn above_empty_ns(&self) -> Option<f64> {
        Some(median(&self.run_ns)? - median(&self.empty_ns)?)
    }
}

impl Cost {
    /// Attaches the hooks of an explanation, works for `time`, and measures meanwhile.
    pub(super) fn measure(
        kernel: &KernelFacts,
        options: &LoadOptions,
        time: Duration,
    ) -> Result<Self, Failure> {
        let mut live = Live::start(kernel, options).map_err(Failure::failed)?;
        live.attached()
            .attach_empty_programs(kernel)
            .map_err(Failure::failed)?;
        let _measuring = Measuring::begin()
            .context("asking the kernel to time BPF programs (takes CAP_SYS_ADMIN)")
            .map_err(Failure::unsupported)?;
        let load = Load::begin(&std::env::temp_dir()).map_err(Failure::failed)?;
        let start = Instant::now();
        let mut samples = vec![live.attached().timed_programs()];
        for window in 1..=WINDOWS {
            while start.elapsed() < time * window / WINDOWS {
                std::thread::sleep(FLUSH_EVERY.min(time / WINDOWS));
                live.flush(FLUSH_EVERY.as_nanos() as u64)
                    .map_err(Failure::failed)?;
                live.drain();
            }
            samples.push(live.attached().timed_programs());
        }
        let elapsed = start.elapsed();
        load.end().map_err(Failure::failed)?;
        Ok(Self {
            elapsed,
            hooks: hooks(&samples),
        })
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "COST    by bpf_stats over {:.1} s, while memtrace wrote a file of {} MiB in TMPDIR and read \
             it twice\n  {:<42} {:>10} {:>7} {:>7} {:>7}",
            self.elapsed.as_secs_f64(),
            load::FILE_BYTES >> 20,
            "",
            "calls/s",
            "ns",
            "empty",
            "above",
        );
        for hook in &self.hooks {
            let cell = |value: Option<f64>| value.map_or("-".to_owned(), |ns| format!("{ns:.1}"));
            let _ = writeln!(
                out,
                "  {:<42} {:>10.0} {:>7} {:>7} {:>7}",
                hook.hook,
                hook.calls as f64 / self.elapsed.as_secs_f64(),
                cell(median(&hook.run_ns)),
                cell(median(&hook.empty_ns)),
                cell(hook.above_empty_ns()),
            );
        }
        out
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "seconds": self.elapsed.as_secs_f64(),
            "hooks": self.hooks.iter().map(|hook| json!({
                "hook": hook.hook,
                "calls": hook.calls,
                "windows_ns": hook.run_ns,
                "empty_windows_ns": hook.empty_ns,
                "took_ns": median(&hook.run_ns),
                "empty_ns": median(&hook.empty_ns),
                "above_empty_ns": hook.above_empty_ns(),
            })).collect::<Vec<_>>(),
        })
    }
}

/// From what was counted at the start and at the end of each window.
fn hooks(samples: &[Vec<TimedProgram>]) -> Vec<HookCost> {
    let Some((first, last)) = samples.first().zip(samples.last()) else {
        return Vec::new();
    };
    let windows = |of: &dyn Fn(&Vec<TimedProgram>) -> Option<Runs>| -> Vec<f64> {
        let pairs = samples.iter().zip(&samples[1..]);
        pairs
            .filter_map(|(before, after)| mean_ns(of(before)?, of(after)?))
            .collect()
    };
    first
        .iter()
        .zip(last)
        .enumerate()
        .map(|(place, (first, last))| HookCost {
            hook: first.hook.clone(),
            calls: last.runs.calls.saturating_sub(first.runs.calls),
            run_ns: windows(&|programs| Some(programs.get(place)?.runs)),
            empty_ns: windows(&|programs| programs.get(place)?.empty),
        })
        .collect()
}

/// What one run took between two readings; `None` if there was none.
fn mean_ns(before: Runs, after: Runs) -> Option<f64> {
    let calls = after.calls.checked_sub(before.calls)?;
    let total_ns = after.total_ns.checked_sub(before.total_ns)?;
    (calls > 0).then(|| total_ns as f64 / calls as f64)
}

/// The middle one, or of two in the middle the mean.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    match sorted.len() % 2 {
        0 => Some((sorted[sorted.len() / 2 - 1] + upper) / 2.0),
        _ => Some(upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(calls: u64, total_ns: u64, empty_ns: u64) -> TimedProgram {
        TimedProgram {
            hook: "tp_btf/x".to_owned(),
            runs: Runs { calls, total_ns },
            empty: Some(Runs {
                calls,
                total_ns: empty_ns,
            }),
        }
    }

    #[test]
    fn a_window_that_was_interrupted_does_not_count() {
        let samples = [
            vec![program(0, 0, 0)],
            vec![program(10, 300, 200)],
            // Nothing ran.
            vec![program(10, 300, 200)],
            vec![program(20, 90_300, 400)],
            vec![program(30, 90_620, 610)],
        ];
        let hooks = hooks(&samples);
        assert_eq!(hooks[0].calls, 30);
        assert_eq!(hooks[0].run_ns, [30.0, 9000.0, 32.0]);
        assert_eq!(hooks[0].above_empty_ns(), Some(12.0));
    }

    #[test]
    fn what_was_not_called_has_no_cost() {
        let samples = [vec![program(5, 50, 40)], vec![program(5, 50, 40)]];
        assert_eq!(hooks(&samples)[0].above_empty_ns(), None);
        assert_eq!(median(&[2.0, 1.0]), Some(1.5));
    }
}
