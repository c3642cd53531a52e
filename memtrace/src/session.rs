//! One live explanation: hooks on, a sample before, events and peaks meanwhile, a sample after.
//!
//! Every input goes to the aggregator and, if there is one, to the recording, in the same order:
//! that is what makes a replay equal to the live run.

use std::{collections::BTreeSet, future::Future, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    aggregate::{Aggregator, Incomplete},
    cgroup::{
        Cgroup, CgroupError, CgroupReader, Hierarchy, children_of, find_by_id, members,
        processes_in,
    },
    files::{FileLocator, FilesError},
    input::{
        CgroupPath, CgroupSample, Facts, Input, Instant, RssCounters, Sample, Scope, StatError,
        TaskUsage, Timestamp,
    },
    kernel::{
        attach::LoadOptions,
        dentries::dentries,
        facts::{KernelFacts, lru_kind},
    },
    model::{Explanation, fit_together},
    source::{
        live::{Live, LiveError, monotonic_ns, unix_ns},
        recording::{RecordError, Recorder},
    },
    tasks,
};

/// A run is sent when it is twice this old at the latest: once by the age asked for, once by the pause
/// between two flushes.
const FLUSH_EVERY: Duration = Duration::from_millis(10);
/// How often the working set of a command is looked at for a new peak.
const PEAK_EVERY: Duration = Duration::from_millis(4);
/// How often a target is sampled, to have an end if its cgroup goes away.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// Rounds to get all runs out before a sample.
const SETTLE_ROUNDS: u32 = 20;
/// Times a torn reading is tried again, and the pause before each.
const TORN_TRIES: u32 = 10;
const TORN_PAUSE: Duration = Duration::from_millis(3);
/// Growth that is worth a peak sample while it goes on; once it pauses, any growth is.
const PEAK_STEP_BYTES: u64 = 256 * 1024;
/// Cgroups whose path is looked for at the end; each takes a walk of the hierarchy.
const CGROUPS_LOOKED_FOR: usize = 32;

/// Why a session ended without an answer.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The hooks.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// The cgroup's files.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The mounts.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Not enough was learned.
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
}

/// What is asked, and how.
pub struct Question {
    /// The target.
    pub cgroup: Cgroup,
    /// What the user typed.
    pub typed: String,
    /// A command will run in it: follow its peak.
    pub command: bool,
    /// How to load the programs.
    pub load: LoadOptions,
}

/// The answer, and what went wrong on the way without spoiling it.
pub struct Answer {
    /// Why the working set changed.
    pub explanation: Explanation,
    /// The recording broke off.
    pub recording_failed: Option<RecordError>,
}

/// A running session.
pub struct Session {
    live: Live,
    hierarchy: Hierarchy,
    cgroup: Cgroup,
    reader: CgroupReader,
    page_bytes: u64,
    rss_counters: RssCounters,
    stat_error: StatError,
    before: Option<CgroupSample>,
    command: bool,
    aggregator: Aggregator,
    recorder: Option<Recorder>,
    recording_failed: Option<RecordError>,
    locator: FileLocator,
    /// Ids of the target and of every cgroup that is or was below it.
    known_members: BTreeSet<u64>,
    peak_bytes: u64,
    peak_accounted_bytes: u64,
    seen_bytes: u64,
    latest: Option<Sample>,
    /// Readings of the target that were torn, one after the other.
    torn: u32,
}

/// What came of a look at the cgroup.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looked {
    /// All there was to see.
    Whole,
    /// A reading that was of no one instant.
    Torn,
}

impl Session {
    /// Attaches the hooks and takes the sample before. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If nothing can be attached, or the cgroup cannot be read.
    pub fn start(
        kernel: &KernelFacts,
        hierarchy: Hierarchy,
        question: Question,
        recorder: Option<Recorder>,
    ) -> Result<Self, SessionError> {
        let Question {
            cgroup,
            typed,
            command,
            load,
        } = question;
        let reader = CgroupReader::open(hierarchy.version(), &cgroup.directory)?;
        let locator = FileLocator::new(&processes_in(&cgroup.directory)?)?;
        let live = Live::start(kernel, &load)?;
        let facts = Facts {
            memtrace_version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel_release: kernel.release.clone(),
            page_size_bytes: kernel.page_size_bytes,
            cpus: kernel.cpus,
            lru: kernel.lru,
            locked_down: kernel.locked_down,
            cgroup_version: hierarchy.version(),
            stat_error: kernel.stat_error,
            thread_stack_bytes: kernel.thread_stack_bytes,
            dentry_bytes: kernel.dentry_bytes,
            hooks: live.outcomes().to_vec(),
            scope: Scope {
                target: typed,
                cgroup_path: cgroup.path.clone(),
                cgroup_id: cgroup.id,
                command,
            },
            realtime_minus_monotonic_ns: unix_ns() as i64 - monotonic_ns() as i64,
        };
        let mut session = Self {
            live,
            hierarchy,
            cgroup,
            reader,
            page_bytes: kernel.page_size_bytes,
            rss_counters: kernel.rss_counters,
            stat_error: kernel.stat_error,
            before: None,
            command,
            aggregator: Aggregator::new(),
            recorder,
            recording_failed: None,
            locator,
            known_members: BTreeSet::new(),
            peak_bytes: 0,
            peak_accounted_bytes: 0,
            seen_bytes: 0,
            latest: None,
            torn: 0,
        };
        session.feed(Input::Facts(Box::new(facts)));
        let before = session.sample(Instant::Before, true)?;
        session.peak_bytes = before.cgroup.working_set_bytes().unwrap_or(0);
        session.peak_accounted_bytes = accounted_bytes(&before.cgroup);
        session.feed(Input::Sample(Box::new(before)));
        Ok(session)
    }

    /// Hands one input to the aggregator and to the recording.
    pub fn feed(&mut self, input: Input) {
        self.aggregator.apply(&input);
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.append(&input)
        {
            self.recording_failed = Some(error);
            self.recorder = None;
        }
    }

    /// Follows events until `until` is done.
    ///
    /// # Errors
    /// If the kernel cannot be read any more. A cgroup that goes away is not an error.
    pub async fn watch<F: Future>(&mut self, until: F) -> Result<F::Output, SessionError> {
        let mut until = std::pin::pin!(until);
        let mut flush = interval(FLUSH_EVERY);
        let mut look = interval(if self.command {
            PEAK_EVERY
        } else {
            SAMPLE_EVERY
        });
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                done = &mut until => return Ok(done),
                () = self.live.readable() => self.drain(),
                _ = flush.tick() => {
                    self.live.flush(FLUSH_EVERY.as_nanos() as u64)?;
                }
                _ = look.tick() => {
                    if self.look()? == Looked::Torn {
                        look.reset_after(TORN_PAUSE);
                    }
                }
            }
        }
    }

    /// Takes the sample after, detaches, and explains.
    ///
    /// # Errors
    /// If the kernel cannot be read any more.
    pub fn finish(mut self) -> Result<Answer, SessionError> {
        let after = match (self.sample(Instant::After, true), self.latest.take()) {
            (Ok(after), _) => after,
            // The cgroup went away: the last sample of its life is the end of the window.
            (Err(SessionError::Cgroup(CgroupError::Gone { .. })), Some(latest)) => {
                self.feed(Input::TargetGone);
                latest
            }
            (Err(error), _) => return Err(error),
        };
        self.feed(Input::Sample(Box::new(after)));
        let Self {
            live,
            mut aggregator,
            mut recorder,
            mut recording_failed,
            mut locator,
            hierarchy,
            ..
        } = self;
        let mut feed = |aggregator: &mut Aggregator, input: Input| {
            aggregator.apply(&input);
            if let Some(to) = &mut recorder
                && let Err(error) = to.append(&input)
            {
                recording_failed = Some(error);
                recorder = None;
            }
        };
        let hooks = live.finish(|input| feed(&mut aggregator, input))?;
        feed(&mut aggregator, Input::Hooks(hooks));
        for id in aggregator
            .cgroups_elsewhere()
            .into_iter()
            .take(CGROUPS_LOOKED_FOR)
        {
            match find_by_id(&hierarchy, id) {
                Ok(found) => {
                    let path = found.map(|cgroup| cgroup.path);
                    feed(&mut aggregator, Input::CgroupPath(CgroupPath { id, path }));
                }
                // Its number says as much as is known.
                Err(error) => log::warn!("looking for cgroup {id}: {error}"),
            }
        }
        for file in aggregator.files_in_window() {
            feed(&mut aggregator, Input::Location(locator.locate(&file)));
        }
        if let Some(recorder) = recorder
            && let Err(error) = recorder.finish()
        {
            recording_failed = Some(error);
        }
        Ok(Answer {
            explanation: aggregator.explain()?,
            recording_failed,
        })
    }

    fn drain(&mut self) {
        for input in self.live.drain() {
            self.feed(input);
        }
    }

    /// Reads the cgroup; for a command, takes a peak sample when the working set is at a new high.
    fn look(&mut self) -> Result<Looked, SessionError> {
        if !self.command {
            return self.look_at_target();
        }
        self.look_for_peak()?;
        Ok(Looked::Whole)
    }

    /// Reads a target, to have an end if it goes away. Events go on meanwhile: a torn reading is not
    /// tried again here, but soon.
    fn look_at_target(&mut self) -> Result<Looked, SessionError> {
        match self.read(Instant::After, false) {
            Ok(sample) if self.is_of_one_instant(&sample.cgroup) || self.torn >= TORN_TRIES => {
                self.latest = Some(sample);
                self.torn = 0;
                Ok(Looked::Whole)
            }
            Ok(_) => {
                self.torn += 1;
                Ok(Looked::Torn)
            }
            Err(SessionError::Cgroup(CgroupError::Gone { .. })) => Ok(Looked::Whole),
            Err(error) => Err(error),
        }
    }

    /// Takes a peak sample when the working set is at a new high.
    fn look_for_peak(&mut self) -> Result<(), SessionError> {
        let now = self.reader.sample()?;
        let Some(now_bytes) = now.working_set_bytes() else {
            return Ok(());
        };
        let pauses = now_bytes <= self.seen_bytes;
        self.seen_bytes = now_bytes;
        let step = if pauses { 1 } else { PEAK_STEP_BYTES };
        // A page is charged before it is counted; a huge one is cleared in between, which takes a
        // while. So the same height is taken again once more of it is accounted for.
        let settled = accounted_bytes(&now) > self.peak_accounted_bytes;
        let again = settled && now_bytes == self.peak_bytes;
        if now_bytes < self.peak_bytes + step && !again {
            return Ok(());
        }
        let peak = self.sample(Instant::Peak, false)?;
        if let Some(bytes) = peak.cgroup.working_set_bytes()
            && (bytes > self.peak_bytes || again && bytes == self.peak_bytes)
        {
            self.peak_bytes = bytes;
            self.peak_accounted_bytes = accounted_bytes(&peak.cgroup);
            self.feed(Input::Sample(Box::new(peak)));
        }
        Ok(())
    }

    /// Brings every event up to now in. A run whose hook is at work, or that finds the ring buffer
    /// full, takes another round; on a busy machine there is always one more, so not for ever.
    fn settle(&mut self) -> Result<(), SessionError> {
        for _ in 0..SETTLE_ROUNDS {
            let kept = self.live.flush(0)?;
            self.drain();
            if kept == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Brings every event up to now in, then reads cgroup and tasks; again, if the reading is torn.
    fn sample(&mut self, instant: Instant, closely: bool) -> Result<Sample, SessionError> {
        let mut sample = self.read(instant, closely)?;
        for _ in 0..TORN_TRIES {
            if self.is_of_one_instant(&sample.cgroup) {
                break;
            }
            // A process is being torn down; it takes a few milliseconds.
            std::thread::sleep(TORN_PAUSE);
            sample = self.read(instant, closely)?;
        }
        if instant == Instant::Before {
            self.before = Some(sample.cgroup);
        }
        Ok(sample)
    }

    /// Whether a reading fits the one at the start; what cannot be known is taken to fit.
    fn is_of_one_instant(&self, cgroup: &CgroupSample) -> bool {
        self.before
            .and_then(|before| fit_together(&before, cgroup, self.stat_error, self.page_bytes))
            .unwrap_or(true)
    }

    /// `closely`: with what takes some milliseconds, sockets and children.
    fn read(&mut self, instant: Instant, closely: bool) -> Result<Sample, SessionError> {
        self.settle()?;
        let time = Timestamp {
            unix_ns: unix_ns(),
            monotonic_ns: monotonic_ns(),
        };
        let cgroup: CgroupSample = self.reader.sample()?;
        let members = members(&self.hierarchy, &self.cgroup.directory)?;
        self.known_members
            .extend(members.iter().map(|member| member.id));
        let mut tasks = self.tasks(&members)?;
        if let Some(tasks) = &mut tasks {
            tasks::add_threads(tasks);
            if closely && cgroup.stat.sock.is_some_and(|bytes| bytes > 0) {
                tasks::add_sockets(tasks);
            }
            let pids: Vec<u32> = tasks.iter().map(|task| task.pid).collect();
            self.locator.watch(&pids);
        }
        Ok(Sample {
            instant,
            time,
            cgroup,
            members,
            tasks,
            hooks: Vec::new(),
            shrinks: match instant {
                Instant::Before | Instant::After => self.live.shrinks()?,
                Instant::Peak => None,
            },
            exact: self
                .live
                .counter_flows(self.known_members.iter().copied())?,
            lru: Some(lru_kind()),
            dentries: dentries(),
            children: match closely {
                true => children_of(&self.hierarchy, &self.cgroup.directory)?,
                false => None,
            },
        })
    }

    fn tasks(
        &mut self,
        members: &[crate::input::CgroupMember],
    ) -> Result<Option<Vec<TaskUsage>>, SessionError> {
        if let Some(stream) = self.live.task_samples()? {
            let mut tasks = tasks::from_iterator(&stream, members);
            if self.rss_counters == RssCounters::Summed {
                tasks::sum_up(&mut tasks, self.page_bytes);
            }
            return Ok(Some(tasks));
        }
        let pids = processes_in(&self.cgroup.directory)?;
        Ok(tasks::from_proc(members, &pids, self.page_bytes).ok())
    }
}

/// The memory that processes and files have, by memory.stat.
fn accounted_bytes(cgroup: &CgroupSample) -> u64 {
    cgroup.stat.anon.unwrap_or(0) + cgroup.stat.file.unwrap_or(0)
}
