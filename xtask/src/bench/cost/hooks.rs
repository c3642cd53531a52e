//! C1 by bpf_stats: each hook against an empty program on the same hook.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::rounds::Series;
use super::{Bench, Claim, Found};
use crate::process;

/// What a hook may take more than an empty program.
const MOST_NS: f64 = 12.0;
/// The hooks that an activation by read(2) passes through.
const ASKED: [&str; 2] = ["tp_btf/mm_lru_activate", "tp_btf/mm_filemap_get_pages"];
/// Where the kernel allows trampolines, the reader is told of by this instead.
const BY_TRAMPOLINE: &str = "fentry/workingset_activation";

#[derive(Deserialize)]
struct Doctor {
    cost: Cost,
}

#[derive(Deserialize)]
struct Cost {
    hooks: Vec<Hook>,
}

#[derive(Deserialize)]
struct Hook {
    hook: String,
    calls: u64,
    took_ns: Option<f64>,
    empty_ns: Option<f64>,
    above_empty_ns: Option<f64>,
}

/// One hook's figures, a round each.
struct Row {
    hook: String,
    calls: u64,
    took: Series,
    empty: Series,
    above: Series,
}

pub(super) fn measure(bench: &Bench) -> Result<Found> {
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..bench.rounds {
        let mut command = Command::new(&bench.memtrace);
        command
            .args(["doctor", "--cost", "3s", "-o", "json"])
            .env("TMPDIR", &bench.folder);
        let text = process::stdout(&mut command)?;
        let doctor: Doctor = serde_json::from_str(&text).context("reading what doctor says")?;
        for hook in doctor.cost.hooks {
            add(&mut rows, hook);
        }
    }
    let mut table = vec![
        ["hook", "calls", "ns", "empty, ns", "above, ns"]
            .map(str::to_owned)
            .to_vec(),
    ];
    table.extend(rows.iter().map(|row| {
        vec![
            row.hook.clone(),
            row.calls.to_string(),
            row.took.spread(1),
            row.empty.spread(1),
            row.above.spread(1),
        ]
    }));
    let claims = rows
        .iter()
        .filter(|row| ASKED.contains(&row.hook.as_str()) || row.hook == BY_TRAMPOLINE)
        .map(|row| Claim {
            id: "C1".to_owned(),
            asked: format!("`{}` at most {MOST_NS} ns above an empty program", row.hook),
            measured: format!("{} ns", row.above.spread(1)),
            holds: Some(row.above.median() <= MOST_NS),
        })
        .collect();
    Ok(Found {
        title: "What each hook takes".to_owned(),
        workload: "`memtrace doctor --cost 3s`: a file of 16 MiB is written by pages of 4 KiB, read twice \
                   and removed, again and again, with the hooks of `memtrace explain` and an empty program \
                   on each. A figure is the median of 9 windows of a third of a second."
            .to_owned(),
        claims,
        table,
        notes: vec![
            "What the kernel measures of an empty program is what its measuring takes.".to_owned(),
        ],
    })
}

fn add(rows: &mut Vec<Row>, hook: Hook) {
    let (Some(took), Some(empty), Some(above)) = (hook.took_ns, hook.empty_ns, hook.above_empty_ns)
    else {
        return;
    };
    let place = match rows.iter().position(|row| row.hook == hook.hook) {
        Some(place) => place,
        None => {
            rows.push(Row {
                hook: hook.hook,
                calls: 0,
                took: Series::default(),
                empty: Series::default(),
                above: Series::default(),
            });
            rows.len() - 1
        }
    };
    let row = &mut rows[place];
    row.calls += hook.calls;
    row.took.push(took);
    row.empty.push(empty);
    row.above.push(above);
}
