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
    pub delta_bytes: Option<i64>,
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
    pub warnings: Vec<serde_json::Value>,
}

/// One hook's counters.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "named as in the schema")]
pub struct Hook {
    pub hook: String,
    pub pages_produced: u64,
    pub records_sent: u64,
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
            .filter_map(|component| component.delta_bytes)
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

    /// The sums add up within themselves: after - before = delta = components + unexplained.
    pub fn check_sums(&self) -> anyhow::Result<()> {
        let set = &self.working_set;
        let delta = set.after_bytes as i64 - set.before_bytes as i64;
        ensure!(
            delta == set.delta_bytes,
            "working_set: after - before is {delta}, delta_bytes {}",
            set.delta_bytes
        );
        let components: i64 = self.components.iter().filter_map(|c| c.delta_bytes).sum();
        ensure!(
            components + self.unexplained_bytes == delta,
            "components {components} + unexplained {} is not delta {delta}",
            self.unexplained_bytes
        );
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

fn component(components: &[Component], name: &str) -> Option<i64> {
    components.iter().find(|c| c.name == name)?.delta_bytes
}

fn caused(causes: &[Cause], component: &str, which: impl Fn(&Cause) -> bool) -> i64 {
    causes
        .iter()
        .filter(|cause| cause.component == component && which(cause))
        .map(|cause| cause.bytes)
        .sum()
}
