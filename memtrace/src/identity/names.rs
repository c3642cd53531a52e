//! Names by cgroup id: who a cgroup is, and was.

use std::collections::{BTreeMap, VecDeque};

use super::{Annotations, Container, Level, LogLinks, Pod, Qos, Runtime, identify};

/// Cgroups that are gone and whose names are kept, half a kilobyte each: a kill is reported soon after.
const MAX_DEAD: usize = 1_024;

/// Who a cgroup is. What is unknown is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Where it stands.
    pub level: Level,
    /// Namespace of its pod.
    pub namespace: Option<String>,
    /// Its pod.
    pub pod: Option<String>,
    /// Its container's name in the pod.
    pub container: Option<String>,
    /// Uid of its pod.
    pub pod_uid: Option<String>,
    /// Quality of service of its pod.
    pub qos: Option<Qos>,
    /// Id of its container.
    pub container_id: Option<String>,
    /// What runs it.
    pub runtime: Option<Runtime>,
    /// How often the container was started again.
    pub restarts: Option<u32>,
    /// The innermost systemd unit.
    pub unit: Option<String>,
}

impl Name {
    fn of_path(path: &str) -> Self {
        let found = identify(path);
        let (pod_uid, qos) = match found.pod {
            Some(Pod { uid, qos }) => (Some(uid), qos),
            None => (None, None),
        };
        let (container_id, runtime) = match found.container {
            Some(Container { id, runtime }) => (Some(id), runtime),
            None => (None, None),
        };
        Self {
            level: found.level,
            namespace: None,
            pod: None,
            container: None,
            pod_uid,
            qos,
            container_id,
            runtime,
            restarts: None,
            unit: found.unit,
        }
    }

    /// Whether somebody can say who this is: a pod's by namespace and pod, another container by its
    /// id, the rest by the systemd unit. The root and folders of others need no name.
    pub fn is_known(&self) -> bool {
        match (&self.pod_uid, &self.container_id, self.level) {
            (Some(_), ..) => self.namespace.is_some() && self.pod.is_some(),
            (None, Some(_), _) => true,
            (None, None, Level::Other) => self.unit.is_some(),
            (None, None, _) => true,
        }
    }

    /// For a line of text: `shop/web-0/app`, else the container's id in short, else the unit.
    /// `None` if nobody knows.
    pub fn short(&self) -> Option<String> {
        match (&self.namespace, &self.pod, &self.container) {
            (Some(namespace), Some(pod), Some(container)) => {
                Some(format!("{namespace}/{pod}/{container}"))
            }
            (Some(namespace), Some(pod), None) => Some(format!("{namespace}/{pod}")),
            _ => self
                .container_id
                .as_ref()
                .map(|id| id.chars().take(12).collect())
                .or_else(|| self.unit.clone()),
        }
    }

    fn learn(&mut self, links: &LogLinks) {
        let uid = self.pod_uid.as_deref();
        if let Some(log) = self
            .container_id
            .as_deref()
            .and_then(|id| links.of_container(id, uid))
        {
            self.namespace = Some(log.namespace.clone());
            self.pod = Some(log.pod.clone());
            self.container = Some(log.container.clone());
            self.restarts = log.restarts;
            self.pod_uid = self.pod_uid.take().or_else(|| log.pod_uid.clone());
        } else if let Some(pod) = uid.and_then(|uid| links.pod(uid)) {
            self.namespace = Some(pod.namespace.clone());
            self.pod = Some(pod.pod.clone());
        }
    }
}

/// Who all cgroups are that live, or died lately.
#[derive(Debug, Default)]
pub struct Names {
    by_id: BTreeMap<u64, Name>,
    /// Oldest first.
    dead: VecDeque<u64>,
}

impl Names {
    /// A cgroup was seen for the first time.
    pub fn born(&mut self, id: u64, path: &str) {
        self.by_id.insert(id, Name::of_path(path));
    }

    /// A cgroup is gone: its name is kept, until many others have gone after it.
    pub fn died(&mut self, id: u64) {
        if self.by_id.contains_key(&id) && !self.dead.contains(&id) {
            self.dead.push_back(id);
        }
        if self.dead.len() > MAX_DEAD
            && let Some(oldest) = self.dead.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }

    /// Looks at the links for those who lack a name, the dead among them: a log's link may be made
    /// after its container has started.
    pub fn learn(&mut self, links: &LogLinks) {
        for name in self.by_id.values_mut().filter(|name| name.lacks()) {
            name.learn(links);
        }
    }

    /// Containers in pods that have no name yet: (cgroup id, container id).
    pub fn nameless(&self) -> Vec<(u64, String)> {
        let nameless = |(id, name): (&u64, &Name)| {
            (name.level == Level::Container && name.lacks() && name.pod_uid.is_some())
                .then(|| Some((*id, name.container_id.clone()?)))?
        };
        self.by_id.iter().filter_map(nameless).collect()
    }

    /// What the runtime's annotations say of a cgroup's container.
    pub fn annotate(&mut self, id: u64, found: &Annotations) {
        if let Some(name) = self.by_id.get_mut(&id) {
            name.namespace = Some(found.namespace.clone());
            name.pod = Some(found.pod.clone());
            name.container.clone_from(&found.container);
        }
    }

    /// Who a cgroup is, or was.
    pub fn of(&self, id: u64) -> Option<&Name> {
        self.by_id.get(&id)
    }

    /// Living cgroups that nobody can name.
    pub fn unknown(&self) -> usize {
        let unknown = |(id, name): &(&u64, &Name)| !name.is_known() && !self.dead.contains(id);
        self.by_id.iter().filter(unknown).count()
    }
}

impl Name {
    fn lacks(&self) -> bool {
        match self.level {
            Level::Container | Level::InContainer => self.container.is_none(),
            Level::Pod | Level::Monitor => self.pod.is_none() && self.pod_uid.is_some(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::*;

    const A: &str = "594f6557dc0faa92e0ceac237b78c9e19ad12db5c471c3d2d950d4f2d6b98e4d";
    const B: &str = "fd9d0ea06257a9780827cbc7fd92e3812a54fca26d63e191b73610d5d48b9cbd";
    const UID: &str = "26822839-8c92-4c60-a921-ffc5991fa00f";

    fn linked(folder: &Path, container: &str, id: &str, restart: u32) {
        let log = folder.join(format!("pods/shop_web-0_{UID}/{container}"));
        fs::create_dir_all(&log).unwrap();
        fs::create_dir_all(folder.join("containers")).unwrap();
        symlink(
            log.join(format!("{restart}.log")),
            folder.join(format!("containers/web-0_shop_{container}-{id}.log")),
        )
        .unwrap();
    }

    #[test]
    fn a_name_that_comes_late_and_outlives_its_cgroup() {
        let folder = tempfile::tempdir().unwrap();
        let mut links = LogLinks::new(folder.path());
        let mut names = Names::default();
        names.born(7, &format!("/kubepods/burstable/pod{UID}/{A}"));
        names.born(8, &format!("/kubepods/burstable/pod{UID}"));
        names.learn(&links);
        assert_eq!(names.unknown(), 2);
        assert_eq!(names.nameless(), [(7, A.to_owned())]);
        names.died(7);
        assert_eq!(names.unknown(), 1);
        linked(folder.path(), "app", A, 2);
        links.refresh().unwrap();
        names.learn(&links);
        let name = names.of(7).unwrap();
        assert_eq!(name.short().as_deref(), Some("shop/web-0/app"));
        assert_eq!((name.restarts, name.qos), (Some(2), Some(Qos::Burstable)));
        assert_eq!(names.of(8).unwrap().short().as_deref(), Some("shop/web-0"));
        assert_eq!(names.unknown(), 0);
    }

    #[test]
    fn a_restart_is_another_container_of_the_same_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut links = LogLinks::new(folder.path());
        linked(folder.path(), "app", A, 0);
        linked(folder.path(), "app", B, 1);
        links.refresh().unwrap();
        let mut names = Names::default();
        names.born(1, &format!("/kubepods/pod{UID}/{A}"));
        names.died(1);
        names.born(2, &format!("/kubepods/pod{UID}/{B}"));
        names.learn(&links);
        let of = |id| names.of(id).unwrap();
        assert_eq!(of(1).short(), of(2).short());
        assert_eq!((of(1).restarts, of(2).restarts), (Some(0), Some(1)));
    }

    #[test]
    fn the_dead_are_forgotten_in_the_end() {
        let mut names = Names::default();
        for id in 0..2 * MAX_DEAD as u64 {
            names.born(id, "/system.slice/a.service");
            names.died(id);
            names.died(id);
        }
        assert!(names.of(0).is_none());
        assert!(names.of(2 * MAX_DEAD as u64 - 1).is_some());
        assert_eq!(names.by_id.len(), MAX_DEAD);
    }

    #[test]
    fn who_needs_no_name() {
        let mut names = Names::default();
        for (id, path) in ["/", "/system.slice/a.service", "/docker/x", "/made-by-hand"]
            .iter()
            .enumerate()
        {
            names.born(id as u64, path);
        }
        names.born(9, &format!("/docker/{A}"));
        assert_eq!(names.unknown(), 2);
        assert_eq!(names.of(9).unwrap().short().as_deref(), Some(&A[..12]));
    }
}
