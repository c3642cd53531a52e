//! C5: the agent on an idle node, beside cAdvisor, node_exporter and below.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::cgroup::{TestCgroup, Version};
use memtrace_tests::process::Running;

use super::scan::crowd;
use super::tracer::{Usage, resident_mib, stop};
use super::{Bench, Claim, Found};

/// Cgroups, and tasks in them.
const SIZES: [(usize, usize); 4] = [(10, 100), (100, 1_000), (1_000, 10_000), (3_000, 10_000)];
/// The size that the claims are about.
const ASKED: usize = 1_000;
const MOST_CPU: f64 = 3.0;
const MOST_MIB: f64 = 32.0;
const MOST_US_V1: f64 = 15.0;
const MOST_US_V2: f64 = 40.0;
/// memtrace's share of what cAdvisor takes.
const MOST_OF_CADVISOR: f64 = 1.0 / 7.0;
/// Time to start and to find all cgroups, and time that is measured.
const SETTLES: Duration = Duration::from_secs(6);
const MEASURED: Duration = Duration::from_secs(15);
/// Ports of the programs, all on this machine alone.
const AGENT_PORT: u16 = 19_435;
const CADVISOR_PORT: u16 = 19_436;
const EXPORTER_PORT: u16 = 19_437;

/// A program at work on a node of some size.
struct Row {
    program: &'static str,
    cgroups: usize,
    tasks: usize,
    cpu_percent: f64,
    resident_mib: f64,
    /// Of one that serves a page.
    scrape: Option<Scrape>,
    /// The agent's: time to read a cgroup.
    us_a_cgroup: Option<f64>,
}

struct Scrape {
    ms: f64,
    bytes: usize,
}

pub(super) fn measure(bench: &Bench) -> Result<Found> {
    let mut rows = Vec::new();
    let mut bare_us = 0.0;
    for (cgroups, tasks) in SIZES {
        let cgroup = TestCgroup::create(&bench.hierarchy)?;
        let crowd = crowd(bench, &cgroup, cgroups, tasks)?;
        let size = (cgroups, tasks);
        rows.push(at_work(
            "memtrace agent",
            agent(bench),
            Some(AGENT_PORT),
            size,
        )?);
        if cgroups == ASKED {
            bare_us = bare_pread_us(&cgroup.path)?;
            if let Some(program) = &bench.peers.cadvisor {
                let mut command = Command::new(program);
                command
                    .args([
                        "-housekeeping_interval=1s",
                        "-allow_dynamic_housekeeping=false",
                    ])
                    .arg("-listen_ip=127.0.0.1")
                    .arg(format!("-port={CADVISOR_PORT}"));
                rows.push(at_work("cAdvisor", command, Some(CADVISOR_PORT), size)?);
            }
            if let Some(program) = &bench.peers.node_exporter {
                let mut command = Command::new(program);
                command.arg(format!("--web.listen-address=127.0.0.1:{EXPORTER_PORT}"));
                rows.push(at_work(
                    "node_exporter",
                    command,
                    Some(EXPORTER_PORT),
                    size,
                )?);
            }
            if let Some(program) = &bench.peers.below {
                rows.push(at_work("below record", below(bench, program)?, None, size)?);
            }
        }
        drop(crowd);
    }
    let of = |program: &str, cgroups: usize| {
        rows.iter()
            .find(|row| row.program == program && row.cgroups == cgroups)
    };
    let agent = of("memtrace agent", ASKED).context("the agent did not run")?;
    let most_us = match bench.hierarchy.version {
        Version::V1 => MOST_US_V1,
        Version::V2 => MOST_US_V2,
    };
    let claim = |asked: String, measured: String, holds: Option<bool>| Claim {
        id: "C5".to_owned(),
        asked,
        measured,
        holds,
    };
    let mut claims = vec![
        claim(
            format!("{ASKED} cgroups at a tick of 1 s: under {MOST_CPU} % of one core"),
            format!("{:.2} %", agent.cpu_percent),
            Some(agent.cpu_percent < MOST_CPU),
        ),
        claim(
            format!("under {MOST_MIB} MiB resident"),
            format!("{:.1} MiB", agent.resident_mib),
            Some(agent.resident_mib < MOST_MIB),
        ),
        claim(
            format!("at most {most_us} us to read and parse a cgroup"),
            agent
                .us_a_cgroup
                .map_or("not told".to_owned(), |us| format!("{us:.1} us")),
            agent.us_a_cgroup.map(|us| us <= most_us),
        ),
    ];
    let cadvisor = of("cAdvisor", ASKED);
    for (what, own, of) in [
        (
            "CPU",
            agent.cpu_percent,
            cadvisor.map(|row| row.cpu_percent),
        ),
        (
            "memory",
            agent.resident_mib,
            cadvisor.map(|row| row.resident_mib),
        ),
    ] {
        claims.push(claim(
            format!("at most a seventh of cAdvisor's {what}"),
            match of {
                Some(other) => format!("{own:.2} against {other:.2}: 1/{:.1}", other / own),
                None => "no cAdvisor here".to_owned(),
            },
            of.map(|other| own <= MOST_OF_CADVISOR * other),
        ));
    }
    if let (Some(small), Some(large)) = (of("memtrace agent", 100), of("memtrace agent", 3_000)) {
        // Linear, with what does not depend on the number: no more than 30 times what 100 take.
        let times = large.cpu_percent / small.cpu_percent;
        claims.push(claim(
            "cost grows at most linearly from 100 cgroups to 3,000".to_owned(),
            format!("CPU {times:.1} times for 30 times the cgroups"),
            Some(times <= 30.0),
        ));
    }
    let mut table = vec![
        [
            "program",
            "cgroups",
            "tasks",
            "CPU, % of a core",
            "resident, MiB",
            "scrape, ms",
            "scrape, KiB",
            "us a cgroup",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    table.extend(rows.iter().map(cells));
    Ok(Found {
        title: "An idle node".to_owned(),
        workload: format!(
            "Cgroups with a limit and idle tasks in them, by turns; each program alone, with a tick of 1 s, \
             for {} s after {} s.",
            MEASURED.as_secs(),
            SETTLES.as_secs()
        ),
        claims,
        table,
        notes: vec![
            format!(
                "A bare pread of memory.stat on a kept descriptor took {bare_us:.1} us a cgroup in this run (it is \
                 the kernel that writes the text)."
            ),
            "node_exporter has no collector of cgroups: it reads on a scrape only, one here."
                .to_owned(),
            "below reads cgroup v2 only: where the memory controller is on v1, its figures are of tasks and \
             what else it keeps, without the cgroups."
                .to_owned(),
        ],
    })
}

/// What the kernel takes to tell one cgroup's statistics: all of them are read in turn, five times, and
/// the fastest pass counts.
fn bare_pread_us(crowd: &Path) -> Result<f64> {
    let mut files = Vec::new();
    for entry in fs::read_dir(crowd).with_context(|| format!("list {}", crowd.display()))? {
        let path = entry?.path().join("memory.stat");
        if path.is_file() {
            files.push(fs::File::open(&path).with_context(|| format!("open {}", path.display()))?);
        }
    }
    ensure!(!files.is_empty(), "no cgroups in {}", crowd.display());
    let mut buffer = vec![0; 16 << 10];
    let mut fastest = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        for file in &files {
            file.read_at(&mut buffer, 0)?;
        }
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1e6 / files.len() as f64);
    }
    Ok(fastest)
}

fn agent(bench: &Bench) -> Command {
    let mut command = Command::new(&bench.memtrace);
    command
        .args([
            "agent",
            "--socket",
            "none",
            "--history",
            "none",
            "--tick",
            "1s",
        ])
        .arg(format!("--listen=127.0.0.1:{AGENT_PORT}"));
    command
}

/// In a mount namespace of its own, for a cgroup v2 tree wherever there is none.
fn below(bench: &Bench, program: &Path) -> Result<Command> {
    let folder = bench.folder.join("below");
    let tree = folder.join("cgroup2");
    fs::create_dir_all(&tree).with_context(|| format!("create {}", tree.display()))?;
    let settings = folder.join("below.conf");
    let text = format!(
        "log_dir = '{0}/log'\nstore_dir = '{0}/store'\ncgroup_root = '{1}'\n",
        folder.display(),
        tree.display()
    );
    fs::write(&settings, text).with_context(|| format!("write {}", settings.display()))?;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg("mount -t cgroup2 cgroup2 \"$1\" && exec \"$0\" --config \"$2\" record --interval-s 1")
        .args([program, &tree, &settings]);
    Ok(command)
}

fn at_work(
    program: &'static str,
    mut command: Command,
    port: Option<u16>,
    (cgroups, tasks): (usize, usize),
) -> Result<Row> {
    let running = Running::start(&mut command)?;
    thread::sleep(SETTLES);
    let pid = running.pid();
    let usage = Usage::begin(pid)?;
    thread::sleep(MEASURED);
    let cpu_percent = usage.percent_of_core(pid)?;
    let resident = resident_mib(pid)?;
    let start = Instant::now();
    let page = port
        .map(scrape)
        .transpose()
        .with_context(|| format!("scraping {program}"))?;
    let ms = start.elapsed().as_secs_f64() * 1e3;
    stop(running)?;
    Ok(Row {
        program,
        cgroups,
        tasks,
        cpu_percent,
        resident_mib: resident,
        scrape: page.as_ref().map(|page| Scrape {
            ms,
            bytes: page.len(),
        }),
        us_a_cgroup: page.as_deref().and_then(us_a_cgroup),
    })
}

/// From the agent's own metrics: the time its last reading of all cgroups took, by their number.
fn us_a_cgroup(page: &str) -> Option<f64> {
    let value = |name: &str| -> Option<f64> {
        let mut lines = page.lines();
        // Its label set may be left out, or empty.
        lines.find_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = rest.strip_prefix("{}").unwrap_or(rest).strip_prefix(' ')?;
            value.parse().ok()
        })
    };
    let cgroups = value("memtrace_agent_watched_cgroups")?;
    Some(value("memtrace_agent_read_duration_seconds")? * 1e6 / cgroups)
}

fn scrape(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let page = String::from_utf8_lossy(&bytes).into_owned();
    let status = page.lines().next().unwrap_or_default();
    ensure!(status.ends_with("200 OK"), "{status:?}");
    Ok(page)
}

fn cells(row: &Row) -> Vec<String> {
    let or_none = |cell: Option<String>| cell.unwrap_or("-".to_owned());
    let scrape = row.scrape.as_ref();
    vec![
        row.program.to_owned(),
        row.cgroups.to_string(),
        row.tasks.to_string(),
        format!("{:.2}", row.cpu_percent),
        format!("{:.1}", row.resident_mib),
        or_none(scrape.map(|scrape| format!("{:.0}", scrape.ms))),
        or_none(scrape.map(|scrape| (scrape.bytes / 1024).to_string())),
        or_none(row.us_a_cgroup.map(|us| format!("{us:.1}"))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_own_metrics_give_the_time_a_cgroup_takes() {
        let page = "# TYPE memtrace_agent_watched_cgroups gauge\n\
                    memtrace_agent_watched_cgroups{} 8.0\n\
                    memtrace_agent_read_duration_seconds 0.0004\n";
        assert_eq!(us_a_cgroup(page), Some(50.0));
        assert_eq!(us_a_cgroup("memtrace_agent_watched_cgroups{} 8.0\n"), None);
    }
}
