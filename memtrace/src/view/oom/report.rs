//! A kill as the agent keeps it: with names, and also where next to nothing is known.

use serde_json::{Value, json};

use super::{
    advice::{self, Circumstances},
    kill::{self, Rows},
};
use crate::{
    identity::{Name, Qos},
    input::OomWatchFacts,
    model::{
        oom::{Fate, Growth, KillStory},
        words::escaped,
    },
    store::Report,
    view::time::{rfc3339, seconds},
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

/// Lines that a report has at most: it is read on a screen, at night.
const MAX_LINES: usize = 40;

/// Rows of what may be long, fewer and fewer until the report fits.
const ROWS: [Rows; 4] = [rows(12, 10), rows(8, 6), rows(5, 4), rows(3, 2)];

const fn rows(candidates: usize, parts: usize) -> Rows {
    Rows { candidates, parts }
}

/// Of a kill that was seen.
pub fn complete(
    story: &KillStory,
    facts: &OomWatchFacts,
    who: &Who<'_>,
    about: &Circumstances,
) -> Report {
    let mut report = kill::value(story, facts);
    if let Value::Object(object) = &mut report {
        // The kernel does not count one that was dying already.
        let kills = match story.fate {
            Fate::WasDying => 0,
            Fate::Chosen | Fate::Unknown => 1 + story.report.also_killed.len(),
        };
        object.extend(head(who, true, kills));
        object.extend(besides(story, who, about));
    }
    Report {
        id: 0,
        json: report,
        text: fitted(story, facts, who, about),
    }
}

/// Who is meant by a report, for comparing it with others.
pub fn known_as(story: &KillStory, who: &Who<'_>) -> Option<String> {
    who.victim
        .and_then(Name::short)
        .or_else(|| story.victim_path.clone())
}

fn fitted(
    story: &KillStory,
    facts: &OomWatchFacts,
    who: &Who<'_>,
    about: &Circumstances,
) -> String {
    let text = |rows: &Rows| {
        let mut lines = vec![headline(who)];
        let besides = advice::lines(story, about);
        lines.extend(kill::lines(story, facts, *rows, besides));
        lines
    };
    let mut texts = ROWS.iter().map(text);
    let fits = texts.find(|lines| lines.len() <= MAX_LINES);
    let mut lines = fits.unwrap_or_else(|| {
        // Paths of thousands of characters.
        let mut lines = ROWS.last().map(text).unwrap_or_default();
        lines.truncate(MAX_LINES - 1);
        lines.push("There is more: oom show ID -o json".to_owned());
        lines
    });
    lines.push(String::new());
    lines.join("\n")
}

fn besides(story: &KillStory, who: &Who<'_>, about: &Circumstances) -> [(String, Value); 7] {
    [
        ("who", json!(known_as(story, who))),
        ("grew", json!(Growth::of(story).map(|growth| growth.part))),
        (
            "risk_high_for_seconds",
            json!(about.risk_high_for_ns.map(seconds)),
        ),
        ("node_available_bytes", json!(about.available_bytes)),
        (
            "eviction_headroom_bytes",
            json!(about.eviction_headroom_bytes),
        ),
        ("earlier_kills", json!(about.earlier.kills)),
        ("earlier_kills_alike", json!(about.earlier.alike)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::oom::{
        Earlier,
        tests::recordings::{recordings, stories},
    };

    /// Everything there is to say.
    fn about() -> Circumstances {
        Circumstances {
            available_bytes: Some(11 << 30),
            eviction_headroom_bytes: Some(9 << 30),
            risk_high_for_ns: Some(542_000_000_000),
            earlier: Earlier { kills: 4, alike: 3 },
        }
    }

    #[test]
    fn no_report_is_longer_than_a_screen() {
        let mut told = 0;
        for path in recordings() {
            let (stories, facts) = stories(&path);
            for mut story in stories {
                told += 1;
                let who = Who {
                    node: "node-17",
                    ..Who::default()
                };
                let report = complete(&story, &facts, &who, &about());
                let lines: Vec<_> = report.text.lines().collect();
                assert!(lines.len() <= MAX_LINES, "{}", report.text);
                // Of the machine no part is told apart; and of two looks before the kill there may be
                // but one.
                let grew = report.json["grew"].is_string();
                let node = report.json["limit_owner"] == "node";
                let seen_once = report.json["window"].is_null();
                assert!(grew || node || seen_once, "{}", report.json);
                let mut labels = vec!["VERDICT ", "LIMIT ", "RISK ", "NODE ", "BEFORE ", "TRUST "];
                labels.extend((grew || node).then_some("DO "));
                for label in labels {
                    let has = lines.iter().any(|line| line.starts_with(label));
                    assert!(has, "{label}: {}", report.text);
                }
                assert!(
                    report
                        .text
                        .contains("4 kills of it within a day, 3 of them alike")
                );
                assert_eq!(report.json["earlier_kills"], 4);
                // Many candidates, and names that take many lines.
                let long = format!("/{}", "kubepods.slice/".repeat(12));
                story.victim_path = Some(long.clone());
                story.trigger_path = Some(long);
                let table = story.table.as_mut().unwrap();
                let row = table.rows[0].clone();
                table.rows.extend(vec![row; 100]);
                let report = complete(&story, &facts, &who, &about());
                let lines: Vec<_> = report.text.lines().collect();
                assert!(lines.len() <= MAX_LINES, "{}", report.text);
                assert!(report.text.contains(" more"), "{}", report.text);
                // Even this one.
                story.victim_path = Some("x y ".repeat(3_000));
                let report = complete(&story, &facts, &who, &about());
                assert_eq!(report.text.lines().count(), MAX_LINES);
            }
        }
        assert!(told >= 3, "{told}");
    }
}
