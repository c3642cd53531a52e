//! The samples of a session and what happened between them, split at the peak.

use std::cmp::Ordering;

use crate::{
    input::{Instant, RunEvent, Sample},
    model::RunTable,
};

/// From the `Before` sample on.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) before: Sample,
    /// The highest working set above `before`'s; `None` while it never rose.
    pub(super) peak: Option<Sample>,
    pub(super) after: Option<Sample>,
    /// Runs up to the peak, or up to `before` if it never rose.
    pub(super) until_peak: RunTable,
    /// Runs since.
    pub(super) since_peak: RunTable,
}

impl Window {
    /// `Before` opens a window (a new one, if there was one), `Peak` may move the split, `After`
    /// closes it. The last sample may be the highest.
    pub(super) fn apply(window: &mut Option<Self>, sample: &Sample) {
        match (sample.instant, window) {
            (Instant::Before, window) => {
                *window = Some(Self {
                    before: sample.clone(),
                    peak: None,
                    after: None,
                    until_peak: RunTable::default(),
                    since_peak: RunTable::default(),
                });
            }
            // The source sends a second sample of the same height if it is the better one.
            (Instant::Peak, Some(window)) if window.is_open() => {
                window.consider_peak(sample, Ordering::is_ge);
            }
            (Instant::After, Some(window)) if window.is_open() => {
                window.consider_peak(sample, Ordering::is_gt);
                window.after = Some(sample.clone());
            }
            (Instant::Peak | Instant::After, _) => {}
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.after.is_none()
    }

    /// `is_own`: the run concerns the target, as far as is known.
    pub(super) fn add(&mut self, run: &RunEvent, is_own: bool) {
        self.since_peak.add(run, is_own);
    }

    /// The sample with the highest working set.
    pub(super) fn highest(&self) -> &Sample {
        self.peak.as_ref().unwrap_or(&self.before)
    }

    /// All runs of the window.
    pub(super) fn runs(&self) -> RunTable {
        let mut all = self.until_peak.clone();
        all.merge(&mut self.since_peak.clone());
        all
    }

    fn consider_peak(&mut self, sample: &Sample, replaces: fn(Ordering) -> bool) {
        // An unknown working set is below every known one, so it never becomes the peak.
        let height = sample.cgroup.working_set_bytes();
        let highest = self.highest().cgroup.working_set_bytes();
        if height.is_some() && replaces(height.cmp(&highest)) {
            self.until_peak.merge(&mut self.since_peak);
            self.peak = Some(sample.clone());
        }
    }
}
