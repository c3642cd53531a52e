//! The working sets of the cgroups right below a cgroup.

use std::path::Path;

use super::{CgroupError, CgroupReader, Hierarchy, tree};
use crate::input::ChildSample;

/// Children that are read: more would take so long that their readings were of no one instant.
const CHILDREN: usize = 128;

/// Reads each child; one that vanishes meanwhile is left out. `None` if there are more than 128.
///
/// # Errors
/// [`CgroupError::Gone`] if the cgroup itself is gone, [`CgroupError::Io`] or
/// [`CgroupError::Malformed`] if a file cannot be read.
pub fn children_of(
    hierarchy: &Hierarchy,
    directory: &Path,
) -> Result<Option<Vec<ChildSample>>, CgroupError> {
    let mut children = tree::children(directory)?;
    if children.len() > CHILDREN {
        return Ok(None);
    }
    children.sort();
    let mut samples = Vec::new();
    for (directory, id) in children {
        let Some(path) = hierarchy.path_of(&directory) else {
            continue;
        };
        let read = CgroupReader::open(hierarchy.version(), &directory)
            .and_then(|mut reader| reader.sample());
        match read.map(|sample| sample.working_set_bytes()) {
            Ok(Some(working_set_bytes)) => samples.push(ChildSample {
                id,
                path,
                working_set_bytes,
            }),
            // Without a memory controller of its own it is part of the parent.
            Ok(None) | Err(CgroupError::Gone { .. } | CgroupError::NoMemoryController { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(samples))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::fixture::Tree;

    #[test]
    fn direct_children_with_a_controller_are_read() {
        let tree = Tree::v2(&["a", "b/below", "c"]);
        for (child, usage) in [("a", 900), ("b", 500)] {
            tree.write(&format!("{child}/memory.current"), &format!("{usage}\n"));
            tree.write(&format!("{child}/memory.stat"), "inactive_file 100\n");
        }
        let children = children_of(&tree.hierarchy(), tree.root())
            .unwrap()
            .unwrap();
        let read: Vec<_> = children
            .iter()
            .map(|child| (child.path.as_str(), child.working_set_bytes))
            .collect();
        assert_eq!(read, [("/a", 800), ("/b", 400)]);
    }

    #[test]
    fn too_many_children_are_not_read() {
        let names: Vec<String> = (0..=CHILDREN).map(|child| child.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let tree = Tree::v2(&names);
        assert_eq!(children_of(&tree.hierarchy(), tree.root()).unwrap(), None);
    }
}
