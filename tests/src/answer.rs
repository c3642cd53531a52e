//! The suite's own reading of `explain -o json`: only the keys it checks, nothing shared with
//! memtrace, so that a change of the schema fails here.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

/// The answer.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// Of the schema.
    pub schema_version: u64,
    /// Before, after, and between.
    pub working_set: WorkingSet,
    /// Parts of memory.stat.
    pub components: Vec<Component>,
    /// Who did it.
    pub causes: Vec<Cause>,
    /// What no component explains.
    pub unexplained_bytes: i64,
    /// How much that may be.
    pub error_bound_bytes: u64,
    /// What to act on, in sentences.
    pub verdict: serde_json::Value,
    /// How far to trust it.
    pub trust: Trust,
    /// Who was reclaimed from, and why.
    pub reclaim: serde_json::Value,
    /// With a command: before to peak, peak to after.
    #[serde(default)]
    pub phases: Vec<Phase>,
}

/// usage - inactive_file.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "named as in the schema")]
pub struct WorkingSet {
    pub before_bytes: u64,
    pub after_bytes: u64,
    pub delta_bytes: i64,
    #[serde(default)]
    pub peak_bytes: Option<u64>,
}

/// A part of the change.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "named as in the schema")]
pub struct Component {
    pub name: String,
    pub delta_bytes: i64,
    pub unattributed_bytes: i64,
}

/// One cause of a part of the change.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "named as in the schema")]
pub struct Cause {
    pub component: String,
    pub kind: String,
    pub bytes: i64,
    #[serde(default)]
    pub file: Option<File>,
    #[serde(default)]
    pub task: Option<Task>,
    #[serde(default)]
    pub charged_cgroup: Option<String>,
}

/// A file.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "named as in the schema")]
pub struct File {
    #[serde(default)]
    pub path: Option<String>,
    #[serde(default)]
    pub fs_path: Option<String>,
    #[serde(default)]
    pub fstype: Option<String>,
    pub inode: u64,
}

/// A process.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "named as in the schema")]
pub struct Task {
    pub pid: u32,
    #[serde(default)]
    pub comm: Option<String>,
    pub certain: bool,
}

/// Losses and gaps.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "named as in the schema")]
pub struct Trust {
    pub events_lost: u64,
    pub hooks_missing: Vec<serde_json::Value>,
    pub pages_produced: u64,
    pub pages_seen: u64,
    pub pages_lost: u64,
    pub hooks: Vec<Hook>,
    pub signals: Vec<Signal>,
    pub warnings: Vec<serde_json::Value>,
}

/// One signal: the rung in use, and those that were refused.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "named as in the schema")]
pub struct Signal {
    pub signal: String,
    pub attached: Option<String>,
    pub optional: bool,
    pub cost: String,
    pub refused: Vec<Refused>,
}

/// A rung that is not in use.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "named as in the schema")]
pub struct Refused {
    pub hook: String,
    pub reason: String,
}

/// One hook's counters.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "named as in the schema")]
pub struct Hook {
    pub hook: String,
    pub pages_produced: u64,
    pub records_sent: u64,
    pub records_lost: u64,
    pub recursion_misses: u64,
}

/// A part of the window.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "named as in the schema")]
pub struct Phase {
    pub name: String,
    pub working_set: WorkingSet,
    pub components: Vec<Component>,
    pub causes: Vec<Cause>,
    pub unexplained_bytes: i64,
    pub error_bound_bytes: u64,
}

impl Answer {
    /// Reads what memtrace printed.
    pub fn parse(stdout: &[u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(stdout).with_context(|| {
            let text = String::from_utf8_lossy(stdout);
            format!(
                "not an answer: {}",
                text.chars().take(400).collect::<String>()
            )
        })
    }

    /// Change of a component in bytes; `None` if it is not told.
    pub fn component(&self, name: &str) -> Option<i64> {
        component(&self.components, name)
    }

    /// One of memtrace's signals.
    pub fn signal(&self, name: &str) -> anyhow::Result<&Signal> {
        let mut signals = self.trust.signals.iter();
        signals
            .find(|signal| signal.signal == name)
            .with_context(|| format!("no signal {name}"))
    }

    /// It warns by this id.
    pub fn warns(&self, id: &str) -> bool {
        self.trust
            .warnings
            .iter()
            .any(|warning| warning["id"] == id)
    }

    /// Change of all that is the kernel's own memory, in bytes.
    pub fn kernel_bytes(&self) -> i64 {
        const KERNEL: [&str; 11] = [
            "kernel",
            "kernel_other",
            "kernel_stack",
            "pagetables",
            "percpu",
            "sec_pagetables",
            "slab_reclaimable",
            "slab_unreclaimable",
            "sock",
            "vmalloc",
            "zswap",
        ];
        self.components
            .iter()
            .filter(|component| KERNEL.contains(&component.name.as_str()))
            .map(|component| component.delta_bytes)
            .sum()
    }

    /// Sum of the causes of a component that `which` picks, in bytes.
    pub fn caused(&self, component: &str, which: impl Fn(&Cause) -> bool) -> i64 {
        caused(&self.causes, component, which)
    }

    /// One of the phases of a command.
    pub fn phase(&self, name: &str) -> anyhow::Result<&Phase> {
        self.phases
            .iter()
            .find(|phase| phase.name == name)
            .with_context(|| format!("no phase {name}"))
    }

    /// The causes, for messages.
    pub fn causes_in_words(&self) -> String {
        self.causes
            .iter()
            .map(Cause::in_words)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The sums add up within themselves, in the whole and in each phase.
    pub fn check_sums(&self) -> anyhow::Result<()> {
        check_sums(
            &self.working_set,
            &self.components,
            &self.causes,
            self.unexplained_bytes,
        )?;
        for phase in &self.phases {
            check_sums(
                &phase.working_set,
                &phase.components,
                &phase.causes,
                phase.unexplained_bytes,
            )
            .with_context(|| phase.name.clone())?;
        }
        Ok(())
    }

    /// F4: pages seen + pages lost = pages produced.
    pub fn check_conservation(&self) -> anyhow::Result<()> {
        let Trust {
            pages_produced,
            pages_seen,
            pages_lost,
            ..
        } = self.trust;
        ensure!(
            pages_seen + pages_lost == pages_produced,
            "{pages_seen} pages seen + {pages_lost} lost, but {pages_produced} produced"
        );
        Ok(())
    }

    /// F4: nothing was lost. A hook that the kernel skipped is a loss, unless it may skip hooks.
    pub fn check_no_loss(&self, may_skip: bool) -> anyhow::Result<()> {
        let trust = &self.trust;
        let records: u64 = trust.hooks.iter().map(|hook| hook.records_lost).sum();
        let skipped: u64 = trust.hooks.iter().map(|hook| hook.recursion_misses).sum();
        ensure!(
            trust.events_lost == records + skipped,
            "events_lost is {}, but the hooks lost {records} and were skipped {skipped} times",
            trust.events_lost
        );
        ensure!(
            trust.pages_lost == 0 && records == 0 && (may_skip || skipped == 0),
            "lost {records} records with {} pages, {skipped} hook calls skipped: {:?}",
            trust.pages_lost,
            trust.hooks
        );
        Ok(())
    }
}

impl Phase {
    /// Sum of the causes of a component that `which` picks, in bytes.
    pub fn caused(&self, component: &str, which: impl Fn(&Cause) -> bool) -> i64 {
        caused(&self.causes, component, which)
    }

    /// Change of a component in bytes; `None` if it is not told.
    pub fn component(&self, name: &str) -> Option<i64> {
        component(&self.components, name)
    }
}

impl Cause {
    /// It names this file by path and inode.
    pub fn is_of(&self, path: &Path, inode: u64) -> bool {
        self.file.as_ref().is_some_and(|file| {
            file.inode == inode && file.path.as_deref().map(Path::new) == Some(path)
        })
    }

    /// It names this process.
    pub fn is_by(&self, pid: u32) -> bool {
        self.task.as_ref().is_some_and(|task| task.pid == pid)
    }

    fn in_words(&self) -> String {
        let file = self.file.as_ref().map_or("-".to_owned(), |file| {
            let path = file.path.as_ref().or(file.fs_path.as_ref());
            format!("{}#{}", path.map_or("?", String::as_str), file.inode)
        });
        let task = self.task.as_ref().map_or("-".to_owned(), |task| {
            let comm = task.comm.as_deref().unwrap_or("?");
            let doubt = if task.certain { "" } else { "?" };
            format!("{comm}[{}]{doubt}", task.pid)
        });
        let Self {
            component,
            kind,
            bytes,
            ..
        } = self;
        format!("{component}/{kind} {bytes} {file} {task}")
    }
}

/// after - before = delta = components + unexplained, and each component = causes + unattributed.
fn check_sums(
    set: &WorkingSet,
    components: &[Component],
    causes: &[Cause],
    unexplained_bytes: i64,
) -> anyhow::Result<()> {
    let delta = set.after_bytes as i64 - set.before_bytes as i64;
    ensure!(
        delta == set.delta_bytes,
        "working_set: after - before is {delta}, delta_bytes {}",
        set.delta_bytes
    );
    let sum: i64 = components.iter().map(|c| c.delta_bytes).sum();
    ensure!(
        sum + unexplained_bytes == delta,
        "components {sum} + unexplained {unexplained_bytes} is not delta {delta}"
    );
    for part in components {
        let sum = caused(causes, &part.name, |_| true);
        ensure!(
            sum + part.unattributed_bytes == part.delta_bytes,
            "causes {sum} + unattributed {} is not {part:?}",
            part.unattributed_bytes
        );
    }
    Ok(())
}

fn component(components: &[Component], name: &str) -> Option<i64> {
    Some(components.iter().find(|c| c.name == name)?.delta_bytes)
}

fn caused(causes: &[Cause], component: &str, which: impl Fn(&Cause) -> bool) -> i64 {
    causes
        .iter()
        .filter(|cause| cause.component == component && which(cause))
        .map(|cause| cause.bytes)
        .sum()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An answer as the schema documents it: 100 pages of one file, read by one process.
    fn composed() -> Value {
        json!({
            "schema_version": 1,
            "working_set": {"before_bytes": 1000, "after_bytes": 411_600, "delta_bytes": 410_600},
            "components": [
                {"name": "active_file", "delta_bytes": 409_600, "unattributed_bytes": 0},
                {"name": "slab_reclaimable", "delta_bytes": 500, "unattributed_bytes": 500},
                {"name": "kernel_stack", "delta_bytes": 400, "unattributed_bytes": 400},
            ],
            "causes": [{
                "component": "active_file", "kind": "second_access", "bytes": 409_600,
                "file": {"path": "/data/t.log", "fs_path": "/t.log", "fstype": "ext4", "inode": 7},
                "task": {"pid": 4711, "comm": "cat", "certain": true},
                "charged_cgroup": "/a",
            }],
            "unexplained_bytes": 100,
            "error_bound_bytes": 4096,
            "verdict": "Working set +401.0 KiB.",
            "phases": [],
            "reclaim": {"passes": 0},
            "trust": {
                "events_lost": 0, "hooks_missing": [], "pages_produced": 100, "pages_seen": 100,
                "pages_lost": 0, "warnings": [], "signals": [],
                "hooks": [{
                    "hook": "lru_activate", "pages_produced": 100, "pages_lost": 0,
                    "records_sent": 3, "records_lost": 0, "recursion_misses": 0,
                }],
            },
        })
    }

    fn parsed(value: &Value) -> Answer {
        Answer::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_good_answer_passes() {
        let answer = parsed(&composed());
        answer.check_sums().unwrap();
        answer.check_conservation().unwrap();
        answer.check_no_loss(false).unwrap();
        assert_eq!(answer.kernel_bytes(), 900);
        let right = |cause: &Cause| cause.is_of(Path::new("/data/t.log"), 7) && cause.is_by(4711);
        assert_eq!(answer.caused("active_file", right), 409_600);
    }

    #[test]
    fn another_path_inode_or_pid_gets_no_credit() {
        let answer = parsed(&composed());
        let t = Path::new("/data/t.log");
        assert_eq!(answer.caused("active_file", |cause| cause.is_of(t, 8)), 0);
        let other = Path::new("/t.log");
        assert_eq!(
            answer.caused("active_file", |cause| cause.is_of(other, 7)),
            0
        );
        assert_eq!(answer.caused("active_file", |cause| cause.is_by(1)), 0);
        assert_eq!(answer.caused("anon", |_| true), 0);
    }

    #[test]
    fn sums_that_do_not_add_up_are_found() {
        for (key, value) in [("unexplained_bytes", 99), ("unexplained_bytes", -100)] {
            let mut wrong = composed();
            wrong[key] = value.into();
            assert!(parsed(&wrong).check_sums().is_err());
        }
        let mut wrong = composed();
        wrong["working_set"]["delta_bytes"] = 1.into();
        assert!(parsed(&wrong).check_sums().is_err());
        let mut wrong = composed();
        wrong["components"][0]["unattributed_bytes"] = 1.into();
        assert!(parsed(&wrong).check_sums().is_err());
    }

    #[test]
    fn a_page_that_vanished_is_found() {
        let mut wrong = composed();
        wrong["trust"]["pages_seen"] = 99.into();
        assert!(parsed(&wrong).check_conservation().is_err());
        wrong["trust"]["pages_lost"] = 1.into();
        parsed(&wrong).check_conservation().unwrap();
        assert!(parsed(&wrong).check_no_loss(true).is_err());
    }

    #[test]
    fn skipped_hooks_are_a_loss_where_the_kernel_need_not_skip() {
        let mut skipped = composed();
        skipped["trust"]["hooks"][0]["recursion_misses"] = 2.into();
        assert!(
            parsed(&skipped).check_no_loss(true).is_err(),
            "not in events_lost"
        );
        skipped["trust"]["events_lost"] = 2.into();
        parsed(&skipped).check_no_loss(true).unwrap();
        assert!(parsed(&skipped).check_no_loss(false).is_err());
    }

    #[test]
    fn a_missing_key_is_no_answer() {
        let mut short = composed();
        short
            .as_object_mut()
            .unwrap()
            .remove("error_bound_bytes")
            .unwrap();
        assert!(Answer::parse(short.to_string().as_bytes()).is_err());
    }
}
