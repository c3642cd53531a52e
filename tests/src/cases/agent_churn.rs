//! `memtrace agent` on a node whose containers come and go.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use super::{
    agent_scene::{Agent, logs},
    oom::set_limit,
    room::Room,
};
use crate::{
    cgroup::{self, Version},
    host::Host,
    process,
    suite::Outcome,
};

/// Containers, seconds, and containers replaced a minute; this variable asks for others, such as
/// `1000:3600:50`.
const CHURN: [u64; 3] = [50, 20, 120];
const CHURN_VARIABLE: &str = "MEMTRACE_AGENT_CHURN";
const LIMIT_BYTES: u64 = 32 << 20;
/// Scrapes are a second apart, as far as they can be.
const SCRAPE: Duration = Duration::from_secs(1);
/// The agent's memory is looked at so often in all.
const LOOKS: u32 = 40;
const MOST_RSS_BYTES: u64 = 48 << 20;
/// Memory is flat if it grows by no more than this from the first quarter's end on.
const FLAT_BYTES: u64 = 1 << 20;
const MOST_SCRAPE: Duration = Duration::from_millis(50);
/// By default, each.
const MOST_SERIES: usize = 12;
/// A container that has ended is told of for so long at most.
const TOLD_OF_S: u64 = 5;

/// Containers come and go; what is told of them stays bounded, and so does the agent.
pub(super) fn bears_churn(host: &Host) -> anyhow::Result<Outcome> {
    let [containers, seconds, a_minute] = wanted()?;
    let room = Room::new(host)?;
    let mut node = Node::new(&room)?;
    for _ in 0..containers {
        node.start_one()?;
    }
    let mut agent = Agent::start_ticking(&room, "1s", &[])?;
    agent.wait_for("all containers' series", |agent| {
        Ok(told_of(&agent.get("/metrics")?) as u64 >= containers)
    })?;
    let total = Duration::from_secs(seconds);
    let begin = Instant::now();
    let (mut replaced, mut took, mut rss) = (0, Vec::new(), Vec::new());
    let (mut most_series, mut most_pods, mut each) = (0, 0, 0);
    while begin.elapsed() < total {
        let due = begin.elapsed().as_secs_f64() * a_minute as f64 / 60.0;
        while (replaced as f64) < due {
            node.end_oldest()?;
            node.start_one()?;
            replaced += 1;
        }
        let start = Instant::now();
        let page = agent.get("/metrics")?;
        took.push(start.elapsed());
        let series = series(&page);
        most_series = most_series.max(series.values().sum());
        most_pods = most_pods.max(series.len());
        each = each.max(series.values().copied().max().unwrap_or(0));
        if begin.elapsed() >= total / LOOKS * rss.len() as u32 {
            rss.push(agent.rss_bytes()?);
        }
        std::thread::sleep(SCRAPE.saturating_sub(start.elapsed()));
    }
    agent.end(Signal::TERM)?;
    took.sort_unstable();
    let p99 = took[(took.len() * 99 / 100).min(took.len() - 1)];
    let most = rss.iter().copied().max().context("no look at its memory")?;
    let grew = most.saturating_sub(rss[rss.len() / 4]);
    let told = format!(
        "{containers} containers, {replaced} replaced in {seconds} s: {} scrapes, p99 {:.1} ms, at most \
         {most_series} series of {most_pods} containers, {each} each, {:.1} MiB resident, {:.1} more than after a quarter",
        took.len(),
        p99.as_secs_f64() * 1e3,
        most as f64 / f64::from(1 << 20),
        grew as f64 / f64::from(1 << 20),
    );
    // What has just ended may still be told of.
    let ended = (a_minute * TOLD_OF_S).div_ceil(60) as usize;
    ensure!(each <= MOST_SERIES, "{told}");
    ensure!(most_pods <= containers as usize + 1 + ended, "{told}");
    ensure!(most < MOST_RSS_BYTES, "{told}");
    ensure!(grew <= FLAT_BYTES || host.is_emulated(), "{told}");
    ensure!(
        p99 < MOST_SCRAPE || host.is_emulated() || host.is_robbed()?.is_some(),
        "{told}"
    );
    Ok(Outcome::Passed(told))
}

fn wanted() -> anyhow::Result<[u64; 3]> {
    let Ok(text) = std::env::var(CHURN_VARIABLE) else {
        return Ok(CHURN);
    };
    let numbers: Vec<u64> = text
        .split(':')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{CHURN_VARIABLE}={text}"))?;
    <[u64; 3]>::try_from(numbers).map_err(|_| anyhow::anyhow!("{CHURN_VARIABLE}={text}"))
}

/// How many each pod has; each has one container.
fn series(page: &str) -> BTreeMap<&str, usize> {
    let mut series = BTreeMap::new();
    let of_containers = |line: &&str| line.starts_with("memtrace_container_");
    for line in page.lines().filter(of_containers) {
        let pod = line
            .split("pod=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        *series.entry(pod.unwrap_or_default()).or_default() += 1;
    }
    series
}

/// Containers that have the series all of them have.
fn told_of(page: &str) -> usize {
    let of_containers = |line: &&str| line.starts_with("memtrace_container_unreclaimable_bytes{");
    page.lines().filter(of_containers).count()
}

/// A node's containers, each in a pod of its own.
struct Node<'a> {
    room: &'a Room<'a>,
    pods: PathBuf,
    alive: VecDeque<(PathBuf, PathBuf, Child)>,
    made: u32,
}

impl<'a> Node<'a> {
    fn new(room: &'a Room<'a>) -> anyhow::Result<Self> {
        let mut pods = room.cgroup.path.clone();
        for name in ["kubepods", "burstable"] {
            hand_down(room, &pods)?;
            pods = pods.join(name);
            make(&pods)?;
        }
        hand_down(room, &pods)?;
        fs::create_dir_all(logs(room).join("containers"))?;
        Ok(Self {
            room,
            pods,
            alive: VecDeque::new(),
            made: 0,
        })
    }

    /// A pod with one container and an idle process, and the link that the kubelet makes.
    fn start_one(&mut self) -> anyhow::Result<()> {
        let number = self.made;
        self.made += 1;
        let uid = format!("{number:08x}-8c92-4c60-a921-ffc5991fa00f");
        let id = format!("{number:08x}").repeat(8);
        let pod = self.pods.join(format!("pod{uid}"));
        make(&pod)?;
        hand_down(self.room, &pod)?;
        let container = pod.join(&id);
        make(&container)?;
        set_limit(self.room.host, &container, LIMIT_BYTES)?;
        let target = logs(self.room).join(format!("pods/load_web-{number}_{uid}/app"));
        fs::create_dir_all(&target)?;
        let link = logs(self.room).join(format!("containers/web-{number}_load_app-{id}.log"));
        symlink(target.join("0.log"), link)?;
        let mut command = process::command("sleep".as_ref(), ["100000"]);
        process::join_at(&mut command, &container)?;
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.alive.push_back((pod, container, child));
        Ok(())
    }

    fn end_oldest(&mut self) -> anyhow::Result<()> {
        let Some((pod, container, mut child)) = self.alive.pop_front() else {
            return Ok(());
        };
        child.kill()?;
        child.wait()?;
        cgroup::remove(&container)?;
        cgroup::remove(&pod)
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        let mut end = || -> anyhow::Result<()> {
            while !self.alive.is_empty() {
                self.end_oldest()?;
            }
            cgroup::remove(&self.pods)?;
            cgroup::remove(self.pods.parent().context("a parent")?)
        };
        if let Err(error) = end() {
            eprintln!("{error:#}");
        }
    }
}

fn make(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir(directory).with_context(|| format!("making cgroup {}", directory.display()))
}

fn hand_down(room: &Room<'_>, directory: &Path) -> anyhow::Result<()> {
    if room.cgroup.version() == Version::V2 {
        fs::write(directory.join("cgroup.subtree_control"), "+memory")
            .context("handing the memory controller down")?;
    }
    Ok(())
}
