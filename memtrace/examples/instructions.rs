//! The paths that every event passes through in userspace, for `cargo xtask test` to count their
//! instructions under callgrind: `instructions decode TIMES`, `instructions ledger TIMES`.
//!
//! What they work on is committed, so that the counts change with the code alone; what one time more
//! takes is the path's own, without the program's start.

use std::{hint::black_box, path::Path};

use anyhow::{Context as _, bail};
use memtrace::{
    aggregate::Aggregator,
    input::Input,
    kernel::callers::Callers,
    source::{decode::decode, recording::Replay},
};
use memtrace_ebpf::record::{Header, RunKind, RunRecord, Tag};

/// Records that are decoded.
const RECORDS: u64 = 10_000;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [path, times] = arguments.as_slice() else {
        bail!("say decode or ledger, and how many times");
    };
    let times: usize = times.parse().context("TIMES is not a number")?;
    match path.as_str() {
        "decode" => {
            let records = records();
            (0..times).try_for_each(|_| decode_path(&records))
        }
        "ledger" => {
            let inputs = inputs()?;
            (0..times).try_for_each(|_| ledger_path(&inputs))
        }
        other => bail!("say decode or ledger, not {other}"),
    }
}

/// From the ring buffer's bytes to inputs.
fn decode_path(records: &[RunRecord]) -> anyhow::Result<()> {
    let callers = Callers::default();
    for record in records {
        // SAFETY: the type has no padding, so each of its bytes is initialised.
        let bytes = unsafe {
            std::slice::from_raw_parts((&raw const *record).cast(), size_of::<RunRecord>())
        };
        black_box(decode(black_box(bytes), 1, &callers)?);
    }
    Ok(())
}

/// From inputs to an explanation.
fn ledger_path(inputs: &[Input]) -> anyhow::Result<()> {
    let mut aggregator = Aggregator::new();
    for input in inputs {
        aggregator.apply(black_box(input));
    }
    black_box(aggregator.explain()?);
    Ok(())
}

/// Runs as the hooks send them: of every kind, of some files and processes.
fn records() -> Vec<RunRecord> {
    let kinds = RunKind::ALL.into_iter().cycle();
    (0..RECORDS)
        .zip(kinds)
        .map(|(number, kind)| RunRecord {
            header: Header {
                tag: Tag::Run as u32,
                cpu: 0,
                sent_ns: number,
            },
            kind: kind as u32,
            flags: 0,
            tgid: 1 + number as u32 % 7,
            hook: 0,
            memcg_id: 61,
            target_memcg_id: 0,
            inode: 1 + number % 50,
            device: 1,
            generation: 0,
            pages: 32,
            folios: 32,
            first_ns: number,
        })
        .collect()
}

/// The recording of the demo.
fn inputs() -> anyhow::Result<Vec<Input>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo.mtrace");
    let inputs = Replay::open(&path)
        .with_context(|| format!("open {}", path.display()))?
        .collect::<Result<_, _>>();
    inputs.with_context(|| format!("read {}", path.display()))
}
