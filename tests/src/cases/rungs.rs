//! What each rung of the activating task promises, and whether an answer keeps it.
//!
//! With `workingset_activation`, by fentry or by kprobe, the task is the one that ran; with the table of readers it is
//! the page's last reader on that CPU; with neither it is a guess, and the answer must say so.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use super::room::{CaseFile, ensure_share, text};
use crate::{
    answer::{Answer, Cause},
    host::Host,
    process,
    session::Explained,
};

/// Options that force the two best rungs off.
pub(super) const READERS_ONLY: [&str; 4] = ["--without-hook", FENTRY, "--without-hook", KPROBE];
/// Options that force trampolines off for the activating task.
pub(super) const WITHOUT_FENTRY: [&str; 2] = ["--without-hook", FENTRY];
/// Options for the rung that the kernel gives.
pub(super) const BEST: [&str; 0] = [];

const FENTRY: &str = "fentry/workingset_activation";
const KPROBE: &str = "kprobe/workingset_activation";
const READERS: &str = "tp_btf/mm_filemap_get_pages";

/// How the activating task was known in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rung {
    /// In the task itself, by a trampoline or a kprobe.
    Fentry,
    /// From the table of readers.
    Readers,
    /// Not at all.
    Guess,
}

impl Rung {
    /// As the answer tells it. A kernel of the ladder allows BPF trampolines, so there only
    /// `--without-hook` may turn fentry off.
    pub(super) fn of(answer: &Answer, host: &Host) -> anyhow::Result<Self> {
        let signal = answer.signal("activating task")?;
        let rung = match signal.attached.as_deref() {
            Some(FENTRY | KPROBE) => Self::Fentry,
            Some(READERS) => Self::Readers,
            None => Self::Guess,
            Some(other) => bail!("the activating task comes from {other}"),
        };
        if rung != Self::Fentry && host.is_emulated() {
            let reason = (signal.refused.iter())
                .find(|refused| refused.hook == FENTRY)
                .map(|refused| refused.reason.as_str());
            ensure!(
                reason.is_some_and(|reason| reason.contains("--without-hook")),
                "{FENTRY} is off: {reason:?}"
            );
        }
        Ok(rung)
    }

    /// Least share of the pages that must be credited to the right task and file.
    pub(super) fn share(self) -> f64 {
        match self {
            Self::Fentry | Self::Guess => 0.995,
            Self::Readers => 0.98,
        }
    }
}

/// `grown_bytes` of a file that became active are credited as the rung in use promises: to the file
/// and, where the task can be known, to the process `pid`.
pub(super) fn check_credit(
    host: &Host,
    explained: &Explained,
    file: &CaseFile,
    pid: u32,
    grown_bytes: i64,
) -> anyhow::Result<String> {
    let answer = &explained.answer;
    let rung = Rung::of(answer, host)?;
    let sum = |which: &dyn Fn(&Cause) -> bool| {
        answer.caused("active_file", |cause| {
            cause.is_of(&file.path, file.inode) && which(cause)
        })
    };
    let certain = |cause: &Cause| cause.task.as_ref().is_some_and(|task| task.certain);
    let words = || format!("by {rung:?}: {}", answer.causes_in_words());
    let of_file = sum(&|_| true);
    let by_task = sum(&|cause| cause.is_by(pid));
    let known = sum(&|cause| cause.is_by(pid) && certain(cause));
    let figure = match rung {
        Rung::Fentry | Rung::Readers => {
            ensure_share("credited", by_task, grown_bytes, rung.share(), words)?
        }
        Rung::Guess => {
            let figure = ensure_share("of the file", of_file, grown_bytes, rung.share(), words)?;
            says_it_is_a_guess(host, explained, sum(&certain))?;
            figure
        }
    };
    // The kernel drains a full batch before it calls `workingset_activation` for the page that
    // filled it (mm/swap.c, `folio_mark_accessed`), so one page of 15 is known less surely up to 6.1.
    ensure!(
        rung == Rung::Guess || known * 10 >= grown_bytes * 9,
        "only {known} of {grown_bytes} bytes have a certain task: {}",
        answer.causes_in_words()
    );
    Ok(format!("{rung:?}: {figure}, {known} of them certain"))
}

/// Where nobody saw the task, none is claimed for certain, and both outputs say so.
pub(super) fn says_it_is_a_guess(
    host: &Host,
    explained: &Explained,
    certain_bytes: i64,
) -> anyhow::Result<()> {
    let answer = &explained.answer;
    ensure!(
        certain_bytes == 0,
        "{certain_bytes} bytes have a certain task, though no hook saw it: {}",
        answer.causes_in_words()
    );
    let warned = answer.trust.warnings.iter().any(|warning| {
        let message = warning["message"].as_str().unwrap_or_default();
        message.contains("activating task") && message.contains("uncertain")
    });
    ensure!(warned, "no word on it: {:?}", answer.trust.warnings);
    let mut command = process::command(&host.memtrace, ["explain", "--replay"]);
    command.arg(text(Path::new(&explained.recording))?);
    let shown = process::run(command)?;
    let shown = String::from_utf8(shown.stdout).context("the text is not UTF-8")?;
    ensure!(
        shown.contains("uncertain") && (shown.contains("probably ") || shown.contains("]?")),
        "the text does not say that the task is a guess: {shown}"
    );
    Ok(())
}
