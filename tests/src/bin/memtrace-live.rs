//! The live suite as a program of its own, for machines without cargo.

use std::process::ExitCode;

fn main() -> ExitCode {
    memtrace_tests::suite::main()
}
