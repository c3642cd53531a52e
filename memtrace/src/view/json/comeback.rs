//! Would it come back?

use serde::Serialize;

use crate::model::Comeback;

#[derive(Serialize)]
pub(super) struct ComebackJson {
    now_bytes: u64,
    after_writeback_bytes: u64,
    to_swap_bytes: u64,
    perhaps_bytes: u64,
    stays_bytes: u64,
}

impl From<Comeback> for ComebackJson {
    fn from(comeback: Comeback) -> Self {
        let Comeback {
            now_bytes,
            after_writeback_bytes,
            to_swap_bytes,
            perhaps_bytes,
            stays_bytes,
        } = comeback;
        Self {
            now_bytes,
            after_writeback_bytes,
            to_swap_bytes,
            perhaps_bytes,
            stays_bytes,
        }
    }
}
