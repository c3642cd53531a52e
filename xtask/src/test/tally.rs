//! The sum of what all suites said.

use std::fmt;

/// What happened to the tests of one or more suites.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many passed.
    pub passed: usize,
    /// Those that failed: `name`, or `name: why`.
    pub failed: Vec<String>,
    /// Those that did not run: `name: why`.
    pub skipped: Vec<String>,
}

impl Tally {
    /// Adds what another suite said.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
    }

    /// Turns tests that passed by returning early into skipped ones.
    ///
    /// `lines` are the `name: why` that such tests wrote down. None of them can have failed: they
    /// returned.
    pub fn reclassify_as_skipped(&mut self, lines: impl IntoIterator<Item = String>) {
        for line in lines {
            self.passed = self.passed.saturating_sub(1);
            self.skipped.push(line);
        }
    }

    /// Whether no test was chosen.
    pub fn is_empty(&self) -> bool {
        self.passed == 0 && self.failed.is_empty() && self.skipped.is_empty()
    }

    /// Whether all is well: something ran, and nothing failed.
    pub fn is_success(&self) -> bool {
        self.failed.is_empty() && self.passed > 0
    }
}

/// One line per failed and per skipped test, and last the line with the three sums.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for test in &self.failed {
            writeln!(f, "failed {test}")?;
        }
        for test in &self.skipped {
            writeln!(f, "skipped {test}")?;
        }
        let (failed, skipped) = (self.failed.len(), self.skipped.len());
        write!(
            f,
            "{} passed, {failed} failed, {skipped} skipped",
            self.passed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_holds_the_sums() {
        let mut tally = Tally {
            passed: 3,
            ..Tally::default()
        };
        assert!(tally.is_success());
        tally.reclassify_as_skipped(["live::dd: not root".to_owned()]);
        tally.add(Tally {
            passed: 1,
            failed: vec!["ledger::adds_up".to_owned()],
            skipped: vec![],
        });
        assert!(!tally.is_success());
        assert_eq!(
            tally.to_string(),
            "failed ledger::adds_up\nskipped live::dd: not root\n3 passed, 1 failed, 1 skipped"
        );
    }

    #[test]
    fn nothing_run_is_no_success() {
        assert!(!Tally::default().is_success());
    }
}
