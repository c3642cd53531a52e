//! C7: how many BPF instructions the verifier walks through in each program, against what is committed
//! for kernels of this series. The count drifts with the code alone, where its times would with the
//! machine; a tenth more fails.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::{
    host::Host,
    process::{command, run},
    suite::Outcome,
};

/// What a program may have more than is committed, in percent.
const MOST_PERCENT: u64 = 10;
/// By series of the kernel and number of CPUs (loops over CPUs are as long as there are), then by
/// program.
const COMMITTED: &str = include_str!("instructions.json");

type Counts = BTreeMap<String, u64>;

#[derive(Deserialize)]
struct Doctor {
    programs: Vec<Program>,
}

#[derive(Deserialize)]
struct Program {
    program: String,
    verified_instructions: Option<u64>,
}

pub(super) fn verified(host: &Host) -> anyhow::Result<Outcome> {
    let finished = run(command(&host.memtrace, ["doctor", "-o", "json"]))?;
    ensure!(finished.status.success(), "{finished:?}");
    let doctor: Doctor = serde_json::from_slice(&finished.stdout).context("doctor's answer")?;
    let counted: Counts = doctor
        .programs
        .into_iter()
        .filter_map(|one| Some((one.program, one.verified_instructions?)))
        .collect();
    if counted.is_empty() {
        return Ok(Outcome::Skipped(
            "this kernel does not tell (before 5.16), or loads nothing".to_owned(),
        ));
    }
    let series: Vec<_> = host.kernel_release.split(['.', '-']).take(2).collect();
    let possible = fs::read_to_string("/sys/devices/system/cpu/possible")
        .context("/sys/devices/system/cpu/possible")?;
    let key = format!("{}, CPUs {}", series.join("."), possible.trim());
    let committed: BTreeMap<String, Counts> = serde_json::from_str(COMMITTED)?;
    match committed.get(&key) {
        Some(committed) => judge(committed, &counted).map(Outcome::Passed),
        None => Ok(Outcome::Skipped(format!(
            "nothing is committed for {key}; counted here: {}",
            serde_json::to_string(&counted)?
        ))),
    }
}

/// How many programs were compared; an error that names those that have more.
fn judge(committed: &Counts, counted: &Counts) -> anyhow::Result<String> {
    let mut compared = 0;
    let mut risen = Vec::new();
    for (program, now) in counted {
        // One that this machine loads and the other did not: a rung refused there.
        let Some(before) = committed.get(program) else {
            continue;
        };
        compared += 1;
        if *now > before + before * MOST_PERCENT / 100 {
            risen.push(format!("{program}: {now}, {before} committed"));
        }
    }
    ensure!(
        risen.is_empty(),
        "more than {MOST_PERCENT} % above what is committed: {}; if it is worth it, commit {}",
        risen.join("; "),
        serde_json::to_string(counted)?
    );
    ensure!(compared > 0, "none of {counted:?} is committed");
    Ok(format!("{compared} programs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_grew_by_more_than_a_tenth_fails_by_its_name() {
        let counts = |fault| Counts::from([("fault".to_owned(), fault), ("flush".to_owned(), 9)]);
        assert_eq!(judge(&counts(100), &counts(110)).unwrap(), "2 programs");
        let error = judge(&counts(100), &counts(111)).unwrap_err().to_string();
        assert!(error.contains("fault: 111, 100 committed"), "{error}");
        assert!(judge(&Counts::new(), &counts(1)).is_err());
    }
}
