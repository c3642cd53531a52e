//! Keeps the machine that built the BPF object out of it.
//!
//! A path or a registry's host name in the object makes it differ from machine to machine, and
//! tells the world about the one it was built on.

use crate::workspace;

/// What no object may contain, wherever it was built.
const FORBIDDEN: [&str; 6] = [
    "/root/",
    "/home/",
    "/Users/",
    ".cargo/",
    ".rustup/",
    "crates.io",
];

/// Every string of this or any machine that `object` contains, sorted; empty is good.
pub fn in_object(object: &[u8]) -> Vec<String> {
    let here = [workspace::cargo_home(), workspace::rustup_home()]
        .into_iter()
        .flatten()
        .chain([workspace::root().to_owned()])
        .map(|path| path.display().to_string());
    found(object, FORBIDDEN.map(str::to_owned).into_iter().chain(here))
}

fn found(object: &[u8], needles: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut found: Vec<_> = needles
        .into_iter()
        // A checkout in `/` or `/memtrace` is no secret, and "/" would match anything.
        .filter(|needle| needle.len() > 2)
        .filter_map(|needle| {
            let at = object
                .windows(needle.len())
                .position(|window| window == needle.as_bytes())?;
            Some(whole_string(object, at))
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The printable run of bytes around `at`.
fn whole_string(bytes: &[u8], at: usize) -> String {
    let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let start = bytes[..at].iter().rev().take_while(|byte| printable(byte));
    let end = bytes[at..].iter().take_while(|byte| printable(byte));
    String::from_utf8_lossy(&bytes[at - start.count()..at + end.count()]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_and_shown_whole() {
        let object = b"\x7fELF\0\0/root/.cargo/registry/x.rs\0ok\0";
        let needles = || ["/root/", "/home/"].map(str::to_owned);
        assert_eq!(found(object, needles()), ["/root/.cargo/registry/x.rs"]);
        assert!(found(b"\x7fELF\0/_/memtrace/src/lib.rs\0", needles()).is_empty());
        assert!(found(b"", needles()).is_empty());
    }
}
