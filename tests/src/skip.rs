//! How a test under Rust's harness, which knows no skipping at run time, says that it could not
//! run here.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

/// Says that test `name` did not run, and why; the test then returns.
///
/// Under `cargo xtask test` the test is counted as skipped, not as passed. Under plain
/// `cargo test` the reason goes to stderr.
///
/// # Panics
///
/// If the reason cannot be written where `cargo xtask test` wants it: a skipped test must not
/// pass as one that ran.
pub fn skip(name: &str, reason: &str) {
    match env::var_os("MEMTRACE_SKIPS") {
        Some(path) => append(Path::new(&path), name, reason)
            .unwrap_or_else(|error| panic!("cannot write MEMTRACE_SKIPS={path:?}: {error}")),
        None => eprintln!("skipped {name}: {reason}"),
    }
}

/// Appends one line in one write, so that tests of several programs may do so at once.
fn append(path: &Path, name: &str, reason: &str) -> io::Result<()> {
    let reason = reason.replace('\n', " ");
    OpenOptions::new()
        .append(true)
        .open(path)?
        .write_all(format!("{name}: {reason}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_pile_up_one_per_line() -> io::Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        append(file.path(), "live::dd", "not root")?;
        append(file.path(), "live::tmpfs", "no BPF:\nEPERM")?;
        assert_eq!(
            std::fs::read_to_string(file.path())?,
            "live::dd: not root\nlive::tmpfs: no BPF: EPERM\n"
        );
        Ok(())
    }

    #[test]
    fn a_reason_that_cannot_be_written_is_an_error() {
        assert!(append(Path::new("/nonexistent/skips"), "live::dd", "not root").is_err());
    }
}
