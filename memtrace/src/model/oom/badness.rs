//! How the OOM killer scores a process, in its own integers.

use crate::input::{OomTask, RssCounters, RssPages};

/// `OOM_SCORE_ADJ_MIN` (include/uapi/linux/oom.h): never killed.
pub const OOM_SCORE_ADJ_MIN: i32 = -1000;
/// `OOM_SCORE_ADJ_MAX`.
pub const OOM_SCORE_ADJ_MAX: i32 = 1000;

/// The terms of one process's score, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Badness {
    /// File, anonymous and shmem pages mapped.
    pub rss_pages: i64,
    /// Swap entries.
    pub swap_pages: i64,
    /// Page tables, whole pages.
    pub pagetable_pages: i64,
    /// `oom_score_adj * (totalpages / 1000)`.
    pub adj_pages: i64,
    /// The sum.
    pub points: i64,
    /// How far `points` may be from what the kernel reckons of the same process at the same
    /// instant; 0 where both read the same numbers.
    pub error_pages: i64,
}

impl Badness {
    /// What the process holds, whatever its `oom_score_adj`.
    pub fn memory_pages(&self) -> i64 {
        self.rss_pages + self.swap_pages + self.pagetable_pages
    }
}

/// Scores a process that may be killed. KERNEL: mm/oom_kill.c, `oom_badness`:
/// `get_mm_rss + MM_SWAPENTS + mm_pgtables_bytes / PAGE_SIZE + oom_score_adj * (totalpages / 1000)`,
/// where the division comes first and the product wraps as a machine word does.
pub fn badness(
    task: &OomTask,
    totalpages: u64,
    counters: RssCounters,
    page_size_bytes: u64,
) -> Badness {
    let (read, error_pages) = reading(task, counters);
    let rss_pages = read.file + read.anon + read.shmem;
    let pagetable_pages = (task.pagetable_bytes / page_size_bytes) as i64;
    let adj_pages = adj_pages(task.oom_score_adj, totalpages);
    let memory = rss_pages + read.swap + pagetable_pages;
    Badness {
        rss_pages,
        swap_pages: read.swap,
        pagetable_pages,
        adj_pages,
        points: memory.wrapping_add(adj_pages),
        error_pages,
    }
}

/// What an `oom_score_adj` adds to a score: nothing below 1,000 pages, since `totalpages / 1000` is
/// cut to a whole number before it is multiplied.
pub fn adj_pages(oom_score_adj: i32, totalpages: u64) -> i64 {
    i64::from(oom_score_adj).wrapping_mul((totalpages / 1000) as i64)
}

/// The counters as the kernel reads them, each not below 0 (include/linux/mm.h,
/// `get_mm_counter`), and by how many pages that reading may differ from the kernel's.
fn reading(task: &OomTask, counters: RssCounters) -> (RssPages, i64) {
    let shared = each(task.rss, |pages| pages.max(0));
    let Some(unsynced) = task.unsynced else {
        // From /proc, which sums what the CPUs keep where there is such a thing.
        return match counters {
            RssCounters::Atomic => (shared, 0),
            RssCounters::PerCpu { lag_pages } => (shared, 4 * lag_pages as i64),
            RssCounters::Summed => (shared, 0),
        };
    };
    let whole = RssPages {
        file: (task.rss.file + unsynced.file).max(0),
        anon: (task.rss.anon + unsynced.anon).max(0),
        shmem: (task.rss.shmem + unsynced.shmem).max(0),
        swap: (task.rss.swap + unsynced.swap).max(0),
    };
    match counters {
        RssCounters::Atomic => (shared, 0),
        // Both readings count: what a CPU holds back may reach the shared part at any moment.
        RssCounters::PerCpu { .. } => (shared, (sum(whole) - sum(shared)).abs()),
        RssCounters::Summed => (whole, 0),
    }
}

fn each(pages: RssPages, of: impl Fn(i64) -> i64) -> RssPages {
    RssPages {
        file: of(pages.file),
        anon: of(pages.anon),
        shmem: of(pages.shmem),
        swap: of(pages.swap),
    }
}

fn sum(pages: RssPages) -> i64 {
    pages.file + pages.anon + pages.shmem + pages.swap
}
