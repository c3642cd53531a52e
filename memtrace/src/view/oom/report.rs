//! A kill as the agent keeps it: with names, and also where next to nothing is known.

use serde_json::{Value, json};

use super::kill;
use crate::{
    identity::{Name, Qos},
    input::OomWatchFacts,
    model::{
        oom::{Fate, KillStory},
        words::escaped,
    },
    store::Report,
    view::time::rfc3339,
};

/// Who is meant, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Who<'a> {
    /// The victim's cgroup.
    pub victim: Option<&'a Name>,
    /// The cgroup whose limit was reached.
    pub limit: Option<&'a Name>,
    /// Name of the node.
    pub node: &'a str,
}

/// Of a kill that was seen.
pub fn complete(story: &KillStory, facts: &OomWatchFacts, who: &Who<'_>) -> Report {
    let mut report = kill::value(story, facts);
    if let Value::Object(object) = &mut report {
        // The kernel does not count one that was dying already.
        let kills = match story.fate {
            Fate::WasDying => 0,
            Fate::Chosen | Fate::Unknown => 1 + story.report.also_killed.len(),
        };
        object.extend(head(who, true, kills));
    }
    let line = headline(who);
    Report {
        id: 0,
        json: report,
        text: format!("{line}\n{}\n", kill::text(story, facts).trim_end()),
    }
}

/// Kills that the kernel counted and nobody told of.
#[derive(Clone, Copy, Debug)]
pub struct Uncounted<'a> {
    /// When it was noticed, ns since 1970.
    pub noticed_unix_ns: u64,
    /// How many.
    pub kills: u64,
    /// Path of the cgroup whose counter shows them; `None` if only the machine's does: the cgroup is
    /// gone.
    pub path: Option<&'a str>,
    /// They happened before the agent ran.
    pub before_start: bool,
}

/// Of kills that were not seen.
pub fn incomplete(kills: &Uncounted<'_>, who: &Who<'_>) -> Report {
    let mut report = json!({
        "schema_version": 1,
        "noticed": rfc3339(kills.noticed_unix_ns),
        "before_start": kills.before_start,
        "counted_in": kills.path,
    });
    if let Value::Object(object) = &mut report {
        object.extend(head(who, false, kills.kills as usize));
    }
    let place = match kills.path {
        Some(path) => escaped(path),
        None => "a cgroup that is gone, or in none that is watched".to_owned(),
    };
    let why = match kills.before_start {
        true => "while no agent ran",
        false => "and neither a hook nor the kernel log told of it",
    };
    let processes = match kills.kills {
        1 => "1 process was killed".to_owned(),
        many => format!("{many} processes were killed"),
    };
    Report {
        id: 0,
        json: report,
        text: format!(
            "{}\nINCOMPLETE  noticed {}\nVERDICT  {processes} in {place}, {why}.\n\
             TRUST    from the kernel's counters alone: who, why and when is not known\n",
            headline(who),
            rfc3339(kills.noticed_unix_ns),
        ),
    }
}

fn head(who: &Who<'_>, complete: bool, kills: usize) -> [(String, Value); 6] {
    [
        ("command", json!("oom report")),
        ("complete", json!(complete)),
        ("kills", json!(kills)),
        ("node", json!(who.node)),
        ("victim_name", who.victim.map_or(Value::Null, name)),
        ("limit_name", who.limit.map_or(Value::Null, name)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
}

fn name(name: &Name) -> Value {
    json!({
        "namespace": name.namespace,
        "pod": name.pod,
        "container": name.container,
        "pod_uid": name.pod_uid,
        "qos": name.qos.map(qos),
        "container_id": name.container_id,
        "runtime": name.runtime.map(|runtime| runtime.id()),
        "restarts": name.restarts,
        "unit": name.unit,
    })
}

fn qos(qos: Qos) -> &'static str {
    match qos {
        Qos::Guaranteed => "Guaranteed",
        Qos::Burstable => "Burstable",
        Qos::BestEffort => "BestEffort",
    }
}

/// `shop/web-0/app  restart 3  Burstable  id 9c41…  node-17`
fn headline(who: &Who<'_>) -> String {
    let mut parts = Vec::new();
    match who.victim {
        None => parts.push("(no name)".to_owned()),
        Some(name) => {
            let short = name.short().map(|short| escaped(&short));
            parts.push(short.unwrap_or_else(|| "(no name)".to_owned()));
            parts.extend(name.restarts.map(|restarts| format!("restart {restarts}")));
            parts.extend(name.qos.map(|class| qos(class).to_owned()));
            let id = name
                .container_id
                .as_deref()
                .filter(|_| name.container.is_some());
            parts.extend(id.map(|id| format!("id {}", id.chars().take(12).collect::<String>())));
        }
    }
    parts.push(escaped(who.node));
    parts.join("  ")
}
