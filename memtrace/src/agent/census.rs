//! Which cgroups there are, and reading those that are watched.

use std::collections::BTreeMap;

use crate::{
    cgroup::{
        CgroupError, CgroupHandle, Hierarchy, Look, RiskSample, StatLines, Visit, WatchedCgroup,
        walk,
    },
    identity::{Level, identify},
};

/// What became of the tree since the last look.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// New cgroups: id and path.
    pub(super) born: Vec<(u64, String)>,
    /// Those that are gone.
    pub(super) died: Vec<u64>,
}

/// One watched cgroup at one instant.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Which.
    pub id: u64,
    /// What was read.
    pub sample: RiskSample,
}

/// A watched cgroup and what was last read of it; `None` if it could not be read.
struct Watched {
    cgroup: WatchedCgroup,
    reading: Option<Reading>,
}

/// See the module.
pub(super) struct Census {
    hierarchy: Hierarchy,
    max_watched: usize,
    known: BTreeMap<u64, Level>,
    /// A kilobyte each, and so not in the tree's half-empty nodes.
    watched: BTreeMap<u64, Box<Watched>>,
    unwatched: usize,
    /// Every `memory.stat` has the same.
    lines: StatLines,
    /// Every file is read into it.
    buffer: Vec<u8>,
}

impl Census {
    pub(super) fn new(hierarchy: Hierarchy, max_watched: usize) -> Self {
        Self {
            lines: StatLines::new(hierarchy.version()),
            hierarchy,
            max_watched,
            known: BTreeMap::new(),
            watched: BTreeMap::new(),
            unwatched: 0,
            buffer: Vec::new(),
        }
    }

    /// Walks the tree.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub(super) fn update(&mut self) -> Result<Changes, CgroupError> {
        let mut changes = Changes::default();
        let mut seen = BTreeMap::new();
        self.unwatched = 0;
        let hierarchy = self.hierarchy.clone();
        walk(hierarchy.mount_point(), |directory, id| {
            let level = self.known.get(&id).copied().unwrap_or_else(|| {
                let path = hierarchy.path_of(directory).unwrap_or_default();
                let level = identify(&path).level;
                changes.born.push((id, path));
                level
            });
            seen.insert(id, level);
            if !self.watched.contains_key(&id)
                && let Ok(handle) = CgroupHandle::open(hierarchy.version(), directory)
                && is_of_interest(level, &handle)
            {
                match self.watched.len() < self.max_watched {
                    true => {
                        let watched = WatchedCgroup::new(handle).map(|cgroup| Watched {
                            cgroup,
                            reading: None,
                        });
                        self.watched
                            .extend(watched.map(|watched| (id, Box::new(watched))));
                    }
                    false => self.unwatched += 1,
                }
            }
            Visit::Descend
        })?;
        let gone = self.known.keys().filter(|id| !seen.contains_key(id));
        changes.died.extend(gone);
        for id in &changes.died {
            self.watched.remove(id);
        }
        self.known = seen;
        Ok(changes)
    }

    /// Reads what is watched.
    pub(super) fn read(&mut self, look: Look) {
        let (lines, buffer) = (&mut self.lines, &mut self.buffer);
        for (id, Watched { cgroup, reading }) in
            self.watched.iter_mut().map(|(id, one)| (id, &mut **one))
        {
            let last = reading.as_ref().map(|reading| &reading.sample);
            *reading = match cgroup.sample(look, last, lines, buffer) {
                Ok(sample) => Some(Reading { id: *id, sample }),
                Err(CgroupError::Gone { .. } | CgroupError::NoMemoryController { .. }) => None,
                Err(error) => {
                    log::debug!("{error}");
                    None
                }
            };
        }
    }

    /// What was read. A cgroup that has vanished is left out: the next census tells.
    pub(super) fn readings(&self) -> impl Iterator<Item = &Reading> {
        self.watched.values().filter_map(|one| one.reading.as_ref())
    }

    /// How many are watched, and how many more would be, were there room.
    pub(super) fn watched(&self) -> (usize, usize) {
        (self.watched.len(), self.unwatched)
    }

    pub(super) fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }
}

/// Containers and pods, and whatever else can run out: a limit may be set later, so those without
/// are asked again at each census. What a container makes below its own cgroup is part of it.
fn is_of_interest(level: Level, handle: &CgroupHandle) -> bool {
    match level {
        Level::Container | Level::Pod => true,
        Level::InContainer | Level::Monitor | Level::Root => false,
        Level::Unit | Level::Slice | Level::Other => handle.has_limit().unwrap_or(false),
    }
}
