//! What the live suites share.
