//! `explain` for people: the verdict, readable alone, then the figures behind it, the trust last.

mod cells;
mod change;
mod children;
mod comeback;
mod events;
mod exact;
mod reclaim;
mod trust;
mod views;

pub(super) use self::cells::{WIDTH, wrap};
use crate::model::Explanation;

/// The whole answer, each line ended. Sizes are in MiB.
pub fn render(explanation: &Explanation) -> String {
    let mut lines = Vec::new();
    for sentence in &explanation.verdict.sentences {
        lines.extend(wrap(&sentence.text, WIDTH));
    }
    lines.push(String::new());
    lines.extend(events::session(explanation));
    lines.extend(views::lines(explanation));
    lines.extend(change::lines(explanation));
    lines.extend(children::lines(explanation));
    lines.extend(comeback::lines(explanation));
    lines.extend(exact::lines(explanation));
    lines.extend(events::lines(explanation));
    lines.extend(trust::lines(explanation));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}
