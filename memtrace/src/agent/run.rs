//! The loop that owns everything.

use std::{
    collections::BTreeMap,
    fs,
    future::Future,
    io,
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use super::{
    Health, HookView, SeriesLost, Settings, Snapshot,
    accounts::{Counter, Untold},
    allocator,
    attach::{attach, give_up_the_rest, lost},
    census::Census,
    http::{ListenError, Server, Sources},
    keeper::{Keeper, Kept, Opened},
    node,
    series::Recorder,
    shapes::{Shape, Shapes},
    state::State,
    tell::Tell,
};
use crate::{
    cgroup::{CgroupHandle, Hierarchy, Look, MountError},
    identity::{LogLinks, OciFolders},
    input::{Input, OomSnapshot},
    kernel::{
        attach::LoadOptions,
        facts::{FactsError, KernelFacts},
        privileges, seccomp,
    },
    model::{
        oom::{Growth, KillStory, Kills, Outcome, predict_domain},
        past::Instant,
    },
    oom::OomWatch,
    source::live::{monotonic_ns, unix_ns},
    store::{Balances, HistoryError, Minute, NODE, Report},
    view::oom::report::{self, Uncounted, Who},
};

/// How often the cgroup tree is walked, the kubelet's links are listed and cgroups are read wholly.
const CENSUS: Duration = Duration::from_secs(5);
/// How often what was told of is kept, besides with each report.
const BALANCE: Duration = Duration::from_secs(60);
/// So many ticks without a new snapshot, and no less than this, and the agent is not healthy.
const STALE_TICKS: u32 = 10;
const STALE_AT_LEAST: Duration = Duration::from_secs(30);
/// Inode of `/proc/self/ns/pid` in the first PID namespace (include/linux/proc_ns.h,
/// `PROC_PID_INIT_INO`).
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Why the agent does not run (any more).
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No memory controller.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The kernel tells nothing of itself.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The history.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The exporter.
    #[cfg(feature = "otlp")]
    #[error(transparent)]
    Otlp(#[from] super::OtlpError),
    /// Something of the machine could not be read at all.
    #[error("reading {path}: {source}")]
    Read {
        /// What.
        path: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// Runs until `stop` is ready. Each report goes to `announce` once it is kept.
///
/// # Errors
/// If it cannot start: later failures are logged and counted, and it goes on.
pub async fn run(
    settings: Settings,
    load: &LoadOptions,
    announce: impl FnMut(&Report),
    stop: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    allocator::keep_little();
    raise_descriptors();
    for name in privileges::missing().unwrap_or_default() {
        log::warn!("{name} is missing: give it to the agent, or hooks stay off (deploy/README.md)");
    }
    if let Err(error) = privileges::keep_what_attaching_takes() {
        log::warn!("giving up privileges: {error}");
    }
    let hierarchy = Hierarchy::find()?;
    let kernel = KernelFacts::gather()?;
    let (page_size_bytes, version) = (kernel.page_size_bytes, hierarchy.version());
    let (watch, hooks, facts) = attach(kernel, load, &hierarchy);
    give_up_the_rest(watch.as_ref());
    let boot_id = read("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    let Opened {
        keeper,
        balances,
        recent,
        next_series,
        kept,
    } = Keeper::start(&settings, &boot_id)?;
    let inherited = balances.map(|balances| {
        let counters = balances.into_iter().map(|(id, kills)| (counter(id), kills));
        counters.collect::<BTreeMap<_, _>>()
    });
    let (publish, snapshot) = watch::channel(None);
    let tell = Tell::start(&settings, &snapshot, announce)?;
    let stale_after = STALE_AT_LEAST.max(settings.tick * STALE_TICKS);
    let server = Server::start(
        settings.listen,
        settings.socket.as_deref(),
        settings.remote.as_ref(),
        Sources::new(snapshot, keeper.archive(), stale_after),
    )?;
    if let Err(error) = seccomp::confine() {
        log::warn!("confining system calls: {error}");
    }
    let state = State::new(
        version,
        page_size_bytes,
        settings.eviction_threshold_bytes,
        settings.full_metrics,
        inherited,
    );
    let agent = Agent {
        links: LogLinks::new(&settings.logs),
        oci: settings.oci.clone().map(OciFolders::new),
        root: CgroupHandle::open(hierarchy.version(), hierarchy.mount_point()).ok(),
        census: Census::new(hierarchy, settings.max_cgroups),
        sees_all_tasks: sees_all_tasks(),
        settings,
        state,
        series: Recorder::new(next_series),
        series_lost: SeriesLost::default(),
        keeper,
        hooks,
        kills: facts.map(Kills::new),
        shapes: Shapes::of(&recent),
        before: None,
        publish,
        tell,
        failures: 0,
        node_kills: None,
        next_census: None,
        next_balance: Clock::now() + BALANCE,
    };
    agent.work(watch, kept, server, stop).await;
    Ok(())
}

struct Agent<A> {
    settings: Settings,
    state: State,
    series: Recorder,
    series_lost: SeriesLost,
    census: Census,
    root: Option<CgroupHandle>,
    links: LogLinks,
    oci: Option<OciFolders>,
    /// Whether the task iterator sees everybody.
    sees_all_tasks: bool,
    keeper: Keeper,
    hooks: Vec<HookView>,
    /// `None` if nothing could be attached.
    kills: Option<Kills>,
    /// Those of a day.
    shapes: Shapes,
    /// The last but one snapshot of processes.
    before: Option<Arc<OomSnapshot>>,
    publish: watch::Sender<Option<Arc<Snapshot>>>,
    tell: Tell<A>,
    failures: u64,
    /// The machine's count of kills as of the last whole look.
    node_kills: Option<u64>,
    next_census: Option<Clock>,
    next_balance: Clock,
}

impl<A: FnMut(&Report)> Agent<A> {
    async fn work(
        mut self,
        mut watch: Option<OomWatch>,
        mut kept: mpsc::Receiver<Kept>,
        server: Server,
        stop: impl Future<Output = ()>,
    ) {
        let mut ticks = interval(self.settings.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(stop);
        loop {
            let mut told = Vec::new();
            tokio::select! {
                () = &mut stop => break,
                _ = ticks.tick() => self.tick(watch.as_ref()),
                Some(kept) = kept.recv() => self.kept(&kept),
                () = gather(watch.as_mut(), &mut told) => {}
            }
            self.learn(told);
        }
        let mut told = Vec::new();
        if let Some(watch) = watch
            && let Err(error) = watch.finish(|input| told.push(input))
        {
            log::error!("{error}");
        }
        self.learn(told);
        let rest = self.kills.as_mut().map(|kills| kills.rest(monotonic_ns()));
        for story in rest.unwrap_or_default() {
            self.report(&story);
        }
        let minute = self.series.end(&self.state);
        self.keep_minute(minute);
        self.keeper.keep_balances(balances(&self.state));
        // The server has a way to the keeper of its own.
        drop(server);
        let Self {
            keeper, mut tell, ..
        } = self;
        keeper.finish();
        while let Ok(kept) = kept.try_recv() {
            if let Kept::Report { report, .. } = kept {
                tell.of(&report);
            }
        }
        tell.finish();
    }

    fn kept(&mut self, kept: &Kept) {
        match kept {
            Kept::Report { report, is_safe } => {
                self.failures += u64::from(!is_safe);
                self.tell.of(report);
            }
            Kept::Minute(Some(dropped)) => self.series_lost.no_room += dropped.minutes,
            Kept::Minute(None) => self.series_lost.failed += 1,
        }
    }

    fn keep_minute(&mut self, minute: Option<Minute>) {
        if let Some(minute) = minute
            && !self.keeper.keep_minute(minute)
        {
            log::error!("a minute of the series was dropped: too much waits to be kept");
            self.series_lost.failed += 1;
        }
    }

    fn learn(&mut self, told: Vec<Input>) {
        let Some(kills) = &mut self.kills else {
            return;
        };
        for input in told {
            kills.apply(&input);
            if let Input::OomSnapshot(snapshot) = input {
                let victim = predicted(self.before.as_deref(), &snapshot);
                self.state.predicted(victim.filter(|_| self.sees_all_tasks));
                self.before = Some(snapshot);
            }
        }
        for story in kills.settled(monotonic_ns()) {
            self.report(&story);
        }
    }

    fn report(&mut self, story: &KillStory) {
        // A container that was killed as soon as it had started may have its link by now.
        self.name();
        let mut about = self.state.circumstances(story);
        self.state.killed(monotonic_ns(), story, &self.links);
        let Some(kills) = &self.kills else {
            return;
        };
        let limit = story.limit.as_ref().and_then(|limit| limit.cgroup_id);
        let who = Who {
            victim: self.state.name(story.report.victim.cgroup_id),
            limit: self.state.name(limit),
            node: &self.settings.node_name,
        };
        if let Some(who) = report::known_as(story, &who) {
            let shape = Shape {
                who,
                comm: story.report.victim.comm.clone().unwrap_or_default(),
                part: Growth::of(story).map(|growth| growth.part.to_owned()),
            };
            about.earlier = self.shapes.learn(unix_ns(), shape);
        }
        let report = report::complete(story, kills.facts(), &who, &about);
        self.keep(report);
    }

    fn keep(&mut self, report: Report) {
        if !self.keeper.keep(report, balances(&self.state)) {
            log::error!("a report was dropped: too many wait to be kept");
            self.failures += 1;
        }
    }

    fn tick(&mut self, watch: Option<&OomWatch>) {
        let start = Clock::now();
        let mut look = Look::Part;
        if self.next_census.is_none_or(|next| next <= start) {
            self.next_census = Some(start + CENSUS);
            self.take_census();
            look = Look::Whole;
        }
        let mut node = match node::read(self.census.hierarchy(), self.root.as_ref()) {
            Ok(node) => node,
            Err(error) => {
                log::error!("reading /proc/meminfo: {error}");
                return;
            }
        };
        // Held against the cgroups' counts, so it is of the same moment as they are.
        match look {
            Look::Whole => self.node_kills = node.oom_kills,
            Look::Part => node.oom_kills = self.node_kills,
        }
        let reading = Clock::now();
        self.census.read(look);
        let read_seconds = reading.elapsed().as_secs_f64();
        let now_ns = monotonic_ns();
        let untold = self.state.learn(now_ns, self.census.readings(), &node);
        for untold in untold {
            self.report_untold(untold);
        }
        let wall = Instant(unix_ns() / 1_000_000);
        let readings = self.census.readings();
        let minute = self.series.learn(wall, readings, &node, &self.state);
        self.keep_minute(minute);
        if self.next_balance <= start {
            self.next_balance = start + BALANCE;
            self.keeper.keep_balances(balances(&self.state));
        }
        let (watched, unwatched) = self.census.watched();
        let health = Health {
            hooks: self.hooks.clone(),
            lost: lost(watch),
            watched,
            unwatched,
            history_failures: self.failures,
            series_lost: self.series_lost,
            export: self.tell.health(),
            tick_seconds: start.elapsed().as_secs_f64(),
            read_seconds,
            ..Health::default()
        };
        let snapshot = self.state.snapshot(now_ns, health);
        // Without a server nobody listens.
        _ = self.publish.send(Some(Arc::new(snapshot)));
    }

    fn take_census(&mut self) {
        match self.census.update() {
            Ok(changes) => {
                for (id, path) in changes.born {
                    self.state.born(id, path);
                    self.series.born(id);
                }
                for id in changes.died {
                    self.state.died(id);
                    self.series.died(id);
                }
                self.state.counted();
            }
            Err(error) => log::error!("{error}"),
        }
        self.name();
    }

    fn name(&mut self) {
        if let Err(error) = self.links.refresh() {
            log::warn!("{error}");
        }
        let names = self.state.names();
        names.learn(&self.links);
        let Some(oci) = &self.oci else {
            return;
        };
        for (id, container) in names.nameless() {
            match oci.annotations(&container) {
                Ok(found) => {
                    if let Some(found) = found {
                        names.annotate(id, &found);
                    }
                }
                Err(error) => log::warn!("{error}"),
            }
        }
    }

    fn report_untold(&mut self, untold: Untold) {
        let id = match untold.counter {
            Counter::Cgroup(id) => Some(id),
            Counter::Node => None,
        };
        let who = Who {
            victim: self.state.name(id),
            limit: None,
            node: &self.settings.node_name,
        };
        let kills = Uncounted {
            noticed_unix_ns: unix_ns(),
            kills: untold.kills,
            path: id.and_then(|id| self.state.path(id)),
            before_start: untold.before_start,
        };
        let report = report::incomplete(&kills, &who);
        self.keep(report);
    }
}

/// Waits for the watch, if there is one.
async fn gather(watch: Option<&mut OomWatch>, told: &mut Vec<Input>) {
    match watch {
        Some(watch) => watch.gather(|input| told.push(input)).await,
        None => std::future::pending().await,
    }
}

/// The cgroup of the victim, were the machine to run out now.
fn predicted(before: Option<&OomSnapshot>, now: &OomSnapshot) -> Option<u64> {
    let forecast = predict_domain(before, now, None)?;
    match forecast.now.outcome {
        Outcome::Kill(number) => forecast.candidates.get(number)?.task.cgroup_id,
        _ => None,
    }
}

fn balances(state: &State) -> Balances {
    let balance = |(counter, kills)| match counter {
        Counter::Cgroup(id) => (id, kills),
        Counter::Node => (NODE, kills),
    };
    state.balances().into_iter().map(balance).collect()
}

fn counter(id: u64) -> Counter {
    match id {
        NODE => Counter::Node,
        id => Counter::Cgroup(id),
    }
}

/// The task iterator walks the PID namespace of who opens it, and so does /proc.
fn sees_all_tasks() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let own = fs::metadata("/proc/self/ns/pid").map(|namespace| namespace.ino());
    let all = own.is_ok_and(|inode| inode == FIRST_PID_NAMESPACE);
    if !all {
        log::warn!(
            "this is not the machine's PID namespace (in a pod, set hostPID: true): no victim is foretold"
        );
    }
    all
}

/// A descriptor for each cgroup is more than the usual soft limit.
fn raise_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(errno) = setrlimit(Resource::Nofile, raised) {
        log::warn!(
            "raising the limit of open files: {}",
            io::Error::from(errno)
        );
    }
}

fn read(path: &'static str) -> Result<String, AgentError> {
    fs::read_to_string(path).map_err(|source| AgentError::Read { path, source })
}
