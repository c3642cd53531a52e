//! systemd units by name.

use std::path::PathBuf;

use super::{
    CgroupError, Hierarchy,
    container::name_of,
    tree::{self, Visit},
};

/// The kinds of unit that have a cgroup (systemd.unit(5)).
const KINDS: [&str; 6] = [".service", ".slice", ".scope", ".socket", ".mount", ".swap"];

/// Whether the text is the name of a unit that can have a cgroup.
pub(crate) fn is_unit(typed: &str) -> bool {
    KINDS
        .iter()
        .any(|kind| typed.len() > kind.len() && typed.ends_with(kind))
}

/// The cgroups of a unit. There are several when users' managers run a unit of the same name.
pub(super) fn find_units(hierarchy: &Hierarchy, unit: &str) -> Result<Vec<PathBuf>, CgroupError> {
    let wanted = unescape(unit);
    let mut found = Vec::new();
    tree::walk(hierarchy.mount_point(), |directory, _| {
        if name_of(directory).is_some_and(|name| unescape(unit_of(name)) == wanted) {
            found.push(directory.to_owned());
        }
        Visit::Descend
    })?;
    Ok(found)
}

/// systemd puts `_` before a unit name that would collide with the kernel's own file names
/// (`memory.service`), or that starts with `_` or `.` (src/basic/cgroup-util.c, `cg_escape`).
pub(crate) fn unit_of(name: &str) -> &str {
    name.strip_prefix('_').unwrap_or(name)
}

/// systemd writes `-` inside a path component as `\x2d`; people type either.
fn unescape(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find("\\x") {
        let byte = rest
            .get(at + 2..at + 4)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(u8::is_ascii);
        plain.push_str(&rest[..at]);
        match byte {
            Some(byte) => plain.push(byte.into()),
            None => plain.push_str("\\x"),
        }
        rest = &rest[at + if byte.is_some() { 4 } else { 2 }..];
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::fixture::Tree;

    #[test]
    fn names_of_units() {
        assert!(is_unit("nginx.service") && is_unit("user-1000.slice"));
        assert!(!is_unit(".service") && !is_unit("nginx") && !is_unit("backup.timer"));
    }

    #[test]
    fn escaped_and_plain_names_lead_to_the_same_unit() {
        let tree = Tree::v2(&[
            "system.slice/dev-my\\x2ddisk.swap",
            "system.slice/_memory.service",
            "user.slice/a/app.service",
            "user.slice/b/app.service",
        ]);
        let hierarchy = tree.hierarchy();
        let find = |unit| find_units(&hierarchy, unit).unwrap();
        assert_eq!(find("dev-my\\x2ddisk.swap").len(), 1);
        assert_eq!(find("dev-my-disk.swap").len(), 1);
        assert_eq!(find("memory.service").len(), 1);
        assert_eq!(find("app.service").len(), 2);
        assert!(find("absent.service").is_empty());
        assert_eq!(unescape("a\\x2d\\xZZ\\x"), "a-\\xZZ\\x");
    }
}
