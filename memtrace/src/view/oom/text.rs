//! `oom predict` for people: a sentence for each domain, then the figures behind it.

use super::{name, of, why_words};
use crate::{
    input::{RssCounters, TaskSource},
    model::{
        oom::{Candidate, Confidence, DomainForecast, DomainKind, Forecast, Outcome, Prediction},
        words::{escaped, mib},
    },
    view::text::{WIDTH, wrap},
};

/// Rows of a domain's table; JSON has them all.
const ROWS: usize = 10;

/// The whole answer, each line ended.
pub fn render(prediction: &Prediction<'_>) -> String {
    let mut lines = Vec::new();
    for domain in &prediction.domains {
        lines.extend(wrap(&sentence(domain), WIDTH));
    }
    for domain in &prediction.domains {
        lines.push(String::new());
        lines.extend(details(domain));
    }
    lines.push(String::new());
    for caveat in &prediction.caveats {
        lines.extend(bullet("  ! ", caveat));
    }
    lines.push(trust(prediction));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn place(domain: &DomainForecast<'_>) -> String {
    domain.cgroup.map_or("the node".to_owned(), escaped)
}

fn sentence(domain: &DomainForecast<'_>) -> String {
    let mut text = format!(
        "If {} ran out now: {}.",
        place(domain),
        verdict(domain, &domain.now)
    );
    let changed = domain
        .at_limit
        .as_ref()
        .filter(|later| later.outcome != domain.now.outcome);
    if let Some(later) = changed {
        text += &format!(
            " But at the limit{}: {}.",
            eta(domain).map_or(String::new(), |eta| format!(", {eta} from now")),
            verdict(domain, later)
        );
    }
    text
}

fn verdict(domain: &DomainForecast<'_>, forecast: &Forecast) -> String {
    let candidate = |index: usize| of(&domain.candidates[index]);
    match forecast.outcome {
        Outcome::Kill(index) => {
            let sure = match forecast.confidence {
                Some(Confidence::Certain) | None => "",
                Some(Confidence::Likely) => ", likely",
                Some(Confidence::Tie) => ", by the order of the scan: others have equal points",
            };
            format!("{} is killed{sure}", candidate(index))
        }
        Outcome::WaitForDying(index) => {
            format!("nobody, {} was killed and is still dying", candidate(index))
        }
        Outcome::Nobody if domain.kind == DomainKind::Node => {
            "the kernel panics, nobody may be killed".to_owned()
        }
        Outcome::Nobody => "nobody may be killed".to_owned(),
        Outcome::Panic => "the kernel panics (vm.panic_on_oom)".to_owned(),
        Outcome::KillTrigger => {
            "whoever asks for memory then is killed (vm.oom_kill_allocating_task)".to_owned()
        }
        Outcome::TasksWait => "nobody is killed, tasks wait (oom_kill_disable)".to_owned(),
    }
}

fn details(domain: &DomainForecast<'_>) -> Vec<String> {
    let used = domain
        .usage_bytes
        .map_or("?".to_owned(), |bytes| mib(bytes as i64));
    let mut lines = vec![
        format!("DOMAIN  {} ({})", place(domain), domain.kind.id()),
        format!(
            "  size      {used} of {} MiB used; totalpages {}; adj: {} pages a step",
            mib(domain.limit_bytes as i64),
            domain.totalpages,
            domain.totalpages / 1000
        ),
        format!("  now       {}", figures(domain, &domain.now)),
    ];
    if !domain.now.tied.is_empty() {
        lines.push(format!(
            "            equal points: {}",
            tied(domain, &domain.now.tied)
        ));
    }
    for dead in &domain.also_killed {
        lines.push(format!(
            "            takes along {}: {}",
            name(&dead.comm, dead.pid),
            why_words(&dead.why)
        ));
    }
    match &domain.at_limit {
        Some(later) => {
            let eta = eta(domain).map_or(String::new(), |eta| format!(" in {eta}"));
            lines.push(format!("  at limit  {}{eta}", figures(domain, later)));
        }
        None if domain.fill.is_some() => {
            lines.push("  at limit  as now: nothing grows".to_owned());
        }
        None => {}
    }
    if let Some(risk) = &domain.risk {
        lines.push(format!(
            "  risk      {:.2} within {:.0} s",
            risk.score, risk.horizon_seconds
        ));
    }
    if let Some(biggest) = &domain.not_the_biggest {
        lines.extend(bullet(
            "  biggest   ",
            &format!(
                "{} holds more, {} pages, and is passed over because {}",
                name(&biggest.comm, biggest.pid),
                biggest.memory_pages,
                biggest.because
            ),
        ));
    }
    for change in &domain.adj_changes {
        let then = change
            .then
            .as_ref()
            .map_or("nobody".to_owned(), |then| name(&then.1, then.0));
        lines.push(format!(
            "  adj       {} at {} instead of {}: {then} would be killed",
            name(&change.comm, change.pid),
            change.to,
            change.from,
        ));
    }
    lines.extend(table(domain));
    lines
}

fn figures(domain: &DomainForecast<'_>, forecast: &Forecast) -> String {
    let Outcome::Kill(index) = forecast.outcome else {
        return verdict(domain, forecast);
    };
    let points = forecast.points.unwrap_or_default();
    let margin = forecast
        .margin_points
        .map_or("no other".to_owned(), |margin| format!("{margin} ahead"));
    let confidence = forecast.confidence.map_or("", Confidence::id);
    format!(
        "{} {points} points, {margin}; {confidence}",
        of(&domain.candidates[index])
    )
}

fn tied(domain: &DomainForecast<'_>, tied: &[usize]) -> String {
    let shown: Vec<String> = tied
        .iter()
        .take(ROWS)
        .map(|index| of(&domain.candidates[*index]))
        .collect();
    let rest = match tied.len() - shown.len() {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    format!("{}{rest}", shown.join(", "))
}

fn table(domain: &DomainForecast<'_>) -> Vec<String> {
    let shown: Vec<&Candidate<'_>> = domain
        .ranking
        .iter()
        .map(|index| &domain.candidates[*index])
        .filter(|candidate| !candidate.task.kernel_thread)
        .collect();
    if shown.is_empty() {
        return vec!["  no processes".to_owned()];
    }
    let mut lines = vec![format!(
        "  {:>7} {:<15} {:>9} {:>8} {:>6} {:>5} {:>9}",
        "PID", "comm", "rss", "swap", "pt", "adj", "points"
    )];
    for candidate in shown.iter().take(ROWS) {
        let terms = &candidate.badness;
        let points = match candidate.ineligible {
            Some(reason) => format!("never: {}", reason.id()),
            None if candidate.origin => "first".to_owned(),
            None => terms.points.to_string(),
        };
        lines.push(format!(
            "  {:>7} {:<15} {:>9} {:>8} {:>6} {:>5} {points:>9}",
            candidate.task.pid,
            escaped(&candidate.task.comm),
            terms.rss_pages,
            terms.swap_pages,
            terms.pagetable_pages,
            candidate.task.oom_score_adj,
        ));
    }
    if shown.len() > ROWS {
        lines.push(format!("  and {} more", shown.len() - ROWS));
    }
    lines
}

fn eta(domain: &DomainForecast<'_>) -> Option<String> {
    let seconds = domain.risk?.eta_seconds?;
    Some(match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h", s / 3600.0),
    })
}

fn bullet(mark: &str, text: &str) -> Vec<String> {
    let indent = " ".repeat(mark.len());
    wrap(text, WIDTH - mark.len())
        .into_iter()
        .enumerate()
        .map(|(index, line)| format!("{}{line}", if index == 0 { mark } else { &indent }))
        .collect()
}

fn trust(prediction: &Prediction<'_>) -> String {
    let snapshot = prediction.snapshot;
    let read = match snapshot.source {
        TaskSource::Iterator => "in the kernel",
        TaskSource::Proc => "from /proc",
    };
    let counters = match snapshot.rss_counters {
        RssCounters::Atomic => "plain",
        RssCounters::PerCpu { .. } => "per-CPU, their shared part",
        RssCounters::Summed => "per-CPU, summed",
    };
    format!("TRUST  processes read {read}; the kernel scores from counters: {counters}")
}
