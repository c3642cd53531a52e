//! By how much a choice leads, and how sure it is.

use super::{
    forecast::{Confidence, Forecast, Outcome},
    growth::Room,
    scan::{Candidate, Chosen},
};
use crate::input::{OomSnapshot, TaskSource};

/// Puts margin and confidence to a choice. `instead` is what happens in its place; `later` has the
/// points that candidates will have.
pub fn judge(
    snapshot: &OomSnapshot,
    candidates: &[Candidate<'_>],
    chosen: Chosen,
    instead: Option<&Outcome>,
    later: Option<&[i64]>,
) -> Forecast {
    let outcome = match (instead, chosen) {
        (Some(instead), _) => instead.clone(),
        (None, Chosen::Victim(index)) => Outcome::Kill(index),
        (None, Chosen::Aborted(index)) => Outcome::WaitForDying(index),
        (None, Chosen::Nobody) => Outcome::Nobody,
    };
    let Outcome::Kill(victim) = outcome else {
        return Forecast {
            outcome,
            points: None,
            margin_points: None,
            confidence: None,
            tied: Vec::new(),
        };
    };
    let points = |index: usize| later.map_or(candidates[index].points(), |all| all[index]);
    let own = points(victim);
    let tied: Vec<usize> = others(candidates, victim)
        .filter(|index| points(*index) == own)
        .collect();
    let second = others(candidates, victim).map(points).max();
    let error = |index: usize| candidates[index].badness.error_pages;
    let within_error = others(candidates, victim)
        .any(|index| own.saturating_sub(points(index)) <= error(index) + error(victim));
    let confidence = if !tied.is_empty() {
        Confidence::Tie
    } else if within_error || snapshot.source == TaskSource::Proc {
        Confidence::Likely
    } else {
        Confidence::Certain
    };
    Forecast {
        outcome: Outcome::Kill(victim),
        points: Some(own),
        margin_points: second.map(|second| own.saturating_sub(second)),
        confidence: Some(confidence),
        tied,
    }
}

/// Whether nobody else can be the victim when the domain runs out, whoever takes the `room` that is
/// left, and also when the file pages that the victim maps are reclaimed on the way, as they may be.
/// What usage holds in advance is given back before anybody is killed (mm/memcontrol.c,
/// `drain_all_stock` in `try_charge_memcg`). False if any of it is unknown.
pub fn settled(
    snapshot: &OomSnapshot,
    candidates: &[Candidate<'_>],
    victim: usize,
    room: Option<Room>,
) -> bool {
    let (Some(room), Some(stock_pages)) = (room, snapshot.stock_pages) else {
        return false;
    };
    let headroom_pages = room.headroom_bytes / snapshot.page_size_bytes as i64;
    let gain_pages = headroom_pages.saturating_add_unsigned(stock_pages);
    let error = |index: usize| candidates[index].badness.error_pages;
    let file_pages = candidates[victim].task.rss.file.max(0);
    let least = candidates[victim]
        .points()
        .saturating_sub(file_pages.saturating_add(error(victim)));
    others(candidates, victim).all(|index| {
        let most = candidates[index].points().saturating_add(error(index));
        most.saturating_add(gain_pages) < least
    })
}

/// Whoever else may be killed.
fn others(candidates: &[Candidate<'_>], victim: usize) -> impl Iterator<Item = usize> {
    (0..candidates.len()).filter(move |index| *index != victim && candidates[*index].is_eligible())
}
