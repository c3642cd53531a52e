//! The answer: an immutable snapshot that every view renders.

use super::{
    Children, Comeback, ExactChange, KernelHints, Ledger, Reclaim, TaskRef, Traffic, Trust,
    Verdict, Views, Warning,
};
use crate::input::{CgroupSample, Facts, MemoryStat, Timestamp};

/// A working set at both ends of a window, in bytes; `None` where it could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkingSet {
    /// At the start.
    pub before_bytes: Option<u64>,
    /// At the end.
    pub after_bytes: Option<u64>,
}

impl WorkingSet {
    /// The working sets of two samples.
    pub fn between(before: &CgroupSample, after: &CgroupSample) -> Self {
        Self {
            before_bytes: before.working_set_bytes(),
            after_bytes: after.working_set_bytes(),
        }
    }

    /// The change.
    pub fn delta_bytes(&self) -> Option<i64> {
        Some(self.after_bytes? as i64 - self.before_bytes? as i64)
    }
}

/// Which part of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseName {
    /// All of it.
    BeforeToAfter,
    /// From the start to the highest working set.
    BeforeToPeak,
    /// From there to the end.
    PeakToAfter,
}

impl PhaseName {
    /// The stable name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeToAfter => "before_to_after",
            Self::BeforeToPeak => "before_to_peak",
            Self::PeakToAfter => "peak_to_after",
        }
    }
}

/// A window between two samples and its ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Which.
    pub name: PhaseName,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// The working set.
    pub working_set: WorkingSet,
    /// Change of inactive_file, which is usage but no part of the working set, in bytes.
    pub inactive_file_delta_bytes: Option<i64>,
    /// Why it changed.
    pub ledger: Ledger,
}

impl Phase {
    /// It has no duration: the peak was the first or the last sample.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// The instant of the highest working set seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// When.
    pub time: Timestamp,
    /// The working set.
    pub working_set_bytes: u64,
    /// Usage at that instant.
    pub usage_bytes: Option<u64>,
    /// The kernel's own high-water mark of usage over the cgroup's life.
    pub kernel_usage_peak_bytes: Option<u64>,
}

/// Somebody was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomKill {
    /// When, `CLOCK_REALTIME` ns.
    pub unix_ns: u64,
    /// Who died.
    pub victim: TaskRef,
    /// Whose allocation ran out of memory.
    pub trigger: TaskRef,
}

/// What became of the command under `--`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOutcome {
    /// Its process id.
    pub pid: u32,
    /// Its arguments, the program first.
    pub argv: Vec<String>,
    /// Its exit code, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// (pid, name) of processes that outlived it and the session.
    pub left_behind: Vec<(u32, String)>,
}

/// Page cache that was evicted and read in again, by `memory.stat`, over the whole window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refaults {
    /// `workingset_refault_file`, in bytes.
    pub file_bytes: u64,
    /// `workingset_activate_file`: what was active at once, in bytes; v1 does not tell.
    pub activated_bytes: Option<u64>,
}

impl Refaults {
    /// Between two samples; `None` if `memory.stat` does not count them.
    pub fn between(
        before: &CgroupSample,
        after: &CgroupSample,
        page_size_bytes: u64,
    ) -> Option<Self> {
        let bytes = |of: fn(&MemoryStat) -> Option<u64>| {
            let pages = of(&after.stat)?.saturating_sub(of(&before.stat)?);
            Some(pages.saturating_mul(page_size_bytes))
        };
        Some(Self {
            file_bytes: bytes(|stat| stat.workingset_refault_file)?,
            activated_bytes: bytes(|stat| stat.workingset_activate_file),
        })
    }
}

/// Why a cgroup's working set changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Kernel and question.
    pub facts: Facts,
    /// The whole window.
    pub whole: Phase,
    /// With a command: up to the peak, and from there; else empty.
    pub phases: Vec<Phase>,
    /// With a command: the highest working set.
    pub peak: Option<Peak>,
    /// The cgroup's files at the start.
    pub before: CgroupSample,
    /// And at the end.
    pub after: CgroupSample,
    /// usage -> working set -> rss -> OOM killer, at the end.
    pub views: Views,
    /// The working set at the end, by what pressure could do with it; `None` if unknown.
    pub comeback: Option<Comeback>,
    /// Exact mode: each counter's flow over the whole window, by name; `None` if it was off.
    pub exact: Option<Vec<ExactChange>>,
    /// Page cache that came and went without being active, the largest first.
    pub page_cache: Vec<Traffic>,
    /// Pages that the target uses and others pay for, the largest first.
    pub foreign: Vec<Traffic>,
    /// Pages that the target pays for and others use, the largest first. They are in the ledger, too.
    pub used_elsewhere: Vec<Traffic>,
    /// The cgroups right below the target; `None` if there are none, or they were not read.
    pub children: Option<Children>,
    /// What is known of kernel memory without an owner.
    pub hints: KernelHints,
    /// Who was killed.
    pub oom_kills: Vec<OomKill>,
    /// Reclaim.
    pub reclaim: Reclaim,
    /// What came back after it was evicted; `None` if unknown.
    pub refaults: Option<Refaults>,
    /// The command.
    pub run: Option<RunOutcome>,
    /// How far to trust this.
    pub trust: Trust,
    /// One to three sentences to act on.
    pub verdict: Verdict,
}

impl Explanation {
    /// Adds what the source of the inputs has to say, e.g. that a recording is damaged, to the
    /// warnings and to the verdict.
    #[must_use]
    pub fn with_source_warnings(mut self, messages: impl IntoIterator<Item = String>) -> Self {
        let messages = messages.into_iter().map(Warning::Source);
        self.trust.warnings.splice(..0, messages);
        self.verdict = Verdict::of(&self);
        self
    }

    /// The whole window and its phases.
    pub fn every_phase(&self) -> impl Iterator<Item = &Phase> {
        std::iter::once(&self.whole).chain(&self.phases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(refaulted: Option<u64>, activated: Option<u64>) -> CgroupSample {
        let mut sample = CgroupSample::default();
        sample.stat.workingset_refault_file = refaulted;
        sample.stat.workingset_activate_file = activated;
        sample
    }

    #[test]
    fn refaults_are_told_as_far_as_memory_stat_tells() {
        let between = |before, after| Refaults::between(&before, &after, 4096);
        assert_eq!(
            between(sample(Some(5), Some(1)), sample(Some(8), Some(2))),
            Some(Refaults {
                file_bytes: 3 * 4096,
                activated_bytes: Some(4096)
            })
        );
        // v1 counts no activations.
        let v1 = between(sample(Some(5), None), sample(Some(5), None)).unwrap();
        assert_eq!((v1.file_bytes, v1.activated_bytes), (0, None));
        assert_eq!(between(sample(None, None), sample(Some(5), None)), None);
    }
}
