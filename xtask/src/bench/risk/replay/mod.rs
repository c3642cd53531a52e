//! Node-days composed from the recordings, lived by the agent's own state.
//!
//! Each node has services that nobody kills; on some nodes a workload that ends in a kill is begun
//! twice. A seed decides which, when, and how far each recording is stretched.

mod calibration;
mod node;
mod scrape;
mod tenant;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};

use super::library::Library;
use super::workload::{Life, Set};

use self::node::Node;
use self::tenant::{Booking, Tenant};
pub use self::{
    calibration::{Calibration, TENTHS},
    node::{DAY_S, EPOCH_S, SCRAPES_S},
    tenant::{Domain, Kill},
};

/// Steady lives are stretched so far.
pub const STRETCHES: [u32; 3] = [1, 4, 20];
/// Each workload with a kill is on so many nodes, for each stretch.
const KILL_NODES: usize = 6;
/// How often it is begun there.
const KILL_LIVES: u32 = 2;
/// When it is begun at the latest.
const KILL_BEGINS_S: u32 = 36_000;
/// Starts and other first lives begin within this time.
const BEGINS_S: u32 = 900;
/// Of the nodes without kills, each so manieth is looked at by the baselines, too.
const BASELINE_NODES: usize = 20;

/// What came of all nodes of a set.
#[derive(Default)]
pub struct Replayed {
    pub nodes: usize,
    /// Numbers of the nodes that the baselines looked at wholly.
    pub baseline_nodes: BTreeSet<usize>,
    pub kills: Vec<Kill>,
    pub calibration: Calibration,
    /// By scrape: samples that Prometheus was given, and samples that were scraped.
    pub samples: [(u64, u64); 2],
    /// What it took.
    pub seconds: f64,
}

/// How much is lived.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Days, each of a node of its own.
    pub node_days: usize,
    /// Services on a node.
    pub services: usize,
}

/// Lives the days of a set, and writes what was scraped to one file for each of [`SCRAPES_S`].
pub fn run(
    set: Set,
    extent: Extent,
    library: &Library,
    wanted: &[&str],
    files: [&Path; 2],
) -> Result<Replayed> {
    let start = std::time::Instant::now();
    let create = |path: &Path| -> Result<_> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        Ok(BufWriter::with_capacity(1 << 20, file))
    };
    let files = Mutex::new([create(files[0])?, create(files[1])?]);
    let next = AtomicUsize::new(0);
    let replayed = Mutex::new(Replayed::default());
    let work = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= extent.node_days {
                return Ok(());
            }
            let node = node(set, number, extent.services, library);
            let with_baselines = node.with_baselines;
            let day = node.live(library, wanted)?;
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            for (file, scraped) in files.iter_mut().zip(&day.scraped) {
                file.write_all(scraped.text.as_bytes())
                    .context("write what was scraped")?;
            }
            drop(files);
            let mut all = replayed.lock().unwrap_or_else(PoisonError::into_inner);
            all.nodes += 1;
            all.baseline_nodes.extend(with_baselines.then_some(number));
            all.kills.extend(day.kills);
            all.calibration.merge(&day.calibration);
            for (sum, scraped) in all.samples.iter_mut().zip(&day.scraped) {
                sum.0 += scraped.samples;
                sum.1 += scraped.scraped;
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let done = worker.join().ok();
            done.context("a node's day ended in a panic")??;
        }
        anyhow::Ok(())
    })?;
    for mut file in files.into_inner().unwrap_or_else(PoisonError::into_inner) {
        file.write_all(b"# EOF\n").context("end what was scraped")?;
        file.flush().context("write what was scraped")?;
    }
    let mut all = replayed
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    all.kills.sort_by_key(|kill| (kill.node, kill.second));
    all.seconds = start.elapsed().as_secs_f64();
    Ok(all)
}

/// A node and its tenants.
fn node(set: Set, number: usize, services: usize, library: &Library) -> Node<'_> {
    let mut dice = fastrand::Rng::with_seed(number as u64 * 2 + set as u64);
    let deadly = library.of(set, true);
    let quiet = library.of(set, false);
    let mut tenants = Vec::new();
    // First the nodes with kills, each workload and stretch in turn.
    let deaths = deadly.len() * STRETCHES.len();
    let has_kills = number < deaths * KILL_NODES;
    if has_kills {
        let (workload, recording) = deadly[number % deadly.len()];
        let booking = Booking {
            begins: dice.u32(..KILL_BEGINS_S),
            stretch: STRETCHES[number / deadly.len() % STRETCHES.len()],
            lives: KILL_LIVES,
        };
        tenants.push(Tenant::new(
            workload,
            recording,
            (number, 0),
            &booking,
            &mut dice,
        ));
    }
    while tenants.len() < services && !quiet.is_empty() {
        let (workload, recording) = quiet[dice.usize(..quiet.len())];
        let booking = Booking {
            begins: dice.u32(..BEGINS_S),
            // A start that is stretched is another kind of start.
            stretch: match workload.life {
                Life::Steady => STRETCHES[dice.usize(..STRETCHES.len())],
                _ => 1,
            },
            lives: u32::MAX,
        };
        let place = (number, tenants.len());
        tenants.push(Tenant::new(workload, recording, place, &booking, &mut dice));
    }
    Node {
        number,
        tenants,
        with_baselines: !has_kills && number.is_multiple_of(BASELINE_NODES),
        has_kills,
        seconds: DAY_S,
        dice,
    }
}
