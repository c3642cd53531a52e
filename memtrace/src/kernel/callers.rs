//! Who calls for reclaim: the functions on the stack of a pass, by `/proc/kallsyms`.

use std::{ops::Range, sync::OnceLock};

use super::symbols::{self, Symbols};
use crate::input::ReclaimCause;

/// Callers of `try_to_free_mem_cgroup_pages` and theirs (mm/memcontrol.c, memcontrol-v1.c,
/// vmscan.c), old and new names side by side: what a kernel does not have, or inlines into the next
/// of them, is not found.
const FUNCTIONS: &[(&str, ReclaimCause)] = &[
    ("try_charge", ReclaimCause::Max),
    ("try_charge_memcg", ReclaimCause::Max),
    ("reclaim_high", ReclaimCause::High),
    ("mem_cgroup_handle_over_high", ReclaimCause::High),
    ("__mem_cgroup_handle_over_high", ReclaimCause::High),
    ("high_work_func", ReclaimCause::High),
    ("memory_max_write", ReclaimCause::LimitWrite),
    ("memory_high_write", ReclaimCause::LimitWrite),
    ("mem_cgroup_resize_max", ReclaimCause::LimitWrite),
    ("mem_cgroup_write", ReclaimCause::LimitWrite),
    ("mem_cgroup_force_empty_write", ReclaimCause::Proactive),
    ("memory_reclaim", ReclaimCause::Proactive),
    ("user_proactive_reclaim", ReclaimCause::Proactive),
];

type Known = Vec<(Range<u64>, ReclaimCause)>;

/// Where these functions are in this kernel. Looked up when first asked, unless it is known by then:
/// most sessions meet no reclaim.
#[derive(Clone, Debug, Default)]
pub struct Callers(OnceLock<Known>);

impl Callers {
    /// Names of the functions.
    pub fn names() -> Vec<&'static str> {
        FUNCTIONS.iter().map(|(name, _)| *name).collect()
    }

    /// Of symbols that were looked for by those names.
    pub fn of(symbols: &Symbols) -> Self {
        Self(OnceLock::from(known(symbols)))
    }

    /// Looks them up, unless that was done before: it takes tens of milliseconds, and privileges that
    /// may not last.
    pub fn find(&self) -> &[(Range<u64>, ReclaimCause)] {
        self.0.get_or_init(|| {
            let path = symbols::PATH;
            let found = Symbols::find(&Self::names()).inspect_err(|error| {
                log::warn!("why reclaim was called for stays unknown: {path}: {error}");
            });
            known(&found.unwrap_or_default())
        })
    }

    /// The cause that the innermost known function of a stack stands for. Where `/proc/kallsyms`
    /// cannot be read, or hides the addresses, every cause is unknown.
    pub fn cause(&self, addresses: &[u64]) -> Option<ReclaimCause> {
        addresses.iter().find_map(|address| {
            self.find()
                .iter()
                .find(|(range, _)| range.contains(address))
                .map(|(_, cause)| *cause)
        })
    }
}

fn known(symbols: &Symbols) -> Known {
    let cause = |name: &str| FUNCTIONS.iter().find(|(wanted, _)| *wanted == name);
    symbols
        .functions
        .iter()
        .filter_map(|(range, name)| Some((range.clone(), cause(name)?.1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KALLSYMS: &str = "\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _text
ffffffff81300000 t try_charge_memcg
ffffffff81300800 T mem_cgroup_handle_over_high
ffffffff81300800 t an_alias
ffffffff81300900 t memory_max_write.isra.0
ffffffff81300a00 t memory_reclaim
";

    #[test]
    fn the_innermost_known_function_decides() {
        let symbols = Symbols::parse(KALLSYMS.as_bytes(), &Callers::names()).unwrap();
        let callers = Callers::of(&symbols);
        let cause = |addresses: &[u64]| callers.cause(addresses);
        let of_text = 0xffff_ffff_8100_0010;
        assert_eq!(
            cause(&[of_text, 0xffff_ffff_8130_0123, 0xffff_ffff_8130_0950]),
            Some(ReclaimCause::Max)
        );
        assert_eq!(cause(&[0xffff_ffff_8130_08ff]), Some(ReclaimCause::High));
        assert_eq!(
            cause(&[0xffff_ffff_8130_0950]),
            Some(ReclaimCause::LimitWrite)
        );
        assert_eq!(cause(&[of_text]), None);
        assert_eq!(cause(&[]), None);
    }
}
