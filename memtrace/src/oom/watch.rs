//! Everything that tells of kills, gathered into one stream of inputs.

use std::{collections::BTreeSet, io, sync::Arc};

use rustix::{
    fd::OwnedFd,
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc::Receiver,
    task::JoinSet,
    time::{Duration, Instant, sleep_until},
};

use super::{Lookout, Snapshots};
use crate::{
    cgroup::{Cgroup, Hierarchy, find_by_id},
    input::{CgroupPath, HookCounters, Input, OomGoneEvent, OomSnapshot, OomWatchFacts, OwnedBy},
    kernel::{attach::LoadOptions, facts::KernelFacts, hooks},
    source::{
        kernel_log::{self, KernelLog},
        live::{Live, LiveError, monotonic_ns, unix_ns},
    },
};

/// How often the kernel log is read, and kills are looked through for those that are complete.
const TICK: Duration = Duration::from_millis(20);
/// Victims whose end is waited for at a time.
const MAX_WAITED: usize = 1_024;
/// Cgroups that are remembered as asked for.
const MAX_ASKED: usize = 4_096;

/// A watch.
pub struct OomWatch {
    live: Live,
    log: Option<KernelLog>,
    lookout: Lookout,
    snapshots: Receiver<OomSnapshot>,
    gone: JoinSet<Option<OomGoneEvent>>,
    hierarchy: Hierarchy,
    asked: BTreeSet<u64>,
    next_tick: Instant,
}

impl OomWatch {
    /// Attaches the hooks, opens the kernel log, and starts to keep predictions up to date: for a
    /// target's cgroup and what the user called it, or for the whole machine. Must be called in a
    /// tokio runtime. `begin_lookout` is run first in the thread that looks ahead.
    ///
    /// # Errors
    /// If no hook can be attached.
    pub fn start(
        kernel: KernelFacts,
        load: &LoadOptions,
        hierarchy: Hierarchy,
        cgroup: Cgroup,
        typed: Option<String>,
        begin_lookout: fn(&mut Snapshots),
    ) -> Result<(Self, Box<OomWatchFacts>), LiveError> {
        let live = Live::start_some(&kernel, load, |signal| hooks::OOM_SIGNALS.contains(&signal))?;
        let (log, log_unreadable) = match KernelLog::open(hierarchy.version()) {
            Ok(log) => (Some(log), None),
            Err(error) => (None, Some(format!("{}: {error}", kernel_log::PATH))),
        };
        let facts = Box::new(OomWatchFacts {
            memtrace_version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel_release: kernel.release.clone(),
            page_size_bytes: kernel.page_size_bytes,
            rss_counters: kernel.rss_counters,
            realtime_minus_monotonic_ns: unix_ns() as i64 - monotonic_ns() as i64,
            hooks: live.outcomes().to_vec(),
            log_unreadable,
            within: typed.as_ref().map(|_| cgroup.path.clone()),
        });
        let taken = Snapshots::new(kernel, hierarchy.clone(), cgroup, typed);
        let (lookout, snapshots) = Lookout::start(taken, begin_lookout);
        let own = Self {
            live,
            log,
            lookout,
            snapshots,
            gone: JoinSet::new(),
            hierarchy,
            asked: BTreeSet::new(),
            next_tick: Instant::now(),
        };
        Ok((own, facts))
    }

    /// Waits until something is told, or a short time has passed, and hands over all there is.
    pub async fn gather(&mut self, mut sink: impl FnMut(Input)) {
        tokio::select! {
            () = self.live.readable() => {}
            Some(snapshot) = self.snapshots.recv() => {
                sink(Input::OomSnapshot(Arc::new(snapshot)));
            }
            Some(gone) = self.gone.join_next() => match gone {
                Ok(event) => {
                    if let Some(event) = event {
                        sink(Input::OomGone(event));
                    }
                }
                Err(error) => log::error!("waiting for a victim's end: {error}"),
            },
            () = sleep_until(self.next_tick) => {
                self.next_tick = Instant::now() + TICK;
                self.read_log(&mut sink);
            }
        }
        self.drain(&mut sink);
    }

    /// What the hooks did so far.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn counters(&self) -> Result<Vec<HookCounters>, LiveError> {
        self.live.counters()
    }

    /// Detaches the hooks and hands over what they still held; what they did in all.
    ///
    /// # Errors
    /// As the kernel reports them.
    pub fn finish(mut self, mut sink: impl FnMut(Input)) -> Result<Vec<HookCounters>, LiveError> {
        self.drain(&mut sink);
        self.read_log(&mut sink);
        drop(self.lookout);
        self.live.finish(sink)
    }

    fn drain(&mut self, sink: &mut impl FnMut(Input)) {
        for input in self.live.drain() {
            for path in self.paths(&input) {
                sink(path);
            }
            if let Input::Victim(event) = &input {
                self.wait_for(event.victim.pid);
            }
            sink(input);
        }
    }

    /// The paths of cgroups named for the first time, looked up at once: they may go with the kill.
    fn paths(&mut self, input: &Input) -> Vec<Input> {
        let of = |task: &OwnedBy| task.cgroup_id;
        let ids = match input {
            Input::Victim(event) => [of(&event.victim), of(&event.trigger), None],
            Input::OomKill(event) => [
                of(&event.victim),
                of(&event.trigger),
                event.domain_cgroup_id,
            ],
            _ => return Vec::new(),
        };
        let mut paths = Vec::new();
        for id in ids.into_iter().flatten() {
            if self.asked.len() >= MAX_ASKED {
                self.asked.clear();
            }
            if !self.asked.insert(id) {
                continue;
            }
            let found = find_by_id(&self.hierarchy, id).unwrap_or_else(|error| {
                log::warn!("looking for cgroup {id}: {error}");
                None
            });
            let path = found.map(|cgroup| cgroup.path);
            paths.push(Input::CgroupPath(CgroupPath { id, path }));
        }
        paths
    }

    fn wait_for(&mut self, pid: u32) {
        if self.gone.len() >= MAX_WAITED {
            return;
        }
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return;
        };
        let pidfd = match pidfd_open(raw, PidfdFlags::NONBLOCK) {
            Ok(pidfd) => Some(pidfd),
            // It went before it could be looked at.
            Err(Errno::SRCH) => None,
            Err(errno) => {
                log::warn!("pidfd_open {pid}: {}", io::Error::from(errno));
                return;
            }
        };
        self.gone.spawn(async move {
            if let Some(pidfd) = pidfd
                && let Err(error) = exited(pidfd).await
            {
                log::warn!("waiting for the end of victim {pid}: {error}");
                return None;
            }
            Some(OomGoneEvent {
                time_ns: monotonic_ns(),
                pid,
            })
        });
    }

    fn read_log(&mut self, sink: &mut impl FnMut(Input)) {
        let Some(log) = &mut self.log else {
            return;
        };
        if let Err(error) = log.drain(|event| sink(Input::OomLog(Box::new(event)))) {
            log::warn!("{}: {error}; not read any more", kernel_log::PATH);
            self.log = None;
        }
    }
}

/// A pidfd becomes readable when the last thread has exited (pidfd_open(2)).
async fn exited(pidfd: OwnedFd) -> io::Result<()> {
    // SAFETY: the descriptor belongs to the OwnedFd, which the AsyncFd owns and never replaces.
    let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }
        .map_err(io::Error::from)?;
    pidfd.readable().await.map(drop)
}
