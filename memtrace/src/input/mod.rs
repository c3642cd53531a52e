//! Everything the model consumes, live or from a recording.
//!
//! These types are the recording format (see `source::recording`): a field may be added with a
//! default, but never change its meaning. An unknown is `None`, never 0.

mod event;
mod facts;
mod oom;
mod oom_watch;
mod sample;

pub use self::{
    event::{
        FileEvent, FileId, FileLocation, OwnedBy, ReclaimCause, ReclaimEvent, ReclaimKind,
        RunEvent, ShrinkKind, TaskEvent, VictimEvent,
    },
    facts::{Facts, HookOutcome, LruKind, RssCounters, Scope, StatError},
    oom::{
        OomCandidateEvent, OomCgroup, OomConstraint, OomKillEvent, OomMemory, OomNode,
        OomReapEvent, OomReapPhase, OomSnapshot, OomTask, RssPages, TICK_NS, TaskSource,
    },
    oom_watch::{CgroupPath, OomGoneEvent, OomLogEvent, OomLogTask, OomWatchFacts},
    sample::{
        CgroupMember, CgroupSample, CgroupVersion, ChildSample, Dentries, ExactCounters, ExactFlow,
        HookCounters, Instant, MemoryEvents, MemoryStat, Pressure, Sample, ShrinkSum, SocketUsage,
        TaskUsage, Timestamp,
    },
};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One thing the model learns, in the order it learned it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// What is known of this kernel and of the question; always first.
    Facts(Box<Facts>),
    /// Pages of one (memcg, file, task, kind).
    Run(RunEvent),
    /// The name of a file.
    File(FileEvent),
    /// Where a file is mounted, as the target sees it.
    Location(FileLocation),
    /// The name of a process.
    Task(TaskEvent),
    /// A reclaim pass that a task waited for.
    Reclaim(ReclaimEvent),
    /// The OOM killer chose.
    Victim(VictimEvent),
    /// The OOM killer is about to kill.
    OomKill(OomKillEvent),
    /// The OOM killer looked at a process.
    OomCandidate(Box<OomCandidateEvent>),
    /// The OOM reaper at work.
    OomReap(OomReapEvent),
    /// What decides whom the OOM killer would choose; shared, since of a large node it is megabytes.
    OomSnapshot(Arc<OomSnapshot>),
    /// What is known of this kernel, for `oom watch`; always first there.
    OomWatch(Box<OomWatchFacts>),
    /// A kill in the kernel log's words.
    OomLog(Box<OomLogEvent>),
    /// The path of a cgroup that a hook named.
    CgroupPath(CgroupPath),
    /// A victim has exited.
    OomGone(OomGoneEvent),
    /// At this instant, `CLOCK_MONOTONIC`, kills were looked through for those that are complete.
    OomTick(u64),
    /// Cgroup files, tasks and hook counters at one instant.
    Sample(Box<Sample>),
    /// What the hooks did in all, read after the last of them was detached.
    Hooks(Vec<HookCounters>),
    /// The target was removed before the window ended: `After` is its last sample.
    TargetGone,
    /// The command under `--` started.
    CommandStarted {
        /// Its process id.
        pid: u32,
        /// Its arguments, the program first.
        argv: Vec<String>,
    },
    /// The command under `--` ended.
    CommandEnded {
        /// Its exit code, if it exited.
        code: Option<i32>,
        /// The signal that ended it, if one did.
        signal: Option<i32>,
    },
    /// Processes the command left behind when the time was up; they live on in the parent cgroup.
    LeftBehind {
        /// (pid, name) of each.
        tasks: Vec<(u32, String)>,
    },
}
