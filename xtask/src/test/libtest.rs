//! What Rust's own test harness prints, read line by line.

use super::tally::Tally;

/// Reads the output of one or more libtest programs.
///
/// The `test result:` lines hold the sums; the lines of single tests, which a test's own output
/// may tear apart, only give names to those that failed or were ignored.
#[derive(Default)]
pub struct Reader {
    total: Tally,
    failed: Vec<String>,
    ignored: Vec<String>,
}

impl Reader {
    /// Takes one line of output.
    pub fn line(&mut self, line: &str) {
        let Some(line) = line.strip_prefix("test ") else {
            return;
        };
        if let Some(sums) = ["result: ok. ", "result: FAILED. "]
            .iter()
            .find_map(|prefix| line.strip_prefix(prefix))
        {
            self.end_of_program(sums);
        } else if let Some((name, outcome)) = line.rsplit_once(" ... ") {
            if outcome == "FAILED" {
                self.failed.push(name.to_owned());
            } else if let Some(reason) = outcome.strip_prefix("ignored") {
                let reason = reason.strip_prefix(", ").unwrap_or("ignored");
                self.ignored.push(format!("{name}: {reason}"));
            }
        }
    }

    /// What was read.
    pub fn finish(self) -> Tally {
        self.total
    }

    /// Takes `1 passed; 0 failed; 0 ignored; 0 measured; ...`.
    fn end_of_program(&mut self, sums: &str) {
        let count = |what| count(sums, what);
        let (mut failed, mut ignored) = (
            std::mem::take(&mut self.failed),
            std::mem::take(&mut self.ignored),
        );
        failed.resize(count("failed"), "a test whose line was torn".to_owned());
        ignored.resize(count("ignored"), "a test whose line was torn".to_owned());
        self.total.add(Tally {
            passed: count("passed"),
            failed,
            skipped: ignored,
        });
    }
}

/// The number before the word `what`; 0 if there is none.
fn count(sums: &str, what: &str) -> usize {
    sums.split("; ")
        .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
        .unwrap_or(0)
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
    fn several_programs_add_up() {
        let tally = read(
            "
running 3 tests
test ledger::adds_up ... ok
test ledger::residual ... FAILED
test oom::live ... ignored, needs root
test src/lib.rs - kernel (line 12) ... ignored

failures:
test result: a test printed this

failures:
    ledger::residual

test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s

running 12 tests
............
test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 1.23s
",
        );
        assert_eq!(
            tally,
            Tally {
                passed: 13,
                failed: vec!["ledger::residual".to_owned()],
                skipped: vec![
                    "oom::live: needs root".to_owned(),
                    "src/lib.rs - kernel (line 12): ignored".to_owned(),
                ],
            }
        );
    }

    #[test]
    fn a_failure_without_its_line_still_counts() {
        let tally = read(
            "test x ... noiFAILEDse\ntest result: FAILED. 0 passed; 2 failed; 0 ignored; 0 measured",
        );
        assert_eq!(tally.failed.len(), 2);
    }

    #[test]
    fn no_result_is_no_pass() {
        assert_eq!(read("running 1 test\ntest a ... ok\n"), Tally::default());
    }
}
