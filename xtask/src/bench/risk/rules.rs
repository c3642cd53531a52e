//! What is asked of Prometheus: the shipped alert rules, and the baselines beside them.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::workspace;

/// The shipped rules, and the group of them that is about risks.
const SHIPPED: &str = "deploy/prometheus/memtrace.rules.yml";
const GROUP: &str = "memtrace-risk";

/// Whom an alert is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// People, a quarter of an hour ahead.
    Page,
    /// Automation, a minute ahead.
    Automation,
}

/// An alert.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// What is evaluated: it is active where there is a result.
    pub expr: String,
    /// How long it has to be active until it fires, seconds.
    pub for_s: u64,
    /// For whom.
    pub severity: Severity,
}

#[derive(Deserialize)]
struct File {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    rules: Vec<Shipped>,
}

#[derive(Deserialize)]
struct Shipped {
    alert: String,
    expr: String,
    #[serde(default, rename = "for")]
    wait: Option<String>,
    labels: Labels,
}

#[derive(Deserialize)]
struct Labels {
    severity: String,
}

/// The shipped ones.
pub fn shipped() -> Result<Vec<Rule>> {
    let path = workspace::root().join(SHIPPED);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    rules(&text).with_context(|| format!("read {}", path.display()))
}

fn rules(text: &str) -> Result<Vec<Rule>> {
    let file: File = serde_saphyr::from_str(text)?;
    let group = file.groups.into_iter().find(|group| group.name == GROUP);
    let shipped = group
        .with_context(|| format!("there is no group {GROUP}"))?
        .rules;
    let rule = |shipped: Shipped| -> Result<Rule> {
        let severity = match shipped.labels.severity.as_str() {
            "page" => Severity::Page,
            "automation" => Severity::Automation,
            other => anyhow::bail!("{}: severity {other}", shipped.alert),
        };
        let wait = shipped.wait.as_deref().unwrap_or("0s");
        Ok(Rule {
            for_s: seconds(wait).with_context(|| format!("{}: for: {wait}", shipped.alert))?,
            name: shipped.alert,
            expr: shipped.expr,
            severity,
        })
    };
    let rules = shipped.into_iter().map(rule).collect::<Result<Vec<_>>>()?;
    ensure!(!rules.is_empty(), "the group {GROUP} is empty");
    let other = families(&rules)
        .into_iter()
        .find(|name| !name.ends_with("_ratio"));
    ensure!(
        other.is_none(),
        "{other:?} is no risk: the replay renders when a risk changes"
    );
    Ok(rules)
}

/// `2m`, `30s`, `1h`: the rules use one unit at a time.
fn seconds(text: &str) -> Result<u64> {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let scale = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => anyhow::bail!("no unit that is known here"),
    };
    Ok(number.parse::<u64>()? * scale)
}

/// What people page on today, with the same patience as the shipped rules.
pub fn baselines() -> Vec<Rule> {
    const WORKING_SET: &str = "container_memory_working_set_bytes";
    const LIMIT: &str = "container_spec_memory_limit_bytes";
    let over = |what: &str| format!("{what} / {LIMIT} > 0.9");
    let forecast = |window: &str, seconds: u64| {
        format!("predict_linear({WORKING_SET}[{window}], {seconds}) > {LIMIT}")
    };
    let thresholds = [
        ("working_set/limit > 0.9", over(WORKING_SET)),
        ("rss/limit > 0.9", over("container_memory_rss")),
        (
            "(working_set - active_file)/limit > 0.9",
            over(&format!(
                "({WORKING_SET} - container_memory_active_file_bytes)"
            )),
        ),
    ];
    let rule = |severity, for_s| {
        move |(name, expr): (&str, String)| Rule {
            name: name.to_owned(),
            expr,
            for_s,
            severity,
        }
    };
    let page = [(
        "predict_linear(working_set[15m], 15m) > limit",
        forecast("15m", 900),
    )];
    let act = [(
        "predict_linear(working_set[2m], 1m) > limit",
        forecast("2m", 60),
    )];
    let pages = thresholds.clone().into_iter().chain(page);
    let acts = thresholds.into_iter().chain(act);
    pages
        .map(rule(Severity::Page, 120))
        .chain(acts.map(rule(Severity::Automation, 0)))
        .collect()
}

/// The families of metrics that rules ask for.
pub fn families(rules: &[Rule]) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = rules
        .iter()
        .flat_map(|rule| rule.expr.split(move |c| !is_part(c)));
    words.filter(|word| word.starts_with("memtrace_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rules_are_read() {
        let rules = shipped().unwrap();
        let container = rules
            .iter()
            .find(|rule| rule.name == "MemtraceContainerOomSoon");
        let container = container.unwrap();
        assert_eq!((container.for_s, container.severity), (120, Severity::Page));
        assert!(families(&rules).contains("memtrace_container_oom_risk_ratio"));
        assert!(
            rules
                .iter()
                .any(|rule| rule.severity == Severity::Automation)
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(rules("groups: []").is_err());
        let odd = "groups: [{name: memtrace-risk, rules: [{alert: A, expr: x, for: 1d, labels: {severity: page}}]}]";
        assert!(format!("{:#}", rules(odd).unwrap_err()).contains("for: 1d"));
        assert!(rules(&odd.replace("for: 1d", "for: 1m").replace("page", "mail")).is_err());
    }
}
