//! `cargo xtask`: everything about memtrace that is not memtrace.
fn main() {}
