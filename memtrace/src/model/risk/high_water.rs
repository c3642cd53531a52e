//! The high-water line of an hour, at any instant of the last hour.

use std::collections::VecDeque;

/// New highs count against the highest of the last hour: so many steps of ten seconds.
const HOUR_STEPS: u32 = 360;

/// Of each step of the last hour, the highest in the hour that ends with it. A node has thousands of
/// these and hardly any moves all the time, so what is kept is where the line changes: an entry or
/// two of 8 bytes of one that stays where it is, 361 of one that rises at every step.
#[derive(Clone, Debug, Default)]
pub(super) struct HighWater {
    /// The first step and the highest in it.
    first: Option<(u32, u32)>,
    /// Steps of the last hour and the highest in each, as far as no later one reached it: oldest and
    /// highest first.
    peaks: VecDeque<(u32, u32)>,
    /// The line: from which step on, how high. Oldest first.
    line: VecDeque<(u32, u32)>,
}

impl HighWater {
    /// Learns a height within a step; steps never go back.
    pub(super) fn learn(&mut self, step: u32, height: u32) {
        match &mut self.first {
            Some((first, highest)) if *first == step => *highest = height.max(*highest),
            Some(_) => (),
            none => *none = Some((step, height)),
        }
        while self.peaks.back().is_some_and(|(_, peak)| *peak <= height) {
            self.peaks.pop_back();
        }
        if self.peaks.back().is_none_or(|(last, _)| *last != step) {
            self.peaks.push_back((step, height));
        }
        let since = step.saturating_sub(HOUR_STEPS);
        while self.peaks.front().is_some_and(|(old, _)| *old < since) {
            self.peaks.pop_front();
        }
        let highest = self.peaks.front().map_or(height, |(_, peak)| *peak);
        self.extend(step, highest);
        // An hour ago the line was as high as the last change before made it.
        while self.line.get(1).is_some_and(|(next, _)| *next < since) {
            self.line.pop_front();
        }
    }

    fn extend(&mut self, step: u32, highest: u32) {
        self.line.pop_back_if(|(last, _)| *last == step);
        if self.line.back().is_none_or(|(_, line)| *line != highest) {
            self.line.push_back((step, highest));
        }
    }

    /// The highest in the hour that ends with the last step before this one; `None` if there was
    /// none.
    pub(super) fn before(&self, step: u32) -> Option<u32> {
        let changes = self.line.partition_point(|(from, _)| *from < step);
        Some(self.line[changes.checked_sub(1)?].1)
    }

    /// The highest in the first step of all; 0 before that.
    pub(super) fn first(&self) -> u32 {
        self.first.map_or(0, |(_, highest)| highest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The line as its definition has it.
    fn highest_before(heights: &[(u32, u32)], step: u32) -> Option<u32> {
        let (end, _) = *heights.iter().rfind(|(at, _)| *at < step)?;
        let hour = heights
            .iter()
            .filter(|(at, _)| (end.saturating_sub(HOUR_STEPS)..=end).contains(at));
        hour.map(|(_, height)| *height).max()
    }

    proptest! {
        /// Any hour of the past hour is told as its definition has it, whatever was left out.
        #[test]
        fn nothing_is_lost(
            walk in prop::collection::vec((0u32..40, 0u32..50), 1..300),
            back in prop::collection::vec(0..=HOUR_STEPS, 20),
        ) {
            let (mut water, mut heights, mut now) = (HighWater::default(), Vec::new(), 1_000);
            for (pause, height) in walk {
                now += pause / 8;
                water.learn(now, height);
                heights.push((now, height));
            }
            for back in back {
                prop_assert_eq!(water.before(now - back), highest_before(&heights, now - back));
            }
        }

        /// Long idle stretches, and what only falls or only rises.
        #[test]
        fn steady_ones_too(start in 0u32..5, slope in -2i64..=2, back in 0..=HOUR_STEPS) {
            let (mut water, mut heights) = (HighWater::default(), Vec::new());
            for step in 0..1_000u32 {
                let height = (4_000 + i64::from(step) * slope) as u32;
                water.learn(start + step, height);
                heights.push((start + step, height));
            }
            let at = start + 999 - back;
            prop_assert_eq!(water.before(at), highest_before(&heights, at));
        }
    }

    #[test]
    fn a_flat_one_takes_one_entry() {
        let mut water = HighWater::default();
        for step in 0..10_000 {
            water.learn(step, 7);
        }
        assert_eq!((water.peaks.len(), water.line.len()), (1, 1));
        assert_eq!(water.before(9_999), Some(7));
    }
}
