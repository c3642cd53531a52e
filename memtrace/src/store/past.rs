//! What the history knows of a TARGET in a window of the past.

use std::{
    collections::{BTreeSet, VecDeque},
    ops::ControlFlow,
};

use serde_json::Value;

use super::{History, HistoryError, MACHINE};
use crate::model::past::{
    Instant, Past, Question, Span, Subject, Target, answer, kills_of, past_of, reported_at,
};

/// Subjects that an answer has at most.
const MAX_SUBJECTS: usize = 8;
/// Reports that are looked through, newest first.
const MAX_REPORTS: usize = 10_000;
/// Reports of the window that are kept in mind.
const MAX_KILLS: usize = 1_000;
/// Names that a refusal lists.
const EXAMPLES: usize = 5;
/// What an answer takes of a report.
const TAKEN: [&str; 9] = [
    "id",
    "time",
    "noticed",
    "complete",
    "kills",
    "victim",
    "limit_cgroup",
    "counted_in",
    "limit_owner",
];

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// Nobody has that name.
    #[error(
        "nothing is kept of {target:?}: give namespace/pod[/container], a cgroup path, a unit or the \
         start of a container id; the agent watches containers, pods and whatever has a limit, and \
         keeps a day of them{}",
        match examples.as_slice() {
            [] => " (nothing so far)".to_owned(),
            some => format!(", for example {}", some.join(", ")),
        }
    )]
    Nobody {
        /// As typed.
        target: String,
        /// Some that are kept.
        examples: Vec<String>,
    },
    /// It is known, but not of that time.
    #[error(
        "nothing is kept of {target:?} from {} to {}: {}",
        since, until,
        match kept {
            Some((from, until)) => format!("the agent has kept {from} to {until}, and it was not watched then"),
            None => "the agent has kept nothing so far; the first minute has to end".to_owned(),
        }
    )]
    NotThen {
        /// As typed.
        target: String,
        /// Start of the window, RFC 3339.
        since: String,
        /// Its end.
        until: String,
        /// The time that anything is kept of.
        kept: Option<(String, String)>,
    },
}

/// Answers from the history.
///
/// # Errors
/// If the file cannot be read. That nothing is kept is no such error.
pub fn past(
    history: &History,
    question: &Question,
    page_size_bytes: u64,
) -> Result<Result<Past, NotKept>, HistoryError> {
    let machine = question.target == "/";
    let named = Named::of(history, question)?;
    if named.is_nobody && !machine {
        return Ok(Err(NotKept::Nobody {
            target: question.target.clone(),
            examples: named.examples.into(),
        }));
    }
    let spans = history.spans(question.since, question.until)?;
    let rows = |number: u32| {
        let mut rows = history.rows(&spans, &BTreeSet::from([number]))?;
        Ok::<_, HistoryError>(rows.remove(&number).unwrap_or_default())
    };
    let reports = reports(history, question)?;
    let mut of = Vec::new();
    // One after the other, since the rows of a day are megabytes.
    for (number, subject) in &named.newest {
        if let Some(mut found) = past_of(subject, &rows(*number)?, page_size_bytes) {
            found.reports = kills_of(subject, &reports);
            of.push(found);
        }
    }
    let mut node = past_of(&Subject::machine(), &rows(MACHINE)?, page_size_bytes);
    if machine && let Some(mut node) = node.take() {
        node.reports = kills_of(&node.who, &reports);
        of.push(node);
    }
    if let Some(answer) = answer(question, &spans, of, named.left_out, node) {
        return Ok(Ok(answer));
    }
    let all = history.spans(Instant(0), Instant(u64::MAX))?;
    let ends = |first: &Span, last: &Span| (first.from.rfc3339(), last.until.rfc3339());
    Ok(Err(NotKept::NotThen {
        target: question.target.clone(),
        since: question.since.rfc3339(),
        until: question.until.rfc3339(),
        kept: all
            .first()
            .zip(all.last())
            .map(|(first, last)| ends(first, last)),
    }))
}

/// Whom a target means.
#[derive(Default)]
struct Named {
    /// Those with the highest numbers, oldest first, that had not ended before the window.
    newest: VecDeque<(u32, Subject)>,
    /// How many more.
    left_out: usize,
    /// Nobody has, or had, that name.
    is_nobody: bool,
    /// Names of some.
    examples: VecDeque<String>,
}

impl Named {
    fn of(history: &History, question: &Question) -> Result<Self, HistoryError> {
        let target = Target::new(&question.target);
        let mut own = Self::default();
        let mut lowest = None;
        history.each_subject(|number, subject| match target.kind(&subject) {
            Some(kind) if lowest.is_none_or(|lowest| kind <= lowest) => {
                if lowest.replace(kind) != Some(kind) {
                    own.newest.clear();
                    own.left_out = 0;
                }
                let ended = subject.ended;
                if ended.is_none_or(|ended| ended >= question.since) {
                    own.push(number, subject);
                }
            }
            _ => {
                own.examples.push_back(subject.short());
                if own.examples.len() > EXAMPLES {
                    own.examples.pop_front();
                }
            }
        })?;
        own.is_nobody = lowest.is_none();
        Ok(own)
    }

    fn push(&mut self, number: u32, subject: Subject) {
        self.newest.push_back((number, subject));
        if self.newest.len() > MAX_SUBJECTS {
            self.newest.pop_front();
            self.left_out += 1;
        }
    }
}

/// What an answer takes of the window's reports, newest first.
fn reports(history: &History, question: &Question) -> Result<Vec<Value>, HistoryError> {
    let mut found = Vec::new();
    history.each_newest(MAX_REPORTS, |report| {
        let Some(at) = reported_at(&report.json) else {
            return ControlFlow::Continue(());
        };
        if at >= question.since
            && at <= question.until
            && let Value::Object(mut json) = report.json
        {
            json.retain(|key, _| TAKEN.contains(&key.as_str()));
            found.push(Value::Object(json));
        }
        match at < question.since || found.len() >= MAX_KILLS {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    Ok(found)
}
