//! The cgroups below a cgroup.

use std::{
    fs, io,
    os::unix::fs::{DirEntryExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use super::{Cgroup, CgroupError, Hierarchy};
use crate::input::CgroupMember;

/// Whether [`walk`] goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// To the children of this cgroup, and the rest.
    Descend,
    /// Not at all: what was looked for is found.
    Stop,
}

/// Calls `visit` with the directory and the id of `top` and of each cgroup below it, parents
/// before children, children by name. Cgroups that vanish meanwhile are left out.
///
/// # Errors
/// [`CgroupError::Gone`] if `top` itself is gone, [`CgroupError::Io`] if a directory cannot be
/// listed.
pub fn walk(top: &Path, mut visit: impl FnMut(&Path, u64) -> Visit) -> Result<(), CgroupError> {
    let metadata =
        fs::metadata(top).map_err(|source| CgroupError::on("look at", top, top, source))?;
    let mut waiting = vec![(top.to_owned(), metadata.ino())];
    while let Some((directory, id)) = waiting.pop() {
        if visit(&directory, id) == Visit::Stop {
            break;
        }
        match children(&directory) {
            Ok(mut children) => {
                children.sort_by(|one, other| other.cmp(one));
                waiting.append(&mut children);
            }
            Err(CgroupError::Gone { .. }) if directory != top => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The child cgroups with their ids. Listing a directory gives inode numbers and kinds, so there
/// is no call per child: nodes have thousands of cgroups.
pub(super) fn children(directory: &Path) -> Result<Vec<(PathBuf, u64)>, CgroupError> {
    let failed = |source: io::Error| CgroupError::on("list", directory, directory, source);
    let mut children = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => children.push((entry.path(), entry.ino())),
            _ => {}
        }
    }
    Ok(children)
}

/// A cgroup and those below it, as the model knows them.
///
/// # Errors
/// As [`walk`].
pub fn members(hierarchy: &Hierarchy, top: &Path) -> Result<Vec<CgroupMember>, CgroupError> {
    let mut members = Vec::new();
    walk(top, |directory, id| {
        members.extend(
            hierarchy
                .path_of(directory)
                .map(|path| CgroupMember { id, path }),
        );
        Visit::Descend
    })?;
    Ok(members)
}

/// The cgroup with an id; `None` if it does not exist (any more) or the mount does not show it.
///
/// # Errors
/// As [`walk`].
pub fn find_by_id(hierarchy: &Hierarchy, wanted: u64) -> Result<Option<Cgroup>, CgroupError> {
    let mut found = None;
    walk(hierarchy.mount_point(), |directory, id| {
        if id != wanted {
            return Visit::Descend;
        }
        found = hierarchy.path_of(directory).map(|path| Cgroup {
            id,
            path,
            directory: directory.to_owned(),
        });
        Visit::Stop
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::fixture::Tree;

    #[test]
    fn members_are_listed_parents_first_with_their_inodes() {
        let tree = Tree::v2(&["b", "a/y", "a/x"]);
        let hierarchy = tree.hierarchy();
        let members = members(&hierarchy, tree.root()).unwrap();
        let paths: Vec<_> = members.iter().map(|member| member.path.as_str()).collect();
        assert_eq!(paths, ["/", "/a", "/a/x", "/a/y", "/b"]);
        for member in &members {
            let directory = hierarchy.directory_at(&member.path).unwrap();
            assert_eq!(fs::metadata(directory).unwrap().ino(), member.id);
        }
    }

    #[test]
    fn a_cgroup_that_vanishes_during_the_walk_is_left_out() {
        let tree = Tree::v2(&["a/x", "b", "c"]);
        let mut seen = Vec::new();
        walk(tree.root(), |directory, _| {
            seen.push(directory.to_owned());
            if directory == tree.root().join("a") {
                fs::remove_dir_all(directory).unwrap();
                fs::remove_dir_all(tree.root().join("b")).unwrap();
            }
            Visit::Descend
        })
        .unwrap();
        let expected = ["", "a", "b", "c"].map(|name| tree.root().join(name));
        let expected: Vec<PathBuf> = expected
            .iter()
            .map(|path| path.components().collect())
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_target_that_vanished_is_gone() {
        let tree = Tree::v2(&[]);
        let error = walk(&tree.root().join("no"), |_, _| Visit::Descend).unwrap_err();
        assert!(matches!(error, CgroupError::Gone { .. }));
    }

    #[test]
    fn an_id_leads_back_to_its_cgroup() {
        let tree = Tree::v2(&["a/x", "b"]);
        let hierarchy = tree.hierarchy();
        let wanted = hierarchy.cgroup_at(&tree.root().join("a/x")).unwrap();
        assert_eq!(wanted.path, "/a/x");
        let found = find_by_id(&hierarchy, wanted.id).unwrap();
        assert_eq!(found, Some(wanted));
        assert_eq!(find_by_id(&hierarchy, u64::MAX).unwrap(), None);
    }
}
