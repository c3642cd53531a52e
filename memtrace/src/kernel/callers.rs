//! Who calls for reclaim: the functions on the stack of a pass, by `/proc/kallsyms`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    ops::Range,
    sync::OnceLock,
};

use crate::input::ReclaimCause;

const KALLSYMS_PATH: &str = "/proc/kallsyms";

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

/// Where these functions are in this kernel. Looked up when first asked: the file has some 200,000
/// lines, and most sessions meet no reclaim.
#[derive(Clone, Debug, Default)]
pub struct Callers(OnceLock<Known>);

impl Callers {
    /// From lines of `ADDRESS TYPE NAME`; the kernel's own symbols come first, by address.
    fn parse(mut lines: impl BufRead) -> io::Result<Known> {
        let mut found = Known::new();
        let mut line = String::new();
        // Functions whose end, the next symbol's address, is still to come.
        let mut open: Vec<(u64, ReclaimCause)> = Vec::new();
        while lines.read_line(&mut line)? != 0 {
            let mut words = line.split_ascii_whitespace();
            if let Some(address) = words.next()
                && let Ok(address) = u64::from_str_radix(address, 16)
                && address != 0
            {
                let ended = open.extract_if(.., |(start, _)| *start < address);
                found.extend(ended.map(|(start, cause)| (start..address, cause)));
                // The compiler's clones are called `name.isra.0`, `name.part.0`, ...
                let name = words.nth(1).unwrap_or_default();
                let name = name.split_once('.').map_or(name, |(name, _)| name);
                let wanted = FUNCTIONS.iter().find(|(wanted, _)| *wanted == name);
                open.extend(wanted.map(|(_, cause)| (address, *cause)));
            }
            line.clear();
        }
        Ok(found)
    }

    /// The cause that the innermost known function of a stack stands for. Where `/proc/kallsyms`
    /// cannot be read, or hides the addresses, every cause is unknown.
    pub fn cause(&self, addresses: &[u64]) -> Option<ReclaimCause> {
        let known = self.0.get_or_init(|| {
            let lines = File::open(KALLSYMS_PATH).map(BufReader::new);
            lines.and_then(Self::parse).unwrap_or_else(|error| {
                log::warn!("why reclaim was called for stays unknown: {KALLSYMS_PATH}: {error}");
                Known::new()
            })
        });
        addresses.iter().find_map(|address| {
            known
                .iter()
                .find(|(range, _)| range.contains(address))
                .map(|(_, cause)| *cause)
        })
    }
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
        let callers = Callers(Callers::parse(KALLSYMS.as_bytes()).unwrap().into());
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

    #[test]
    fn hidden_addresses_name_nobody() {
        let hidden = "0000000000000000 t try_charge_memcg\n0000000000000000 t next\n";
        assert_eq!(Callers::parse(hidden.as_bytes()).unwrap(), []);
    }
}
