//! How often a kill follows within the horizon, by what the risk was.

/// Risks are put into so many tenths; what is 0 has a place of its own before them.
pub const TENTHS: usize = 10;

/// For each horizon and tenth: (looks, those that a kill followed).
#[derive(Clone, Debug, Default)]
pub struct Calibration(pub [[(u64, u64); TENTHS + 1]; 2]);

impl Calibration {
    /// One look at a domain: its scores for both horizons, and whether a kill followed within each.
    pub fn add(&mut self, scores: [Option<f64>; 2], killed: [bool; 2]) {
        for (place, score) in scores.into_iter().enumerate() {
            let Some(score) = score else { continue };
            let tenth = (score * TENTHS as f64).ceil() as usize;
            let (looks, followed) = &mut self.0[place][tenth.min(TENTHS)];
            *looks += 1;
            *followed += u64::from(killed[place]);
        }
    }

    /// Adds another one's looks.
    pub fn merge(&mut self, other: &Self) {
        for (own, more) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            own.0 += more.0;
            own.1 += more.1;
        }
    }
}
