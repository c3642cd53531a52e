//! How many names the kernel keeps.

use std::fs;

use crate::input::Dentries;

const PATH: &str = "/proc/sys/fs/dentry-state";

/// The whole machine's names; `None` if the kernel does not tell.
pub fn dentries() -> Option<Dentries> {
    parse(&fs::read_to_string(PATH).ok()?)
}

/// fs/dcache.c, `struct dentry_stat_t`: nr_dentry, nr_unused, age_limit, want_pages, nr_negative (before
/// 5.0 a dummy, always 0, as is the sixth still), dummy. A count that lags may be below 0.
fn parse(text: &str) -> Option<Dentries> {
    let numbers: Vec<i64> = text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let [total, _, _, _, negative, _] = numbers[..] else {
        return None;
    };
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    Some(Dentries {
        total: count(total),
        // A machine without one negative name does not exist for long.
        negative: (negative > 0).then_some(count(negative)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_numbers_are_read_by_their_place() {
        let parsed = parse("147501\t114921\t45\t0\t23456\t0\n").unwrap();
        assert_eq!((parsed.total, parsed.negative), (147_501, Some(23_456)));
        assert_eq!(parse("147501 114921 45 0 0 0").unwrap().negative, None);
        assert_eq!(parse("1 2 3"), None);
    }

    #[test]
    fn names_that_do_not_exist_are_counted() {
        let before = dentries().unwrap();
        let folder = tempfile::tempdir().unwrap();
        for name in 0..20_000 {
            assert!(!folder.path().join(format!("no-{name}")).exists());
        }
        let after = dentries().unwrap();
        // Others look up and forget names meanwhile.
        assert!(after.total > before.total + 10_000, "{before:?} {after:?}");
    }
}
