//! A thread that keeps predictions up to date: snapshots, the more often the nearer a domain is to
//! its limit. It is a thread of its own so that nothing it reads delays the report of a kill.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};

use super::{Snapshots, arrivals::Arrivals, domain::Domain, node::available_share};
use crate::input::{OomMemory, OomSnapshot};

/// Snapshots that wait for the receiver; one more is dropped, the next is newer anyway.
const WAITING: usize = 4;
/// How often the node's memory is read.
const ASK_NODE: Duration = Duration::from_millis(100);
/// From each of these shares on a snapshot, at most this often, with a rest of so many times its
/// cost, in CPU time, after it.
const PACE: [(f64, Duration, u32); 4] = [
    (0.95, Duration::from_millis(10), 1),
    (0.85, Duration::from_millis(20), 4),
    (0.7, Duration::from_millis(50), 9),
    // Far away is most of the time: on a large node a snapshot takes a tenth of a second.
    (0.0, Duration::from_secs(2), 199),
];
/// Domains that are far away are looked at by turns, one in this time: a few of them all the time, a
/// thousand twice a second.
const ONE_AFAR: Duration = Duration::from_micros(500);
/// One snapshot for cgroups that came, at this pace: who grows shows from two.
const NEW: (Duration, u32) = (Duration::from_millis(200), 19);
/// The pace of those that are near, but stay where they are:
const CALM: (Duration, u32) = (Duration::from_millis(500), 9);
/// by less than this share
const STEP: f64 = 0.002;
/// for this long.
const CALM_AFTER: Duration = Duration::from_secs(2);

/// The thread.
pub struct Lookout {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lookout {
    /// Starts it. Where there is no room for one more thread, nothing is foretold, and that is said:
    /// kills are told all the same.
    /// `begin` is run first, in the thread.
    pub fn start(
        mut snapshots: Snapshots,
        begin: fn(&mut Snapshots),
    ) -> (Self, Receiver<OomSnapshot>) {
        let (sender, receiver) = channel(WAITING);
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::Builder::new().spawn(move || {
            begin(&mut snapshots);
            let mut watch = Watch {
                arrivals: Arrivals::new(snapshots.hierarchy()),
                snapshots,
                domains: Vec::new(),
                node_share: 0.0,
                node_read: None,
                memories: BTreeMap::new(),
                moved: (Instant::now(), 0.0),
                new: false,
            };
            watch.run(&sender, &told);
        });
        let thread = thread
            .inspect_err(|error| log::warn!("no predictions: starting their thread: {error}"))
            .ok();
        let own = Self { stop, thread };
        (own, receiver)
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread that takes snapshots panicked");
        }
    }
}

/// CPU time of this thread: a machine that is busy with something else makes no snapshot dearer.
pub(super) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How often, and how many times its cost to rest.
fn pace(share: f64, calm: bool, new: bool) -> (Duration, u32) {
    let found = PACE.iter().find(|(from, ..)| share >= *from);
    let (_, period, rest) = *found.unwrap_or(&PACE[PACE.len() - 1]);
    match (calm, new) {
        (_, true) if period > NEW.0 => NEW,
        (true, _) if period < CALM.0 => CALM,
        _ => (period, rest),
    }
}

struct Watch {
    arrivals: Arrivals,
    snapshots: Snapshots,
    domains: Vec<Domain>,
    node_share: f64,
    node_read: Option<Instant>,
    /// What the last snapshot says of each domain: what did not change is kept once.
    memories: BTreeMap<u64, Arc<OomMemory>>,
    /// When the share last moved, and from where on it would move again.
    moved: (Instant, f64),
    /// Cgroups came that no snapshot has shown yet.
    new: bool,
}

impl Watch {
    fn run(&mut self, sender: &Sender<OomSnapshot>, stop: &AtomicBool) {
        let mut last: Option<(Instant, Duration)> = None;
        let mut told = false;
        while !stop.load(Ordering::Relaxed) {
            let share = self.look();
            let calm = self.is_calm(share);
            self.greet();
            let (period, rest) = pace(share, calm, self.new);
            let due = last.is_none_or(|(at, cost)| at.elapsed() >= period.max(cost * rest));
            if due {
                let start = cpu_time();
                match self.snapshots.take() {
                    Ok(mut snapshot) => {
                        // Never chosen, and most of the processes of many machines.
                        snapshot.tasks.retain(|task| !task.kernel_thread);
                        // What has no limit cannot run out, and of all that is kept most would be this.
                        for cgroup in &mut snapshot.cgroups {
                            cgroup
                                .memory
                                .take_if(|memory| memory.sample.limit_bytes.is_none());
                        }
                        self.share(&mut snapshot);
                        self.follow(&snapshot);
                        match sender.try_send(snapshot) {
                            Ok(()) | Err(TrySendError::Full(_)) => {}
                            Err(TrySendError::Closed(_)) => return,
                        }
                    }
                    Err(error) if !told => {
                        told = true;
                        log::warn!("no prediction can be kept up to date: {error}");
                    }
                    Err(_) => {}
                }
                self.new = false;
                last = Some((Instant::now(), cpu_time().saturating_sub(start)));
            }
            thread::sleep(match share {
                near if near >= PACE[1].0 && !calm => Duration::from_millis(5),
                some if some >= 0.5 => Duration::from_millis(20),
                _ => Duration::from_millis(50),
            });
        }
    }

    fn is_calm(&mut self, share: f64) -> bool {
        if (share - self.moved.1).abs() > STEP {
            self.moved = (Instant::now(), share);
        }
        self.moved.0.elapsed() > CALM_AFTER
    }

    fn look(&mut self) -> f64 {
        if self.node_read.is_none_or(|at| at.elapsed() >= ASK_NODE) {
            self.node_read = Some(Instant::now());
            // Unknown counts as far away: the slow pace goes on.
            self.node_share = available_share().map_or(0.0, |available| 1.0 - available);
        }
        let afar = ONE_AFAR * u32::try_from(self.domains.len()).unwrap_or(u32::MAX);
        let shares = self.domains.iter_mut().map(|domain| domain.look(afar));
        shares.fold(self.node_share, f64::max)
    }

    fn share(&mut self, snapshot: &mut OomSnapshot) {
        let mut last = std::mem::take(&mut self.memories);
        for cgroup in &mut snapshot.cgroups {
            let Some(memory) = &mut cgroup.memory else {
                continue;
            };
            if let Some(same) = last.remove(&cgroup.id).filter(|last| last == memory) {
                *memory = same;
            }
            self.memories.insert(cgroup.id, Arc::clone(memory));
        }
    }

    /// Opens the files of domains that came.
    fn greet(&mut self) {
        let version = self.snapshots.hierarchy().version();
        let (hierarchy, top) = (self.snapshots.hierarchy(), self.snapshots.top());
        for arrival in self.arrivals.look(hierarchy, top) {
            if self.domains.iter().any(|domain| domain.id() == arrival.id) {
                continue;
            }
            let (id, directory) = (arrival.id, &arrival.directory);
            self.domains
                .extend(Domain::open(version, id, directory, &arrival.memory));
            self.new = true;
        }
    }

    /// Opens the files of new domains, forgets those that are gone.
    fn follow(&mut self, snapshot: &OomSnapshot) {
        let mut known = std::mem::take(&mut self.domains);
        for cgroup in &snapshot.cgroups {
            let Some((memory, limit)) = cgroup
                .memory
                .as_deref()
                .and_then(|memory| Some((memory, memory.sample.limit_bytes?)))
            else {
                continue;
            };
            let same = |domain: &Domain| domain.is(cgroup.id, limit);
            let domain = match known.iter().position(same) {
                Some(place) => Some(known.swap_remove(place)),
                None => {
                    let hierarchy = self.snapshots.hierarchy();
                    hierarchy.directory_at(&cgroup.path).and_then(|directory| {
                        Domain::open(hierarchy.version(), cgroup.id, &directory, memory)
                    })
                }
            };
            self.domains.extend(domain);
        }
    }
}
