//! What the live suites share.

mod skip;

pub use skip::skip;
