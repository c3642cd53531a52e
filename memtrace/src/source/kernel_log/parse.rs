//! Lines put together to reports. The OOM killer writes all of a report under `oom_lock`, so two of
//! them never mix; lines of others in between are passed over.

use super::line::{self, Columns};
use crate::{
    cgroup::parse_memory_stat,
    input::{CgroupVersion, OomLogEvent},
};

/// What of a report has come so far.
#[derive(Debug, Default)]
struct Open {
    event: OomLogEvent,
    /// In the domain's `memory.stat`; 5.10 to 6.5 print it as one record.
    in_stat: bool,
    stat: String,
    columns: Option<Columns>,
}

/// Reads records, gives reports.
#[derive(Debug)]
pub struct Parser {
    version: CgroupVersion,
    open: Open,
}

impl Parser {
    /// For a version of the memory controller, whose `memory.stat` is in the reports.
    pub fn new(version: CgroupVersion) -> Self {
        Self {
            version,
            open: Open::default(),
        }
    }

    /// Drops what has come so far: records are missing from here on.
    pub fn forget(&mut self) {
        self.open = Open::default();
    }

    /// One record of `/dev/kmsg`: `6,339,5140900,-;text`, then properties on lines of their own.
    pub fn record(&mut self, record: &str) -> Option<OomLogEvent> {
        let (_, rest) = record.split_once(';')?;
        let text = rest.lines().next()?;
        // A record of several lines: devkmsg_read escapes their ends (`msg_add_ext_text`).
        let mut parts: Vec<&str> = text.split("\\x0a").collect();
        if parts.len() > 1 {
            // The last one ended where the record did, maybe in the middle of a number.
            parts.pop();
        }
        let mut told = None;
        for part in parts {
            told = self.line(part).or(told);
        }
        told
    }

    fn line(&mut self, text: &str) -> Option<OomLogEvent> {
        let Open {
            event,
            in_stat,
            stat,
            columns,
        } = &mut self.open;
        if let Some((comm, gfp_mask, order)) = line::invoked(text) {
            self.open = Open::default();
            let event = &mut self.open.event;
            event.trigger_comm = Some(comm.to_owned());
            (event.gfp_mask, event.order) = (gfp_mask, order);
        } else if let Some((tid, comm, by_memcg)) = line::killed(text) {
            let mut event = std::mem::take(&mut self.open).event;
            // mm/oom_kill.c, `oom_kill_process`: the victim, then the line on its group, then all of
            // the group, which may be many.
            self.open.event.group = event.group.clone();
            event.killed_tid = tid;
            event.killed_comm = comm.to_owned();
            event.killed_by_memcg = by_memcg;
            return Some(event);
        } else if let Some(chosen) = line::chosen(text) {
            event.constraint = chosen.constraint;
            event.domain = chosen.domain;
            event.victim_cgroup = chosen.victim_cgroup;
            event.chosen_pid = chosen.pid;
            *columns = None;
        } else if let Some(path) = line::group(text) {
            event.group = Some(path.to_owned());
        } else if let Some(tid) = line::thread(text) {
            event.trigger_tid = event.trigger_tid.or(Some(tid));
        } else if let Some((usage, limit)) = line::usage(text) {
            (event.usage_bytes, event.limit_bytes) = (Some(usage), Some(limit));
        } else if text.starts_with("Memory cgroup stats for ") {
            *in_stat = true;
            // Up to 6.5 the first key follows on the same line's record, not here.
        } else if text.starts_with("Tasks state") {
            *in_stat = false;
            event.stat = parse_memory_stat(self.version, stat)
                .ok()
                .filter(|_| !stat.is_empty());
        } else if let Some(found) = Columns::of(text) {
            *columns = Some(found);
        } else if let Some(task) = columns.as_ref().and_then(|columns| columns.task(text)) {
            event.tasks.push(task);
        } else if *in_stat {
            stat.push_str(text);
            stat.push('\n');
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{OomConstraint, OomLogTask};

    fn read(version: CgroupVersion, log: &str) -> Vec<OomLogEvent> {
        let mut parser = Parser::new(version);
        log.lines()
            .filter_map(|line| parser.record(&format!("6,1,2,-;{line}\n SUBSYSTEM=x\n")))
            .collect()
    }

    #[test]
    fn a_report_of_6_18_on_v1() {
        let events = read(CgroupVersion::V1, include_str!("fixture/v1-6.18"));
        let [event, short] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(event.trigger_comm.as_deref(), Some("memtrace-hog"));
        assert_eq!((event.trigger_tid, event.order), (Some(23033), Some(0)));
        assert_eq!(event.gfp_mask, Some(0xcc0));
        assert_eq!(event.constraint, Some(OomConstraint::Memcg));
        assert_eq!(event.domain.as_deref(), Some("/a,b"));
        assert_eq!(event.victim_cgroup.as_deref(), Some("/a,b/herd-2"));
        assert_eq!(event.limit_bytes, Some(48 << 20));
        let stat = event.stat.unwrap();
        assert_eq!((stat.shmem, stat.anon), (Some(49_336_320), Some(688_128)));
        let task = OomLogTask {
            tid: 23014,
            pid: 23013,
            rss_pages: 743,
            pagetable_bytes: 61_440,
            swap_pages: 2,
            oom_score_adj: -7,
            comm: "memtrace hog".into(),
        };
        assert_eq!(event.tasks[1], task);
        assert_eq!((event.chosen_pid, event.killed_tid), (Some(23013), 23014));
        assert!(event.killed_by_memcg && short.killed_by_memcg);
        assert_eq!((short.killed_tid, short.constraint), (23034, None));
        assert!(short.tasks.is_empty());
    }

    #[test]
    fn a_record_of_many_lines_that_was_cut() {
        let log = "x invoked oom-killer: gfp_mask=0x100cca(GFP_HIGHUSER_MOVABLE), order=0, oom_score_adj=0\n\
                   CPU: 0 PID: 77 Comm: x Not tainted\n\
                   Memory cgroup stats for /a:\n\
                   anon 4096\\x0afile 8192\\x0aslab 12\n\
                   Tasks state (memory values in pages):\n\
                   oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/a,task=x,pid=77,uid=0\n\
                   Out of memory: Killed process 77 (x (y)) total-vm:1kB, anon-rss:1kB";
        let events = read(CgroupVersion::V2, log);
        let event = &events[0];
        let stat = event.stat.unwrap();
        assert_eq!(
            (stat.anon, stat.file, stat.slab),
            (Some(4096), Some(8192), None)
        );
        assert_eq!((event.trigger_tid, event.killed_tid), (Some(77), 77));
        assert_eq!(
            (event.domain.as_deref(), event.constraint),
            (None, Some(OomConstraint::None))
        );
        assert_eq!(event.killed_comm, "x (y)");
        assert!(!event.killed_by_memcg);
    }

    #[test]
    fn what_was_lost_is_not_mixed_with_what_came() {
        let mut parser = Parser::new(CgroupVersion::V2);
        let invoked = "6,1,2,-;x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0";
        assert!(parser.record(invoked).is_none());
        parser.forget();
        let killed = "6,1,2,-;Out of memory: Killed process 7 (y) total-vm:1kB";
        assert_eq!(parser.record(killed).unwrap().trigger_comm, None);
        assert!(parser.record("").is_none());
    }
}
