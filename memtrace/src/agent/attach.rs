//! Hooks, and giving up what attaching them took.

use super::HookView;
use crate::{
    cgroup::Hierarchy,
    input::OomWatchFacts,
    kernel::{attach::LoadOptions, facts::KernelFacts, privileges},
    oom::{OomWatch, Snapshots},
};

/// The watch, its hooks, and what it was made for; nothing where nothing could be attached.
pub(super) type Attached = (Option<OomWatch>, Vec<HookView>, Option<Box<OomWatchFacts>>);

/// Attaches what can be attached. An agent without a hook still counts kills and tells risks.
pub(super) fn attach(kernel: KernelFacts, load: &LoadOptions, hierarchy: &Hierarchy) -> Attached {
    kernel.callers.find();
    let root = match hierarchy.cgroup_at(hierarchy.mount_point()) {
        Ok(root) => root,
        Err(error) => {
            log::error!("{error}");
            return (None, Vec::new(), None);
        }
    };
    match OomWatch::start(kernel, load, hierarchy.clone(), root, None, begin_lookout) {
        Ok((watch, facts)) => {
            let hooks = facts.hooks.iter().map(|hook| HookView {
                signal: hook.signal.clone(),
                up: hook.attached.is_some(),
            });
            (Some(watch), hooks.collect(), Some(facts))
        }
        Err(error) => {
            log::error!("{error}; kills are told of from the kernel's counters alone");
            (None, Vec::new(), None)
        }
    }
}

/// All is attached: what is left to do takes no privilege, but on old kernels.
pub(super) fn give_up_the_rest(watch: Option<&OomWatch>) {
    give_up(|| watch.is_none_or(|watch| watch.counters().is_ok()));
}

/// The same in the thread that looks ahead.
fn begin_lookout(snapshots: &mut Snapshots) {
    let before = snapshots.has_iterator();
    give_up(|| !before || snapshots.has_iterator());
}

fn give_up(still_works: impl FnOnce() -> bool) {
    match privileges::keep_what_watching_takes(still_works) {
        Ok(kept) if kept.is_empty() => log::info!("all capabilities are given up"),
        Ok(_) => {
            log::info!("all capabilities are given up but CAP_BPF, which this kernel asks for")
        }
        Err(error) => log::warn!("giving up privileges: {error}"),
    }
}

/// Events that the hooks lost, by how.
pub(super) fn lost(watch: Option<&OomWatch>) -> Vec<(&'static str, u64)> {
    let Some(watch) = watch else {
        return Vec::new();
    };
    match watch.counters() {
        Ok(counters) => vec![
            (
                "ring_full",
                counters.iter().map(|hook| hook.records_lost).sum(),
            ),
            (
                "recursion",
                counters.iter().map(|hook| hook.recursion_misses).sum(),
            ),
        ],
        Err(error) => {
            log::debug!("{error}");
            Vec::new()
        }
    }
}
