//! What Rust's own test harness prints, read line by line.

use super::tally::Tally;

/// Reads the output of one or more libtest programs.
///
/// The `test result:` lines hold the sums; the lines of single tests, which a test's own output
/// may tear apart, only give names to those that failed or were ignored.
#[derive(Default)]
pub struct Reader {
    total: Tally,
    /// A program said what it would run, and has not yet said how that went.
    is_running: bool,
    failed: Vec<String>,
    ignored: Vec<String>,
}

impl Reader {
    /// Takes one line of output.
    pub fn line(&mut self, line: &str) {
        if is_start_of_program(line) {
            self.note_death();
            self.is_running = true;
        }
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
    pub fn finish(mut self) -> Tally {
        self.note_death();
        self.total
    }

    /// A program that ends without its result was killed: abort, signal, `process::exit`.
    fn note_death(&mut self) {
        if std::mem::take(&mut self.is_running) {
            let mut failed = std::mem::take(&mut self.failed);
            failed.push("a test program died before its result; its output is above".to_owned());
            self.ignored.clear();
            self.total.add(Tally {
                failed,
                ..Tally::default()
            });
        }
    }

    /// Takes `1 passed; 0 failed; 0 ignored; 0 measured; ...`.
    fn end_of_program(&mut self, sums: &str) {
        self.is_running = false;
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

/// Whether this is `running N tests`.
fn is_start_of_program(line: &str) -> bool {
    line.strip_prefix("running ")
        .and_then(|rest| rest.strip_suffix(" tests").or(rest.strip_suffix(" test")))
        .is_some_and(|count| count.parse::<usize>().is_ok())
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
    fn a_program_that_died_is_a_failure_and_its_passes_do_not_count() {
        let died = read("running 2 tests\ntest a ... ok\n");
        assert_eq!((died.passed, died.failed.len()), (0, 1));
        let another_followed = read(
            "running 2 tests\ntest a ... ok\nrunning 1 test\ntest b ... ok\n\
             test result: ok. 1 passed; 0 failed; 0 ignored\n",
        );
        let counts = (another_followed.passed, another_followed.failed.len());
        assert_eq!(counts, (1, 1));
    }
}
