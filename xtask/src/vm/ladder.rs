//! The configurations that memtrace has to work on.

use std::fmt;

use clap::ValueEnum;

/// How pages are aged in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lru {
    /// Active and inactive lists.
    Classic,
    /// Multi-generational LRU.
    Mglru,
}

/// Which hierarchy has the memory controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cgroup {
    /// A hierarchy of its own, as systemd's hybrid layout has it.
    V1,
    /// The unified hierarchy.
    V2,
}

impl fmt::Display for Lru {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classic => "classic",
            Self::Mglru => "mglru",
        })
    }
}

impl fmt::Display for Cgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

/// One rung: a kernel series and how the guest sets it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Name of the series.
    pub series: &'static str,
    /// Where the memory controller is.
    pub cgroup: Cgroup,
    /// How pages are aged.
    pub lru: Lru,
    /// Booted with `lockdown=confidentiality`: only the cases about that run.
    pub locked_down: bool,
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lockdown = if self.locked_down { "-lockdown" } else { "" };
        write!(f, "{}-{}-{}{lockdown}", self.series, self.cgroup, self.lru)
    }
}

impl Config {
    /// Parameters of its own on the kernel's command line.
    pub fn parameters(&self) -> &'static str {
        if self.locked_down {
            "lockdown=confidentiality"
        } else {
            ""
        }
    }
}

/// The whole ladder. 5.10 has no MGLRU; Debian's kernels from 6.12 on have no v1
/// memory controller. The oldest and the newest kernel are booted once more, locked down.
pub const LADDER: [Config; 13] = [
    rung("5.10", Cgroup::V2, Lru::Classic),
    rung("5.10", Cgroup::V1, Lru::Classic),
    rung("6.1", Cgroup::V2, Lru::Classic),
    rung("6.1", Cgroup::V2, Lru::Mglru),
    rung("6.1", Cgroup::V1, Lru::Classic),
    rung("6.12", Cgroup::V2, Lru::Classic),
    rung("6.12", Cgroup::V2, Lru::Mglru),
    rung("6.18", Cgroup::V2, Lru::Classic),
    rung("6.18", Cgroup::V2, Lru::Mglru),
    rung("7.2", Cgroup::V2, Lru::Classic),
    rung("7.2", Cgroup::V2, Lru::Mglru),
    locked_down("5.10"),
    locked_down("7.2"),
];

/// What `cargo xtask test` runs of it, and so CI: the oldest kernel, the one that most servers
/// run as it comes (MGLRU), the newest, and both that are locked down. The whole ladder takes too
/// long for a slow machine; `cargo xtask vm --all` runs it.
pub fn in_tests(config: &Config) -> bool {
    let chosen = [
        ("5.10", Cgroup::V2, Lru::Classic),
        ("6.12", Cgroup::V2, Lru::Mglru),
        ("7.2", Cgroup::V2, Lru::Classic),
    ];
    chosen.contains(&(config.series, config.cgroup, config.lru))
}

const fn rung(series: &'static str, cgroup: Cgroup, lru: Lru) -> Config {
    Config {
        series,
        cgroup,
        lru,
        locked_down: false,
    }
}

const fn locked_down(series: &'static str) -> Config {
    Config {
        locked_down: true,
        ..rung(series, Cgroup::V2, Lru::Classic)
    }
}
