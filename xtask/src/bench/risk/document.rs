//! docs/BACKTEST.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::library::Library;
use super::replay::{Calibration, Kill, Replayed, SCRAPES_S, STRETCHES, TENTHS};
use super::rules::{Rule, Severity};
use super::score::{FAST_S, SLOW_S, Score, is_due};
use super::workload::{Life, Set};

/// False pages are told one by one, up to so many.
const TOLD: usize = 20;

/// All that was measured of one set.
pub struct Measured {
    /// Which.
    pub set: Set,
    /// What was lived.
    pub replayed: Replayed,
    /// By scrape: the shipped alerts for people, and for automation, each together.
    pub shipped: Vec<[Score; 2]>,
    /// By scrape: each baseline.
    pub baselines: Vec<Vec<(Rule, Score)>>,
}

/// The whole page.
pub fn page(library: &Library, measured: &[Measured], shipped: &[Rule]) -> String {
    let mut text = INTRODUCTION.to_owned();
    // Writing to a string cannot fail, so what `writeln!` says is of no interest.
    let _ = workloads(&mut text, library);
    for one in measured {
        let _ = set(&mut text, one);
    }
    let _ = calibration(&mut text, measured);
    let _ = rules(&mut text, shipped);
    text
}

const INTRODUCTION: &str = include_str!("introduction.md");

fn name(set: Set) -> &'static str {
    match set {
        Set::Tuning => "Tuning workloads",
        Set::HeldOut => "Held-out workloads",
    }
}

fn workloads(to: &mut String, library: &Library) -> std::fmt::Result {
    writeln!(to, "\n## Workloads\n")?;
    writeln!(
        to,
        "Names say what was planned; how long the growth took stands in the tables below.\n\n| workload | set | recorded, s | killed at, s | replayed | what |"
    )?;
    writeln!(to, "|---|---|---|---|---|---|")?;
    let stretched: Vec<_> = STRETCHES.iter().map(|times| format!("x{times}")).collect();
    for (workload, recording) in library.all() {
        let set = match workload.set {
            Set::Tuning => "tuning",
            Set::HeldOut => "held out",
        };
        let killed = recording.kill().map_or("-".to_owned(), |at| at.to_string());
        let replayed = match workload.life {
            Life::Kill { .. } | Life::Steady => stretched.join(", "),
            Life::Start | Life::Averted => "x1, then its last minute again and again".to_owned(),
        };
        let program = recording.head.program.as_deref();
        let program = program.map_or(String::new(), |program| format!(" ({program})"));
        writeln!(
            to,
            "| {} | {set} | {} | {killed} | {replayed} | {}{program} |",
            workload.name,
            recording.length(),
            workload.what
        )?;
    }
    for workload in &library.missing {
        writeln!(
            to,
            "| {} | | not recorded | | | {} |",
            workload.name, workload.what
        )?;
    }
    Ok(())
}

fn set(to: &mut String, one: &Measured) -> std::fmt::Result {
    let replayed = &one.replayed;
    writeln!(to, "\n## {}\n", name(one.set))?;
    writeln!(
        to,
        "{} node-days, {} kills; the baselines were looked at on {} of the node-days without kills. Replayed in {:.0} s.\n",
        replayed.nodes,
        replayed.kills.len(),
        replayed.baseline_nodes.len(),
        replayed.seconds
    )?;
    for (place, every) in SCRAPES_S.into_iter().enumerate() {
        let (written, scraped) = replayed.samples[place];
        writeln!(
            to,
            "### Scraped each {every} s ({scraped} samples, {written} of them kept)\n"
        )?;
        for severity in [Severity::Page, Severity::Automation] {
            let (what, within) = match severity {
                Severity::Page => ("Pages", format!("growth of more than {SLOW_S} s")),
                Severity::Automation => ("Automation", format!("growth of {FAST_S} s or more")),
            };
            writeln!(
                to,
                "| {what} | recall, {within} | lead, s: least, median, most | fired | false | false per 1,000 node-days |"
            )?;
            writeln!(to, "|---|---|---|---|---|---|")?;
            let own = &one.shipped[place][severity as usize];
            row(
                to,
                "**memtrace's rules**",
                own,
                replayed,
                severity,
                replayed.nodes,
            )?;
            for (rule, score) in &one.baselines[place] {
                if rule.severity == severity {
                    row(
                        to,
                        &rule.name,
                        score,
                        replayed,
                        severity,
                        replayed.baseline_nodes.len(),
                    )?;
                }
            }
            writeln!(to)?;
            if !own.wrong.is_empty() || own.averted + own.undecided > 0 {
                let wrong: Vec<_> = own
                    .wrong
                    .iter()
                    .map(|(name, count)| format!("{name} {count}"))
                    .collect();
                writeln!(
                    to,
                    "False firings by workload: {}; for a limit that was raised in time: {}; begun in a day's \
                     last half hour, and so undecided: {}.\n",
                    if wrong.is_empty() {
                        "none".to_owned()
                    } else {
                        wrong.join(", ")
                    },
                    own.averted,
                    own.undecided
                )?;
                if severity == Severity::Page && !own.told.is_empty() {
                    for told in own.told.iter().take(TOLD) {
                        writeln!(to, "- {told}")?;
                    }
                    writeln!(to)?;
                }
            }
        }
    }
    by_workload(to, one)
}

fn row(
    to: &mut String,
    name: &str,
    score: &Score,
    replayed: &Replayed,
    severity: Severity,
    nodes: usize,
) -> std::fmt::Result {
    let due = replayed.kills.iter().zip(&score.leads);
    let leads: Vec<Option<u32>> = due
        .filter(|(kill, _)| is_due(kill, severity))
        .map(|(_, lead)| *lead)
        .collect();
    let mut told: Vec<u32> = leads.iter().flatten().copied().collect();
    told.sort_unstable();
    let times = match (told.first(), told.get(told.len() / 2), told.last()) {
        (Some(least), Some(median), Some(most)) => format!("{least}, {median}, {most}"),
        _ => "-".to_owned(),
    };
    let wrong = score.false_firings();
    let rate = match nodes {
        0 => "-".to_owned(),
        nodes => format!("{:.1}", wrong as f64 * 1_000.0 / nodes as f64),
    };
    let name = name.replace('|', "\\|");
    writeln!(
        to,
        "| {name} | {} | {times} | {} | {wrong} | {rate} |",
        share(told.len(), leads.len()),
        score.fired
    )
}

fn share(hits: usize, of: usize) -> String {
    match of {
        0 => "-".to_owned(),
        of => format!("{hits} of {of} ({:.1} %)", hits as f64 * 100.0 / of as f64),
    }
}

/// Kills by workload and stretch: what the risk told at the agent's own pace, and what the alerts did.
fn by_workload(to: &mut String, one: &Measured) -> std::fmt::Result {
    let mut groups: BTreeMap<(&str, u32), Vec<(usize, &Kill)>> = BTreeMap::new();
    for (number, kill) in one.replayed.kills.iter().enumerate() {
        let group = groups.entry((kill.workload, kill.stretch)).or_default();
        group.push((number, kill));
    }
    writeln!(
        to,
        "How often the 1-minute risk was over 0.9 in the two minutes before a kill, as the agent has it each second, and \
what the alerts made of it. Alerts see a risk by scrapes: growth that is over between two of them is told by the agent \
alone.\n"
    )?;
    writeln!(
        to,
        "| workload | growth, s | kills | 1m risk over 0.9 before | least lead, s | automation at 15 s | at 30 s | paged at 15 s | at 30 s |"
    )?;
    writeln!(to, "|---|---|---|---|---|---|---|---|---|")?;
    for ((workload, stretch), kills) in groups {
        let leads: Vec<u32> = kills
            .iter()
            .filter_map(|(_, kill)| kill.minute_lead_s)
            .collect();
        let least = leads.iter().min().map_or("-".to_owned(), u32::to_string);
        let grew = kills.first().map_or(0, |(_, kill)| kill.grew_s);
        write!(
            to,
            "| {workload} x{stretch} | {grew} | {} | {} | {least} |",
            kills.len(),
            leads.len()
        )?;
        for severity in [Severity::Automation, Severity::Page] {
            for scores in &one.shipped {
                let score = &scores[severity as usize];
                let told = kills
                    .iter()
                    .filter(|(number, _)| score.leads[*number].is_some());
                write!(to, " {} |", told.count())?;
            }
        }
        writeln!(to)?;
    }
    Ok(())
}

fn calibration(to: &mut String, measured: &[Measured]) -> std::fmt::Result {
    writeln!(to, "\n## Calibration\n")?;
    writeln!(
        to,
        "Each domain with a limit, each 15 s: what the risk was, and how often a kill of that domain followed within \
the horizon.\n\n![Calibration](backtest-calibration.svg)\n"
    )?;
    writeln!(
        to,
        "| risk | 1m, tuning | 15m, tuning | 1m, held out | 15m, held out |"
    )?;
    writeln!(to, "|---|---|---|---|---|")?;
    for place in 0..=TENTHS {
        let bin = match place {
            0 => "0".to_owned(),
            place => format!(
                "{:.1} to {:.1}",
                (place - 1) as f64 / 10.0,
                place as f64 / 10.0
            ),
        };
        write!(to, "| {bin} |")?;
        for set in [Set::Tuning, Set::HeldOut] {
            let found = measured.iter().find(|one| one.set == set);
            let calibration: Option<&Calibration> = found.map(|one| &one.replayed.calibration);
            for horizon in 0..2 {
                let cell = calibration.map(|known| known.0[horizon][place]);
                let cell = cell.filter(|(looks, _)| *looks > 0);
                let cell = cell.map_or("-".to_owned(), |(looks, followed)| {
                    format!("{:.1} % of {looks}", followed as f64 * 100.0 / looks as f64)
                });
                write!(to, " {cell} |")?;
            }
        }
        writeln!(to)?;
    }
    Ok(())
}

fn rules(to: &mut String, shipped: &[Rule]) -> std::fmt::Result {
    writeln!(to, "\n## Rules\n")?;
    for rule in shipped {
        writeln!(to, "- {}: `{}`, for {} s", rule.name, rule.expr, rule.for_s)?;
    }
    Ok(())
}
