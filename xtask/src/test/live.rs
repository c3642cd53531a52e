//! What the live suite prints, read line by line: per case `ok NAME`, `FAILED NAME: why` or
//! `skipped NAME: why`, and last `N passed, N failed, N skipped`.

use super::tally::Tally;

/// Reads the output of one run of the live suite.
#[derive(Default)]
pub struct Reader {
    total: Tally,
    closing: Option<[usize; 3]>,
}

impl Reader {
    /// Takes one line of output.
    pub fn line(&mut self, line: &str) {
        if let Some(sums) = sums(line) {
            self.closing = Some(sums);
        } else if line.starts_with("ok ") {
            self.total.passed += 1;
        } else if let Some(case) = line.strip_prefix("FAILED ") {
            self.total.failed.push(case.to_owned());
        } else if let Some(case) = line.strip_prefix("skipped ") {
            self.total.skipped.push(case.to_owned());
        }
    }

    /// What was read; a suite that ended early, or miscounted, is a failure more.
    pub fn finish(self) -> Tally {
        let mut total = self.total;
        let counted = [total.passed, total.failed.len(), total.skipped.len()];
        match self.closing {
            Some(closing) if closing == counted => {}
            Some(closing) => total.failed.push(format!(
                "live suite: it says {closing:?} passed, failed, skipped; its lines say {counted:?}"
            )),
            None => total
                .failed
                .push("live suite: it ended without its closing line".to_owned()),
        }
        total
    }
}

/// The three numbers of `N passed, N failed, N skipped`; `None` for any other line.
fn sums(line: &str) -> Option<[usize; 3]> {
    let mut parts = line.split(", ");
    let mut next = |what| parts.next()?.strip_suffix(what)?.parse().ok();
    let sums = [next(" passed")?, next(" failed")?, next(" skipped")?];
    parts.next().is_none().then_some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Tally {
        let mut reader = Reader::default();
        output.lines().for_each(|line| reader.line(line));
        reader.finish()
    }

    #[test]
    fn cases_are_counted_with_their_reasons() {
        let tally = read(
            "ok dd\n  detail\nFAILED two_reads: 97 % credited\nskipped tmpfs: not root\n1 passed, 1 failed, 1 skipped\n",
        );
        assert_eq!(
            tally,
            Tally {
                passed: 1,
                failed: vec!["two_reads: 97 % credited".to_owned()],
                skipped: vec!["tmpfs: not root".to_owned()],
            }
        );
    }

    #[test]
    fn an_early_end_or_a_wrong_sum_is_a_failure() {
        assert_eq!(read("ok dd\n").failed.len(), 1);
        assert_eq!(read("").failed.len(), 1);
        assert_eq!(read("ok dd\n2 passed, 0 failed, 0 skipped").failed.len(), 1);
        assert!(read("ok dd\n1 passed, 0 failed, 0 skipped").is_success());
    }

    #[test]
    fn only_the_whole_line_is_a_sum() {
        assert_eq!(sums("1 passed, 2 failed, 3 skipped"), Some([1, 2, 3]));
        assert_eq!(sums("1 passed, 2 failed, 3 skipped, 4"), None);
        assert_eq!(sums("ok 1 passed"), None);
    }
}
