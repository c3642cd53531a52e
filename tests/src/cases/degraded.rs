//! V4: hooks that are refused, privileges that are short, switches that disturb. Each run answers
//! what it can and says what it lacks.

use std::{collections::BTreeSet, fs, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, ensure};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
};
use serde::Deserialize;
use serde_json::Value;

use super::room::{Room, text};
use crate::{
    answer::Answer,
    cgroup::Version,
    host::Host,
    process,
    session::{Explained, explain_command_with},
    suite::Outcome,
};

const SWITCH: &str = "--without-hook";

#[derive(Deserialize)]
struct Doctor {
    hooks: Vec<Signal>,
}

#[derive(Deserialize)]
struct Signal {
    attached: Option<String>,
}

/// A little of everything that memtrace explains: page cache read twice, and one process.
fn work(room: &Room<'_>) -> anyhow::Result<Command> {
    let file = text(&room.folder().join("data"))?.to_owned();
    let hog = room.host.hog.display();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!(
        "set -e; {hog} write {file} 4194304; {hog} reread {file} 2; {hog} anon 4194304"
    ));
    Ok(command)
}

/// Answers with these options; the ledger holds, whatever the hooks say.
fn answer(host: &Host, room: &Room<'_>, options: &[&str]) -> anyhow::Result<Explained> {
    explain_command_with(host, room.folder(), options, &work(room)?, 0)
}

fn doctor(host: &Host, options: &[&str]) -> anyhow::Result<Doctor> {
    let mut command = process::command(&host.memtrace, ["doctor", "-o", "json"]);
    command.args(options);
    let finished = process::run(command)?;
    ensure!(finished.status.success(), "doctor: {finished:?}");
    serde_json::from_slice(&finished.stdout).context("what doctor printed")
}

/// The hooks in use; a signal may need several, told as `one + other`.
fn in_use(host: &Host, options: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let signals = doctor(host, options)?.hooks;
    let attached = signals.iter().filter_map(|s| s.attached.as_deref());
    Ok(attached
        .flat_map(|hooks| hooks.split(" + "))
        .map(str::to_owned)
        .collect())
}

/// Each hook that is in use is refused, one at a time.
pub(super) fn each_hook_refused(host: &Host) -> anyhow::Result<Outcome> {
    if host.is_emulated() && (host.multi_gen_lru || host.hierarchy.version == Version::V1) {
        return Ok(Outcome::Skipped(
            "a kernel has the same hooks in all its guests; the one with the classic LRU on cgroup \
             v2 refuses each"
                .to_owned(),
        ));
    }
    let room = Room::new(host)?;
    let hooks = in_use(host, &[])?;
    ensure!(!hooks.is_empty(), "doctor shows no hook in use");
    let whole = answer(host, &room, &[])?.answer;
    let of_explain: Vec<_> = (whole.trust.signals.iter())
        .filter_map(|signal| signal.attached.as_deref())
        .flat_map(|rung| rung.split(" + "))
        .collect();
    let mut figures = Vec::new();
    for hook in &hooks {
        // Only `--exact` and `oom watch` use these, which are cases of their own.
        if !of_explain.contains(&hook.as_str()) {
            let left = in_use(host, &[SWITCH, hook])?;
            ensure!(!left.contains(hook), "doctor still uses {hook}");
            figures.push(format!("{hook}: off for doctor"));
            continue;
        }
        let explained = answer(host, &room, &[SWITCH, hook]).with_context(|| hook.clone())?;
        let off = is_off(&explained.answer, hook).with_context(|| format!("without {hook}"))?;
        figures.push(format!("{hook}: {off}"));
    }
    Ok(Outcome::Passed(figures.join("; ")))
}

/// The signals that used this hook say that it is off, and why; what is lost by it is a warning.
fn is_off(answer: &Answer, hook: &str) -> anyhow::Result<String> {
    let mut said = Vec::new();
    for signal in &answer.trust.signals {
        let uses = |hooks: &str| hooks.split(" + ").any(|one| one == hook);
        let refused = signal.refused.iter().find(|refused| uses(&refused.hook));
        ensure!(
            !signal.attached.as_deref().is_some_and(uses),
            "{} still uses it",
            signal.signal
        );
        let Some(refused) = refused else { continue };
        ensure!(
            refused.reason.contains(SWITCH),
            "{}: {}",
            signal.signal,
            refused.reason
        );
        let missing = answer
            .trust
            .hooks_missing
            .contains(&signal.signal.clone().into());
        let warned = |id: &str| {
            (answer.trust.warnings.iter()).any(|warning| {
                let message = warning["message"].as_str().unwrap_or_default();
                warning["id"] == id && message.contains(&format!("for {}:", signal.signal))
            })
        };
        match &signal.attached {
            Some(lower) => {
                ensure!(warned("hook_degraded"), "no warning on {}", signal.signal);
                said.push(format!("{} by {lower}", signal.signal));
            }
            None if signal.optional => {
                ensure!(!missing, "{} is optional", signal.signal);
                said.push(format!("no {}", signal.signal));
            }
            None => {
                ensure!(
                    missing && warned("hook_missing"),
                    "no warning on {}: {:?}",
                    signal.signal,
                    answer.trust.warnings
                );
                said.push(format!("no {}, said", signal.signal));
            }
        }
    }
    ensure!(!said.is_empty(), "no signal says that it is off");
    Ok(said.join(", "))
}

/// Every hook that memtrace knows: it lists them when it is asked to leave out one that it does not.
fn every_hook(host: &Host) -> anyhow::Result<Vec<String>> {
    let command = process::command(&host.memtrace, ["doctor", SWITCH, "no-such-hook"]);
    let said = process::run(command)?.stderr;
    let list = said.split_once("there are ").map(|(_, list)| list);
    let list = list.and_then(|list| list.lines().next());
    let hooks = list.with_context(|| format!("no list of hooks in {said:?}"))?;
    Ok(hooks.split(", ").map(str::to_owned).collect())
}

/// No hook at all: the ledger from the cgroup's files is the answer, and nobody is blamed.
pub(super) fn no_hook(host: &Host) -> anyhow::Result<Outcome> {
    let room = Room::new(host)?;
    let options: Vec<String> = (every_hook(host)?.into_iter())
        .flat_map(|hook| [SWITCH.to_owned(), hook])
        .collect();
    let given: Vec<&str> = options.iter().map(String::as_str).collect();
    let explained = answer(host, &room, &given)?;
    let figures = from_files_only(&explained.answer)?;
    Ok(Outcome::Passed(format!(
        "{} hooks off, {figures}, {}",
        options.len() / 2,
        explained.figures()
    )))
}

/// The answer has no cause that only a hook could know, and says which hooks are missing.
fn from_files_only(answer: &Answer) -> anyhow::Result<String> {
    let needed: BTreeSet<&str> = (answer.trust.signals.iter())
        .filter(|signal| !signal.optional)
        .map(|signal| signal.signal.as_str())
        .collect();
    let missing: BTreeSet<&str> = (answer.trust.hooks_missing.iter())
        .filter_map(Value::as_str)
        .collect();
    ensure!(missing == needed, "{missing:?} missing, but {needed:?} off");
    ensure!(
        answer.trust.pages_produced == 0,
        "{} pages from no hook",
        answer.trust.pages_produced
    );
    let invented: Vec<_> = (answer.causes.iter())
        .filter(|cause| ["active_file", "shmem"].contains(&cause.component.as_str()))
        .filter(|cause| cause.kind != "deactivated")
        .collect();
    ensure!(invented.is_empty(), "causes from no hook: {invented:?}");
    Ok(format!("{} signals missing, said", missing.len()))
}

/// root with a few capabilities only, as in a container.
struct Privileges {
    name: &'static str,
    capabilities: CapabilitySet,
}

/// With CAP_BPF alone programs are refused, and the files answer; with CAP_PERFMON too all is on.
pub(super) fn few_capabilities(host: &Host) -> anyhow::Result<Outcome> {
    // Kernels before 5.11 count maps against a limit that only CAP_SYS_RESOURCE may raise.
    // Where the suite itself has not got that one (a container), it cannot be given.
    let own = rustix::thread::capabilities(None).context("own capabilities")?;
    let base = (CapabilitySet::BPF | CapabilitySet::SYS_RESOURCE) & own.permitted;
    let alone = Privileges {
        name: "CAP_BPF",
        capabilities: base,
    };
    let both = Privileges {
        name: "CAP_BPF and CAP_PERFMON",
        capabilities: base | CapabilitySet::PERFMON,
    };
    let room = Room::new(host)?;
    let blind = alone.answer(&room)?;
    let without = from_files_only(&blind).context(alone.name)?;
    let lacks = (blind.trust.signals.iter())
        .flat_map(|signal| &signal.refused)
        .filter(|refused| {
            let absent = ["does not have", "has no kprobes"];
            !absent.iter().any(|word| refused.reason.contains(word))
        })
        .all(|refused| refused.reason.contains("CAP_PERFMON"));
    ensure!(lacks, "no word on CAP_PERFMON: {:?}", blind.trust.signals);

    let seeing = both.answer(&room)?;
    let all: BTreeSet<String> = attached(&seeing);
    let as_root = attached(&answer(host, &room, &[])?.answer);
    ensure!(
        all == as_root,
        "{}: on are {all:?}, for root {as_root:?}: {:?}",
        both.name,
        seeing.trust.signals
    );
    Ok(Outcome::Passed(format!(
        "{}: {without}; {}: all {} signals",
        alone.name,
        both.name,
        all.len()
    )))
}

fn attached(answer: &Answer) -> BTreeSet<String> {
    (answer.trust.signals.iter())
        .filter(|signal| signal.attached.is_some())
        .map(|signal| signal.signal.clone())
        .collect()
}

impl Privileges {
    /// An answer on the room's cgroup with these privileges.
    fn answer(&self, room: &Room<'_>) -> anyhow::Result<Answer> {
        let target = text(&room.cgroup.path)?;
        let arguments = ["explain", "-v", "-o", "json", target, "--for", "600s"];
        let mut command = process::command(&room.host.memtrace, arguments);
        self.limit(&mut command);
        let mut running = process::Running::start(&mut command)?;
        running.wait_for_stderr("attached")?;
        room.write_and_read("data", 4 << 20)?;
        running.signal(rustix::process::Signal::INT)?;
        let finished = running.wait()?;
        ensure!(
            finished.status.success() && !finished.stderr.contains("panicked"),
            "with {}: {}: {}",
            self.name,
            finished.status,
            finished.stderr
        );
        let answer = Answer::parse(&finished.stdout)?;
        answer.check_sums()?;
        answer.check_conservation()?;
        Ok(answer)
    }

    /// Root's program gets what the bounding set leaves (capabilities(7)).
    fn limit(&self, command: &mut Command) {
        let kept = self.capabilities;
        // SAFETY: the closure makes system calls only, all of them async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                for capability in CapabilitySet::all().difference(kept).iter() {
                    // Newer than this kernel: not in the set either.
                    let _ = remove_capability_from_bounding_set(capability);
                }
                let nothing = CapabilitySet::empty();
                set_capabilities(
                    None,
                    CapabilitySets {
                        effective: kept,
                        permitted: kept,
                        inheritable: nothing,
                    },
                )?;
                Ok(())
            });
        }
    }
}

/// The kernel times every program (kernel.bpf_stats_enabled): nothing else changes.
pub(super) fn bpf_stats_enabled(host: &Host) -> anyhow::Result<Outcome> {
    let stats = Sysctl::set("/proc/sys/kernel/bpf_stats_enabled", "1")?;
    let room = Room::new(host)?;
    let explained = answer(host, &room, &[])?;
    drop(stats);
    Ok(Outcome::Passed(explained.figures()))
}

/// A kernel setting, put back when dropped.
struct Sysctl {
    path: &'static str,
    before: String,
}

impl Sysctl {
    fn set(path: &'static str, value: &str) -> anyhow::Result<Self> {
        let before = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
        fs::write(path, value).with_context(|| format!("writing {path}"))?;
        Ok(Self { path, before })
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        if let Err(error) = fs::write(self.path, &self.before) {
            eprintln!("putting {} back: {error}", self.path);
        }
    }
}

/// `lockdown=confidentiality` forbids programs to read kernel memory by address: whose page it is
/// cannot be told then, and the answer says so.
pub(super) fn locked_down(host: &Host) -> anyhow::Result<Outcome> {
    if !host.is_locked_down() {
        return Ok(Outcome::Skipped(
            "lockdown is not in its mode \"confidentiality\"; the ladder boots a guest that is"
                .to_owned(),
        ));
    }
    let room = Room::new(host)?;
    let explained = answer(host, &room, &[])?;
    let answer = &explained.answer;
    ensure!(
        answer.warns("locked_down"),
        "no word on the lockdown: {:?}",
        answer.trust.warnings
    );
    let on = attached(answer);
    ensure!(
        on.contains("activation") && on.contains("cache add"),
        "only {on:?} are on: {:?}",
        answer.trust.signals
    );
    let grown = answer.component("anon").context("no component anon")?;
    Ok(Outcome::Passed(format!(
        "{} signals on, anon {grown:+}, {}",
        on.len(),
        explained.figures()
    )))
}
