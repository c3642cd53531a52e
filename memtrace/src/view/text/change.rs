//! What changed: components, and under each its causes.

use super::cells::{NOTE_WIDTH, is_visible, row, shorten};
use crate::model::{
    Cause, CauseKind, Component, ComponentName, Explanation, Held, Phase, PhaseName, Reclaimable,
    Summed, capped,
    words::{file, mib, process_cell, signed_mib},
};

/// Causes listed under a component.
const CAUSES: usize = 4;

/// One table; with a command whose peak is apart from both ends, one for each way.
pub(super) fn lines(explanation: &Explanation) -> Vec<String> {
    let target = &explanation.facts.scope.cgroup_path;
    if explanation.phases.is_empty() || explanation.phases.iter().any(Phase::is_empty) {
        return table(&explanation.whole, target);
    }
    let tables = explanation.phases.iter();
    tables.flat_map(|phase| table(phase, target)).collect()
}

fn table(phase: &Phase, target: &str) -> Vec<String> {
    let title = match phase.name {
        PhaseName::BeforeToAfter => "CHANGE",
        PhaseName::BeforeToPeak => "CHANGE TO THE PEAK",
        PhaseName::PeakToAfter => "CHANGE SINCE PEAK",
    };
    let ledger = &phase.ledger;
    let mut lines = vec![row(title, "MiB", "comes back?")];
    let (shown, small): (Vec<&Component>, Vec<_>) =
        ledger.components.iter().partition(|component| {
            is_visible(component.delta_bytes())
                || ledger
                    .causes_of(component.name)
                    .any(|c| is_visible(c.bytes))
        });
    for component in shown {
        let label = format!("  {}", component.name.as_str());
        let number = signed_mib(component.delta_bytes());
        lines.push(row(&label, &number, comes_back(component)));
        let causes: Vec<&Cause> = ledger
            .causes_of(component.name)
            .filter(|cause| is_visible(cause.bytes))
            .collect();
        let (listed, rest) = capped(&causes, CAUSES);
        for cause in listed {
            let label = format!("    {}", kind_label(cause.kind));
            lines.push(row(&label, &signed_mib(cause.bytes), &who(cause, target)));
        }
        if let Some(rest) = rest {
            let label = format!("    {} more", rest.causes);
            lines.push(row(&label, &signed_mib(rest.bytes), ""));
        }
        if !causes.is_empty() && is_visible(component.unattributed_bytes) {
            let number = signed_mib(component.unattributed_bytes);
            lines.push(row("    unattributed", &number, ""));
        }
    }
    let small_bytes: i64 = small.iter().map(|c| c.delta_bytes()).sum();
    if is_visible(small_bytes) {
        lines.push(row("  smaller parts", &signed_mib(small_bytes), ""));
    }
    let residual = ledger
        .unexplained_bytes
        .map_or_else(|| "?".to_owned(), signed_mib);
    let bound = ledger.error_bound.map_or_else(
        || "bound unknown".to_owned(),
        |bound| format!("bound {}", mib(bound.total_bytes() as i64)),
    );
    lines.push(row("  residual", &residual, &bound));
    let delta = phase
        .working_set
        .delta_bytes()
        .map_or_else(|| "?".to_owned(), signed_mib);
    lines.push(row("  = working set", &delta, &ends(phase)));
    lines
}

/// `12.0 -> 112.0`
fn ends(phase: &Phase) -> String {
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), |b| mib(b as i64));
    let working_set = phase.working_set;
    format!(
        "{} -> {}",
        size(working_set.before_bytes),
        size(working_set.after_bytes)
    )
}

fn kind_label(kind: CauseKind) -> &'static str {
    match kind {
        CauseKind::SecondAccess => "second read",
        CauseKind::Refault => "refault",
        CauseKind::InsertedActive => "came in active",
        CauseKind::Removed => "removed",
        CauseKind::Evicted => "evicted",
        CauseKind::Deactivated => "deactivated",
        CauseKind::Added => "added",
        CauseKind::Freed => "freed",
        CauseKind::Grew => "grew",
        CauseKind::Shrank => "shrank",
        CauseKind::New => "new",
        CauseKind::Gone => "gone",
        CauseKind::SwappedOut => "to swap",
        CauseKind::SwappedIn => "from swap",
    }
}

/// `/data/t.log  cat[4711]`, and the cgroup that pays if it is not the target itself.
fn who(cause: &Cause, target: &str) -> String {
    let task = cause.task.as_ref().map(process_cell);
    let child = cause
        .charged_cgroup
        .as_ref()
        .and_then(|cgroup| cgroup.path.as_deref()?.strip_prefix(target))
        .filter(|below| !below.is_empty())
        .map(|below| format!("in {}", shorten(below.trim_start_matches('/'), 20)));
    let held = cause
        .held
        .filter(|_| cause.component != ComponentName::Pagetables);
    let many_processes = (cause.summed == Some(Summed::Processes)).then(|| many(Summed::Processes));
    let task = task.or(many_processes.map(str::to_owned));
    let others: Vec<String> = task
        .into_iter()
        .chain(held.map(self::held))
        .chain(child)
        .collect();
    let others = others.join("  ");
    match &cause.file {
        Some(of) => {
            // A row may be a little too wide, but a file never loses its name altogether.
            let room = NOTE_WIDTH
                .saturating_sub(others.chars().count() + 2)
                .max(16);
            format!("{}  {others}", shorten(&file(of), room))
        }
        None => {
            let many = cause.summed.map(many);
            many.into_iter()
                .chain([others.as_str()])
                .collect::<Vec<_>>()
                .join("  ")
        }
    }
}

/// What stands for what is not told apart.
pub(super) fn many(summed: Summed) -> &'static str {
    match summed {
        Summed::Files => "many files",
        Summed::Processes => "many processes",
        Summed::Both => "many files, many processes",
    }
}

fn held(held: Held) -> String {
    match held {
        Held::Threads(count) => format!("{count:+} threads"),
        Held::Pagetables => "page tables".to_owned(),
        Held::Sockets(Some(count)) => format!("waits in sockets ({count:+})"),
        Held::Sockets(None) => "waits in sockets".to_owned(),
    }
}

fn comes_back(component: &Component) -> &'static str {
    match component.reclaimable {
        Reclaimable::Now => "now",
        Reclaimable::AfterWriteback => "after writeback",
        Reclaimable::SwapOnly {
            available_bytes: Some(0),
        } => "swap only; no swap",
        Reclaimable::SwapOnly { .. } => "swap only",
        Reclaimable::Mostly => "mostly",
        Reclaimable::No => "no",
        Reclaimable::Unknown => "not told apart",
    }
}
