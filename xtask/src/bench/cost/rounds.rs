//! Runs that alternate, and what stands of them: medians with their spread.

use anyhow::Result;

/// Values of one kind of run, a round each.
#[derive(Clone, Debug, Default)]
pub(super) struct Series(Vec<f64>);

impl Series {
    pub(super) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Of the sorted values the one in the middle; NaN of none.
    pub(super) fn median(&self) -> f64 {
        let sorted = self.sorted();
        match sorted.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => sorted[count / 2],
            count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
        }
    }

    /// `median (least to most)`, with so many decimals.
    pub(super) fn spread(&self, decimals: usize) -> String {
        let sorted = self.sorted();
        match (sorted.first(), sorted.last()) {
            (Some(least), Some(most)) => format!(
                "{:.decimals$} ({least:.decimals$} to {most:.decimals$})",
                self.median()
            ),
            _ => "-".to_owned(),
        }
    }

    /// Round by round, how much more this took than `base`, in percent: what else the machine did in
    /// that minute is in both.
    pub(super) fn percent_above(&self, base: &Self) -> Self {
        let pairs = self.0.iter().zip(&base.0);
        Self(
            pairs
                .map(|(own, base)| 100.0 * (own / base - 1.0))
                .collect(),
        )
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// One series for each of `kinds`: in every round each kind runs once; each round begins with
/// another one, so that none always comes after the same.
pub(super) fn alternate<K>(
    rounds: u32,
    kinds: &[K],
    mut run: impl FnMut(&K) -> Result<f64>,
) -> Result<Vec<Series>> {
    let mut series = vec![Series::default(); kinds.len()];
    for round in 0..rounds as usize {
        for turn in 0..kinds.len() {
            let kind = (round + turn) % kinds.len();
            series[kind].push(run(&kinds[kind])?);
        }
    }
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_runs_once_a_round_and_none_is_always_first() {
        let mut order = Vec::new();
        let series = alternate(3, &["a", "b"], |kind| {
            order.push(*kind);
            // Powers of two, whose ratios are exact.
            Ok(f64::from(1 << order.len()))
        });
        assert_eq!(order, ["a", "b", "b", "a", "a", "b"]);
        let series = series.unwrap();
        assert_eq!(series[0].sorted(), [2.0, 16.0, 32.0]);
        assert_eq!(series[0].spread(0), "16 (2 to 32)");
        // 4 to 2, 8 to 16, 64 to 32.
        let slowed = series[1].percent_above(&series[0]);
        assert_eq!(slowed.sorted(), [-50.0, 100.0, 100.0]);
    }
}
