//! The cases, one file a family.

use crate::suite::Case;

/// All of them, in the order they run.
pub(crate) fn all() -> Vec<Case> {
    vec![]
}
