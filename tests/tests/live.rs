//! The live suite under `cargo test --test live -- [FILTER] [--repeat N] [--list]`.

use std::process::ExitCode;

fn main() -> ExitCode {
    memtrace_tests::suite::main()
}
