//! What alerts were worth: kills told before they happened, and pages that nothing came of.

use std::collections::BTreeMap;

use super::prometheus::Episode;
use super::replay::{DAY_S, Domain, Kill};
use super::rules::{Rule, Severity};
use super::workload::{Life, Workload};

/// A firing is right if a kill follows while it fires, or within this time: by the limit of its
/// domain, or, of a container, by its pod's, which may come first.
const FOLLOWS_S: u32 = 1_800;
/// One whose kill came while it was pending is late, not false; the last scrape stands for so long.
const LATE_S: u32 = 30;
/// And a kill was told of if its page began within this time.
const TOLD_S: u32 = 86_400;
/// Growth that took longer is to be told to people, and to automation: seconds.
pub const SLOW_S: u32 = 900;
/// See [`SLOW_S`].
pub const FAST_S: u32 = 20;

/// An alert's times of firing.
pub struct Fired<'a> {
    /// The alert.
    pub rule: &'a Rule,
    /// By domain and time.
    pub episodes: Vec<Episode>,
}

/// What one alert, or several together, did over the days of a set.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Times of firing.
    pub fired: usize,
    /// Those that no kill followed, by workload.
    pub wrong: BTreeMap<String, usize>,
    /// Those, in words: how long each fired, and how long after it began the next kill came.
    pub told: Vec<String>,
    /// Apart from them, those of workloads whose limit was raised in time.
    pub averted: usize,
    /// And those of the day's last half hour: what followed, nobody replayed.
    pub undecided: usize,
    /// Of each kill, in order: seconds from the first firing to it; `None` if nothing had fired.
    pub leads: Vec<Option<u32>>,
}

impl Score {
    /// Firings that nothing came of, but for the averted ones.
    pub fn false_firings(&self) -> usize {
        self.wrong.values().sum()
    }
}

/// How alerts of one severity did. An episode is judged if `counts` says so of its node, by number.
pub fn score(
    fired: &[&Fired<'_>],
    kills: &[Kill],
    workloads: &[&Workload],
    counts: impl Fn(usize) -> bool,
) -> Score {
    let mut score = Score::default();
    let mut leads: Vec<Option<u32>> = vec![None; kills.len()];
    let mut by_domain: BTreeMap<&Domain, Vec<usize>> = BTreeMap::new();
    for (number, kill) in kills.iter().enumerate() {
        by_domain.entry(&kill.domain).or_default().push(number);
    }
    let episodes = fired.iter().flat_map(|fired| {
        let late_s = fired.rule.for_s as u32 + LATE_S;
        fired.episodes.iter().map(move |episode| (episode, late_s))
    });
    for (episode, late_s) in episodes {
        let domain = domain(&episode.labels);
        let of_it = domain.as_ref().and_then(|domain| by_domain.get(domain));
        let until = episode.resolved.max(episode.fired + FOLLOWS_S);
        let pod = match &domain {
            Some(Domain::Container(pod, _)) => by_domain.get(&Domain::Pod(pod.clone())),
            _ => None,
        };
        let since = episode.fired.saturating_sub(late_s);
        let follows = |number: &usize| (since..=until).contains(&kills[*number].second);
        let right = [of_it, pod].into_iter().flatten().flatten().any(follows);
        let mut before = 0;
        for number in of_it.into_iter().flatten() {
            let second = kills[*number].second;
            // A firing tells of the next kill only.
            let tells = episode.fired <= second
                && episode.fired >= before
                && episode.resolved + FOLLOWS_S >= second
                && second - episode.fired <= TOLD_S;
            // One that was on already when the domain was killed before goes on from there.
            let goes_on = episode.fired < before && episode.resolved >= second;
            if tells || goes_on {
                let lead = second - episode.fired.max(before);
                let known = leads[*number].get_or_insert(lead);
                *known = lead.max(*known);
            }
            before = second + 1;
        }
        let Some(node) = node(&episode.labels).filter(|node| counts(*node)) else {
            continue;
        };
        score.fired += 1;
        if right {
            continue;
        }
        if episode.fired + FOLLOWS_S >= DAY_S {
            score.undecided += 1;
            continue;
        }
        let name = workload(&episode.labels, domain.as_ref(), kills, node, workloads);
        match workloads.iter().find(|one| one.name == name) {
            Some(one) if one.life == Life::Averted => score.averted += 1,
            _ => {
                let seconds = of_it
                    .into_iter()
                    .flatten()
                    .map(|number| kills[*number].second);
                let next = seconds.filter(|second| *second > episode.fired).min();
                let next = next.map_or("no kill".to_owned(), |second| {
                    format!("a kill {} s after it began", second - episode.fired)
                });
                let lasted = episode.resolved - episode.fired;
                let on = match &domain {
                    Some(Domain::Container(..)) => "a container",
                    Some(Domain::Pod(_)) => "a pod",
                    Some(Domain::Unit(..)) => "a unit",
                    None => "the machine",
                };
                score.told.push(format!(
                    "{name}, node {node}, {on}: fired at {} s for {lasted} s, {next}",
                    episode.fired
                ));
                *score.wrong.entry(name).or_default() += 1;
            }
        }
    }
    score.leads = leads;
    score
}

/// Whether a kill is one that this severity has to tell of.
pub fn is_due(kill: &Kill, severity: Severity) -> bool {
    match severity {
        Severity::Page => kill.grew_s > SLOW_S,
        Severity::Automation => kill.grew_s >= FAST_S,
    }
}

/// What an alert is about; `None` if it is the machine.
fn domain(labels: &BTreeMap<String, String>) -> Option<Domain> {
    let label = |name: &str| labels.get(name).filter(|value| !value.is_empty()).cloned();
    match (label("pod"), label("container"), label("unit")) {
        (Some(pod), Some(container), _) => Some(Domain::Container(pod, container)),
        (Some(pod), None, _) => Some(Domain::Pod(pod)),
        (None, None, Some(unit)) => Some(Domain::Unit(node(labels)?, unit)),
        _ => None,
    }
}

/// Number of the node: pods are named by it, `n17-t0-pod`.
fn node(labels: &BTreeMap<String, String>) -> Option<usize> {
    let pod = labels.get("pod").and_then(|pod| pod.split('-').next());
    let name = pod.filter(|name| !name.is_empty());
    let name = name.or_else(|| labels.get("instance").map(String::as_str))?;
    name.strip_prefix('n')?.parse().ok()
}

/// The workload that an alert is about.
fn workload(
    labels: &BTreeMap<String, String>,
    domain: Option<&Domain>,
    kills: &[Kill],
    node: usize,
    workloads: &[&Workload],
) -> String {
    let namespace = labels.get("namespace").map(String::as_str);
    if let Some(known) = workloads.iter().find(|one| Some(one.name) == namespace) {
        return known.name.to_owned();
    }
    let on_node = kills.iter().find(|kill| kill.node == node);
    match (domain, on_node) {
        (Some(Domain::Unit(..)), Some(kill)) => kill.workload.to_owned(),
        _ => "the machine".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill(second: u32) -> Kill {
        Kill {
            second,
            node: 3,
            workload: "leak",
            stretch: 1,
            grew_s: 1_000,
            domain: Domain::Container("n3-t0-pod".to_owned(), "app".to_owned()),
            minute_lead_s: None,
        }
    }

    fn episode(pod: &str, fired: u32, resolved: u32) -> Episode {
        let labels = [("namespace", "leak"), ("pod", pod), ("container", "app")];
        Episode {
            labels: labels
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            fired,
            resolved,
        }
    }

    #[test]
    fn a_page_is_right_if_its_kill_follows() {
        let rule = Rule {
            name: String::new(),
            expr: String::new(),
            for_s: 0,
            severity: Severity::Page,
        };
        let fired = Fired {
            rule: &rule,
            episodes: vec![
                episode("n3-t0-pod", 100, 200),
                episode("n3-t0-pod", 9_000, 9_500),
                episode("n3-t0-pod", 19_000, 19_060),
                episode("n4-t0-pod", 9_000, 9_500),
                // Half an hour after these began the day was over.
                episode("n3-t0-pod", 85_000, 85_200),
                episode("n4-t0-pod", 86_000, 86_400),
                // This one had its half hour, however long it fired.
                episode("n4-t0-pod", 40_000, 86_400),
            ],
        };
        let kills = [kill(1_000), kill(9_400), kill(30_000)];
        let all = score(&[&fired], &kills, &[], |_| true);
        assert_eq!(all.leads, [Some(900), Some(400), None]);
        assert_eq!((all.fired, all.false_firings()), (7, 3));
        assert_eq!(all.undecided, 2);
        let one = score(&[&fired], &kills, &[], |node| node == 3);
        assert_eq!((one.fired, one.false_firings()), (4, 1));
    }
}
