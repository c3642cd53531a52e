//! The workloads: what runs, in which cgroups, and whether it may be used for tuning.

/// What a cgroup is to the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A container.
    Container,
    /// A pod.
    Pod,
    /// The slice of all pods.
    Slice,
}

/// A cgroup of a workload.
#[derive(Clone, Copy, Debug)]
pub struct Cgroup {
    /// Its name among the workload's.
    pub name: &'static str,
    /// Place of the one above it.
    pub parent: Option<usize>,
    /// What it stands for.
    pub level: Level,
    /// Its limit at first.
    pub limit_mib: Option<u64>,
}

/// What happens at a second of a recording.
#[derive(Clone, Debug)]
pub enum Do {
    /// `memtrace-hog life` with these arguments begins in a cgroup. `{file}` is a file of the
    /// workload's own on the disk, `{tmpfs}` one on a tmpfs, `{slow}` one on a slow disk.
    Live(usize, String),
    /// A Java VM begins in a cgroup: options, then arguments of `Heap`.
    Java(usize, &'static str),
    /// The limit of a cgroup becomes so many MiB.
    Limit(usize, u64),
    /// A cgroup ends, and who is in it.
    End(usize),
}

/// What may be done with a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// The definition and the alerts may be changed for its sake.
    Tuning,
    /// Never looked at for tuning.
    HeldOut,
}

/// How a recording becomes a longer life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Nobody is killed; it goes on for as long as one likes, so it may also be stretched.
    Steady,
    /// Nobody is killed; it has a beginning that takes its time as recorded.
    Start,
    /// It ends in a kill; growth begins at this second.
    Kill {
        /// Second.
        grows_from: u32,
        /// The cgroup whose limit is reached.
        domain: usize,
    },
    /// It would have ended in a kill, but the limit was raised in time.
    Averted,
}

/// A workload.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Name of its recording.
    pub name: &'static str,
    /// In words.
    pub what: &'static str,
    /// Whether it is held out.
    pub set: Set,
    /// What it is good for.
    pub life: Life,
    /// How long it is recorded at most.
    pub seconds: u32,
    /// Its cgroups, those above first.
    pub cgroups: Vec<Cgroup>,
    /// (second, what happens), in order.
    pub acts: Vec<(u32, Do)>,
}

use Life::{Averted, Kill, Start, Steady};
use Set::{HeldOut, Tuning};

/// A container with a limit in a pod without one.
fn alone(limit_mib: u64) -> Vec<Cgroup> {
    vec![Cgroup {
        name: "app",
        parent: None,
        level: Level::Container,
        limit_mib: Some(limit_mib),
    }]
}

fn kill(grows_from: u32) -> Life {
    Kill {
        grows_from,
        domain: 0,
    }
}

fn live(cgroup: usize, steps: &str) -> Do {
    Do::Live(cgroup, steps.to_owned())
}

/// In one container, one program from the first second on.
fn simple(
    name: &'static str,
    set: Set,
    life: Life,
    limit_mib: u64,
    seconds: u32,
    does: Do,
    what: &'static str,
) -> Workload {
    Workload {
        name,
        what,
        set,
        life,
        seconds,
        cgroups: alone(limit_mib),
        acts: vec![(2, does)],
    }
}

impl Workload {
    fn then(mut self, acts: &[(u32, Do)]) -> Self {
        self.acts.extend_from_slice(acts);
        self
    }
}

/// All of them.
pub fn all() -> Vec<Workload> {
    [tuning(), held_out()].concat()
}

#[rustfmt::skip]
fn tuning() -> Vec<Workload> {
    vec![
        simple("jvm-flat", Tuning, Steady, 224, 480,
            Do::Java(0, "-Xmx96m -XX:+UseSerialGC churn 48 20"),
            "Java VM flat at -Xmx: 48 MiB live, 20 MiB/s of garbage"),
        simple("jvm-offheap", Tuning, kill(60), 200, 900,
            Do::Java(0, "-Xmx64m -XX:MaxDirectMemorySize=1g leak 32 10 0.25"),
            "Java VM with a flat heap that leaks direct buffers, to the kill"),
        simple("go-flat", Tuning, Steady, 160, 480,
            live(0, "--base 60 --times 40 grow:50:10 free:50 hold:2"),
            "Go-like sawtooth, flat"),
        // Held out until its kills were missed: slow peaks, with the room left reckoned from the trough.
        simple("go-rising", Tuning, kill(2), 160, 900,
            live(0, "--base 40 --times 100 grow:31.5:10 free:30 hold:2"),
            "Go-like sawtooth, rising, to the kill"),
        // Held out until its kills were missed: a third of the window held one step and a bit.
        simple("batches-rising", Tuning, kill(2), 180, 2100,
            live(0, "--base 40 --times 100 grow:60:45 free:57.5 hold:5"),
            "batches of 60 MiB, each of which leaves some behind, to the kill"),
        simple("db-cache", Tuning, Steady, 160, 480,
            live(0, "--base 60 --times 8 read:{file}:300:60"),
            "database: 60 MiB of its own, reads 300 MiB over and over, cache fills the limit"),
        simple("log-fast", Tuning, Steady, 128, 480,
            live(0, "--base 30 --times 5 write:{file}.log:150:95 remove:{file}.log hold:1"),
            "log writer, 1.6 MiB/s, files are rotated; the disk keeps up"),
        // Held out until a definition that came later paged for it.
        simple("log-slow", Tuning, Steady, 128, 420,
            live(0, "--base 30 --times 4 write:{slow}.log:60:95 remove:{slow}.log hold:1"),
            "log writer on a disk of 256 KiB/s: its pages stay dirty"),
        simple("tmpfs-fill", Tuning, kill(30), 128, 400,
            live(0, "--base 20 hold:28 write:{tmpfs}:150:180 hold:60"),
            "a tmpfs fills, to the kill"),
        simple("leak-22s", Tuning, kill(60), 128, 200,
            live(0, "--base 40 hold:58 grow:110:28 hold:60"),
            "fast leak: from a third to the limit"),
        simple("leak-17min", Tuning, kill(60), 160, 1300,
            live(0, "--base 40 hold:58 grow:138:1200"),
            "slow leak of more than a quarter of an hour, in real time"),
        simple("start-90s", Tuning, Start, 128, 420,
            live(0, "--base 10 grow:92:90 hold:330"),
            "service that takes 90 s to fill 80 % of its limit, and stays"),
        simple("buffers-5min", Tuning, Start, 128, 700,
            live(0, "--base 10 write:{tmpfs}:85:300 hold:400"),
            "database that fills its shared buffers in five minutes, to 75 % of the limit"),
        simple("idle", Tuning, Steady, 128, 300, live(0, "--base 40 hold:300"), "nothing happens"),
        Workload {
            name: "sidecar-pod",
            what: "pod with a limit: the app is flat, the sidecar grows, the pod's limit is reached",
            set: Tuning,
            life: kill(60),
            seconds: 600,
            cgroups: vec![
                Cgroup { name: "pod", parent: None, level: Level::Pod, limit_mib: Some(160) },
                Cgroup { name: "app", parent: Some(0), level: Level::Container, limit_mib: Some(130) },
                Cgroup { name: "sidecar", parent: Some(0), level: Level::Container, limit_mib: Some(130) },
            ],
            acts: vec![
                (2, live(1, "--base 70 --times 100 grow:10:7 free:10 hold:1")),
                (2, live(2, "--base 10 hold:58 grow:110:400 hold:100")),
            ],
        },
    ]
}

#[rustfmt::skip]
fn held_out() -> Vec<Workload> {
    vec![
        simple("gc-rising", HeldOut, kill(2), 150, 1300,
            live(0, "--base 50 --times 100 grow:24:20 free:22 hold:6"),
            "collector that leaves a little more each time, to the kill"),
        simple("queue-rising", HeldOut, kill(2), 160, 2000,
            live(0, "--base 40 --times 100 grow:30:20 free:28 hold:10 grow:45:25 free:43.5 hold:15"),
            "queue that a small and a large wave fill in turn, and that never empties wholly, to the kill"),
        simple("leak-noisy-17min", HeldOut, kill(2), 160, 1300,
            live(0, "--base 40 --times 130 grow:9:7 free:8 hold:3"),
            "slow leak under a sawtooth, more than a quarter of an hour in real time"),
        simple("leak-35s", HeldOut, kill(90), 128, 300,
            live(0, "--base 50 read:{file}:30:40 hold:48 grow:110:50 hold:60"),
            "fast leak beside page cache"),
        simple("model-file", HeldOut, Steady, 200, 420,
            live(0, "--base 40 map:{file}:60 read:{file}:300:170 read:{file}:300:180"),
            "mapped model file, larger than the limit, read again and again"),
        simple("db-hot", HeldOut, Steady, 160, 300,
            live(0, &format!("--base 55 write:{{file}}.hot:92:12 hold:1{}", " read:{file}.hot:92:18".repeat(20))),
            "database: 55 MiB of its own, and a hot set of 92 MiB that stays active in the page cache"),
        simple("limit-moves", HeldOut, Steady, 200, 420,
            live(0, "--base 90 hold:420"),
            "flat at 90 MiB; the limit is lowered from 200 to 110 MiB, and raised again")
            .then(&[(120, Do::Limit(0, 110)), (300, Do::Limit(0, 200))]),
        simple("limit-raised", HeldOut, Averted, 128, 600,
            live(0, "--base 60 hold:28 grow:80:270 hold:300"),
            "leak whose limit is raised before it is reached, and which stops then")
            .then(&[(215, Do::Limit(0, 256))]),
        simple("jvm-warm-up", HeldOut, Start, 256, 660,
            Do::Java(0, "-Xmx176m -XX:+UseSerialGC warm 130 10 300"),
            "Java VM whose caches fill in five minutes, ever slower"),
        simple("batch", HeldOut, Start, 128, 640,
            live(0, "--base 10 --times 3 grow:90:150 hold:20 free:90 hold:30"),
            "batch job: fills 80 % of its limit in 150 s, frees it, begins again"),
        simple("spool-slow", HeldOut, Steady, 112, 420,
            live(0, "--base 40 --times 6 write:{slow}.a:26:40 write:{slow}.b:18:22 remove:{slow}.a hold:3 remove:{slow}.b hold:2"),
            "spooler that writes two files in turn to a disk of 256 KiB/s, and removes them"),
        Workload {
            name: "tmpfs-left",
            what: "a container fills a tmpfs and ends; its pod keeps the pages, the next one starts beside them",
            set: HeldOut,
            life: Start,
            seconds: 420,
            cgroups: vec![
                Cgroup { name: "pod", parent: None, level: Level::Pod, limit_mib: Some(200) },
                Cgroup { name: "first", parent: Some(0), level: Level::Container, limit_mib: Some(150) },
                Cgroup { name: "second", parent: Some(0), level: Level::Container, limit_mib: Some(150) },
            ],
            acts: vec![
                (2, live(1, "--base 20 write:{tmpfs}:80:40 hold:400")),
                (80, Do::End(1)),
                (85, live(2, "--base 30 --times 40 grow:20:8 free:20 hold:1")),
            ],
        },
        burstable(),
    ]
}

/// A node's pods without limits of their own, under the limit of all pods together.
fn burstable() -> Workload {
    const NAMES: [(&str, &str); 6] = [
        ("pod0", "app0"),
        ("pod1", "app1"),
        ("pod2", "app2"),
        ("pod3", "app3"),
        ("pod4", "app4"),
        ("pod5", "app5"),
    ];
    let mut cgroups = vec![Cgroup {
        name: "pods",
        parent: None,
        level: Level::Slice,
        limit_mib: Some(400),
    }];
    let mut acts = Vec::new();
    for (number, (pod, app)) in NAMES.into_iter().enumerate() {
        let place = cgroups.len();
        cgroups.push(Cgroup {
            name: pod,
            parent: Some(0),
            level: Level::Pod,
            limit_mib: None,
        });
        cgroups.push(Cgroup {
            name: app,
            parent: Some(place),
            level: Level::Container,
            limit_mib: None,
        });
        let period = 7 + 3 * number;
        let steps = match number {
            0 | 1 => "--base 30 hold:118 grow:150:375 hold:60".to_owned(),
            _ => format!("--base 25 --times 100 grow:15:{period} free:15 hold:{number}"),
        };
        acts.push((2, Do::Live(place + 1, steps)));
    }
    Workload {
        name: "burstable-node",
        what: "six pods without limits under the limit of all pods; two of them grow, to the kill",
        set: HeldOut,
        life: kill(120),
        seconds: 900,
        cgroups,
        acts,
    }
}
