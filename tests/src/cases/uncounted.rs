//! Memory that the kernel charges and counts under no name.

use anyhow::{Context as _, ensure};

use super::{
    room::{Room, ensure_share},
    scenario::verdict,
};
use crate::{host::Host, suite::Outcome};

const PIPES: u64 = 32;

/// Pipes of 1 MiB each. From 5.18 on, and on v1, they are in the counter of all kernel memory; before,
/// v2 has them in usage alone, and what memtrace does not know it must say.
pub(super) fn pipes(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let bytes = (PIPES << 20) as i64;
    let watch = room.watch()?;
    let mut hog = room.hog_holding(&["pipes", &PIPES.to_string()])?;
    let explained = watch.finish_unchecked()?;
    hog.release();
    hog.wait()?;

    let answer = &explained.answer;
    let counted = answer
        .component("kernel_other")
        .or(answer.component("kernel"));
    let (rule, said) = verdict(&explained)?;
    let figure = match counted {
        Some(grown) => {
            explained.check_ledger(host)?;
            ensure!(rule == "kernel", "{rule}: {said}");
            ensure_share("kernel memory", grown, bytes, 0.97, || {
                format!("{:?}", answer.components)
            })?
        }
        None => {
            answer.check_sums()?;
            ensure!(rule == "residual", "{rule}: {said}");
            ensure!(
                answer.warns("bound_exceeded"),
                "{:?}",
                answer.trust.warnings
            );
            ensure_share("unexplained", answer.unexplained_bytes, bytes, 0.9, || {
                format!("{:?}", answer.components)
            })?
        }
    };
    answer.check_conservation()?;
    explained.check_replay(host).context("its recording")?;
    Ok(Outcome::Passed(format!("{figure}; {said}")))
}
