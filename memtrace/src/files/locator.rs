use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    locate::{overlay_path, paths},
    namespace::{FilesError, Lookup, MountNamespace, identity},
};
use crate::input::{FileEvent, FileLocation};

/// Mount namespaces of one target that are looked into: a pod has one a container.
const MAX_NAMESPACES: usize = 64;
/// Mounts are read again for a file that is nowhere, but not more often than this.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// Finds the paths at which a target sees files.
///
/// It looks into the mount namespaces of the target's processes, or memtrace's own while there is
/// none. When the last process has ended, the mounts it had stay in use, since the files it read
/// are still to be named.
#[derive(Debug)]
pub struct FileLocator {
    proc: PathBuf,
    /// Where overlays were mounted from: their layers' paths are meant there.
    host: MountNamespace,
    targets: Vec<MountNamespace>,
    refreshed: Instant,
}

impl FileLocator {
    /// Prepares for a target with these processes, which may have ended meanwhile.
    ///
    /// # Errors
    /// If not even memtrace's own mounts can be read, as without `/proc`.
    pub fn new(pids: &[u32]) -> Result<Self, FilesError> {
        Self::with_proc(Path::new("/proc"), pids)
    }

    fn with_proc(proc: &Path, pids: &[u32]) -> Result<Self, FilesError> {
        // In a DaemonSet with hostPID, process 1 has the mounts of the node, where the container
        // runtime mounts its overlays, and memtrace has not.
        let host = MountNamespace::read(&proc.join("1"))
            .or_else(|_| MountNamespace::read(&proc.join("self")))?;
        let mut locator = Self {
            proc: proc.to_owned(),
            host,
            targets: Vec::new(),
            refreshed: Instant::now(),
        };
        locator.watch(pids);
        if locator.targets.is_empty() {
            let mut own = MountNamespace::read(&proc.join("self"))?;
            resolve_layers(&mut own, &locator.host);
            locator.targets.push(own);
        }
        Ok(locator)
    }

    /// Follows the target to the processes that it has now. Call it when its members were read.
    pub fn watch(&mut self, pids: &[u32]) {
        let mut targets: Vec<MountNamespace> = Vec::new();
        for pid in pids {
            let process = self.proc.join(pid.to_string());
            if targets.len() == MAX_NAMESPACES {
                break;
            }
            // A process that has ended since its pid was read is an ordinary event.
            let Ok(identity) = identity(&process) else {
                continue;
            };
            if targets.iter().any(|known| known.identity == identity) {
                continue;
            }
            if let Ok(mut found) = MountNamespace::read(&process) {
                resolve_layers(&mut found, &self.host);
                targets.push(found);
            }
        }
        if !targets.is_empty() {
            self.targets = targets;
        }
    }

    /// Where the target sees the file.
    pub fn locate(&mut self, file: &FileEvent) -> FileLocation {
        let nowhere = FileLocation {
            id: file.id,
            path: None,
            container_path: None,
            deleted: false,
        };
        // A memfd or a SysV segment never had a path, and half a path leads nowhere.
        if !file.fs_path.starts_with('/') || file.truncated {
            return nowhere;
        }
        if let Some(found) = self.look(file) {
            return found;
        }
        if self.refreshed.elapsed() >= REFRESH_INTERVAL {
            self.refresh();
            if let Some(found) = self.look(file) {
                return found;
            }
        }
        FileLocation {
            deleted: file.deleted,
            ..nowhere
        }
    }

    fn refresh(&mut self) {
        self.host.refresh();
        for target in &mut self.targets {
            target.refresh();
            resolve_layers(target, &self.host);
        }
        self.refreshed = Instant::now();
    }

    /// The first namespace in which a path leads to the file, or else in which one once did.
    fn look(&self, file: &FileEvent) -> Option<FileLocation> {
        let on_host = paths(&self.host.table, file.id.device, &file.fs_path);
        let mut gone = None;
        for target in &self.targets {
            let path = paths(&target.table, file.id.device, &file.fs_path)
                .into_iter()
                .next();
            let container_path = overlay_path(&target.table, &on_host);
            let found = match (&path, &container_path) {
                (Some(path), _) => target.look_up(path),
                // An overlay shows an inode number of its own choice: ask the layer for the
                // number, and the overlay only whether it still shows the file.
                (None, Some(path)) => match target.look_up(path) {
                    Lookup::Inode(_) => on_host
                        .first()
                        .map_or(Lookup::Unknown, |path| self.host.look_up(path)),
                    nothing => nothing,
                },
                (None, None) => continue,
            };
            let leads_elsewhere = match found {
                Lookup::Inode(inode) => inode != file.id.inode,
                Lookup::Missing => true,
                Lookup::Unknown => false,
            };
            let location = FileLocation {
                id: file.id,
                path: path.or_else(|| container_path.clone()),
                container_path,
                deleted: file.deleted || leads_elsewhere,
            };
            if !location.deleted {
                return Some(location);
            }
            gone.get_or_insert(location);
        }
        gone
    }
}

fn resolve_layers(target: &mut MountNamespace, host: &MountNamespace) {
    for mount in target.table.mounts_mut() {
        if let Some(layers) = &mut mount.layers {
            layers.resolve(|path| host.read_link(path));
        }
    }
}

#[cfg(test)]
mod tests;
