//! From a file system's device and a path within it to paths that a process can open. Pure.

use super::mountinfo::{Mount, MountTable, below};

/// Every path at which the table shows the file, the most specific mount first: one whose root is
/// deepest, such as a volume or a service's private `/tmp`, is how the target means it.
pub(super) fn paths(table: &MountTable, device: u32, fs_path: &str) -> Vec<String> {
    let mut mounts: Vec<_> = table
        .mounts()
        .iter()
        .filter(|mount| mount.device == device)
        .filter_map(|mount| Some((mount, visible(table, mount, fs_path)?)))
        .collect();
    mounts.sort_by_key(|(mount, path)| (std::cmp::Reverse(mount.root.len()), path.len()));
    mounts.into_iter().map(|(_, path)| path).collect()
}

/// Where an overlay in the table shows the file that its mounter has at one of `layer_paths`. An
/// upper directory belongs to one overlay, a lower one may be shared by many: the former wins.
pub(super) fn overlay_path(table: &MountTable, layer_paths: &[String]) -> Option<String> {
    let mut in_lower = None;
    for mount in table.mounts() {
        let Some(layers) = &mount.layers else {
            continue;
        };
        for shown in layer_paths.iter().filter_map(|path| layers.show(path)) {
            let Some(path) = visible(table, mount, shown.path) else {
                continue;
            };
            if shown.in_upper {
                return Some(path);
            }
            in_lower.get_or_insert(path);
        }
    }
    in_lower
}

/// The path of `fs_path` through this mount, unless another mount hides it.
fn visible(table: &MountTable, mount: &Mount, fs_path: &str) -> Option<String> {
    let inside = below(fs_path, &mount.root)?;
    let joined = format!("{}{inside}", mount.mount_point.trim_end_matches('/'));
    let path = match joined.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    (table.mount_of(path)?.id == mount.id).then(|| path.to_owned())
}

#[cfg(test)]
mod tests;
