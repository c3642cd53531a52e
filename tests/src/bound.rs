//! How much the residual of two readings of a cgroup may be: worked out here from the kernel's
//! batch sizes and the number of CPUs, not taken from memtrace.

use crate::host::Host;

/// `MEMCG_CHARGE_BATCH` of mm/memcontrol.c: pages a CPU may hold charged and unused. 32 to 5.15.
const STOCK_PAGES: u64 = 64;
/// Updates pending on a CPU below which memory.stat is not told: `MEMCG_CHARGE_BATCH`.
const PENDING_PAGES: u64 = 63;
/// Updates in sum below which a reader does not flush: 64 for each CPU
/// (`memcg_vmstats_needs_flush`).
const UNFLUSHED_PAGES: u64 = 64;
/// 5.10: each counter of each CPU is passed on in batches of this many pages, and never flushed.
const COUNTER_BATCH_PAGES: u64 = 32;
/// Counters of memory.stat that a working set is split into, at most.
const COUNTERS: u64 = 16;

/// Largest error bound, in bytes, that is justified for the difference of two readings.
pub fn justified_bytes(host: &Host) -> u64 {
    // An oracle may know the release; memtrace itself may not.
    let per_cpu = if host.kernel_release.starts_with("5.10.") {
        STOCK_PAGES / 2 + COUNTER_BATCH_PAGES * COUNTERS
    } else {
        STOCK_PAGES + UNFLUSHED_PAGES + PENDING_PAGES
    };
    2 * per_cpu * host.cpus * host.page_bytes
}

/// Pages that may sit in the CPUs' LRU batches, activated but not yet on the active list:
/// `PAGEVEC_SIZE` of include/linux/pagevec.h (31, and 15 before 6.12).
pub fn batch_pages(host: &Host) -> u64 {
    31 * host.cpus
}

/// Pages by which usage may fall while nothing runs in the cgroup: another cgroup took over the
/// stocks (`drain_stock`).
pub fn stock_bytes(host: &Host) -> u64 {
    STOCK_PAGES * host.cpus * host.page_bytes
}
