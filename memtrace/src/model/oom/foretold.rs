//! The prediction that stood when a kill came, and whether it held.

use super::{
    forecast::{Confidence, DomainForecast, Forecast, Outcome},
    kills::Kills,
    limit::{Limit, Owner},
    predict::predict_domain,
    report::KillReport,
    standing::{Pair, pinned_share},
    table::Table,
};
use crate::input::{OomSnapshot, OomTask, TICK_NS};

/// Whether a prediction was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The victim is whom it named.
    Right,
    /// Another one with equal points: the order of the scan decided.
    Tie,
    /// Another one, for this reason.
    Wrong(Cause),
}

impl Held {
    /// Stable name, for JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Tie => "tie",
            Self::Wrong(_) => "wrong",
        }
    }
}

/// Why a prediction was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The victim was not there, or not in the domain, when the processes were read.
    NotThere,
    /// The one predicted was gone by then.
    Gone,
    /// The size of the domain had changed.
    LimitChanged,
    /// An `oom_score_adj` had changed.
    AdjChanged,
    /// The counters' error bound is larger than the margin was.
    CounterError,
    /// The victim gained on the one predicted since, or, of a forecast at the limit, grew otherwise
    /// than foretold.
    Moved,
    /// None of these.
    Unexplained,
}

impl Cause {
    /// Stable name, for JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::NotThere => "not_there",
            Self::Gone => "gone",
            Self::LimitChanged => "limit_changed",
            Self::AdjChanged => "adj_changed",
            Self::CounterError => "counter_error",
            Self::Moved => "moved",
            Self::Unexplained => "unexplained",
        }
    }

    /// In words, to follow "because".
    pub fn words(self) -> &'static str {
        match self {
            Self::NotThere => "the victim was not in the domain then",
            Self::Gone => "the one predicted was gone",
            Self::LimitChanged => "the limit was changed since",
            Self::AdjChanged => "an oom_score_adj was changed since",
            Self::CounterError => "the margin was within the counters' error bound",
            Self::Moved => "their memory moved by more than the margin since",
            Self::Unexplained => "for no reason that memtrace knows",
        }
    }
}

/// One prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Prophecy {
    /// How long before the kill the processes were read, ns.
    pub before_ns: u64,
    /// Share of the domain that was taken for good then; `None` for the node.
    pub share: Option<f64>,
    /// Process id and name of the victim predicted; `None` if nobody was to be killed.
    pub victim: Option<(u32, String)>,
    /// Its points.
    pub points: Option<i64>,
    /// By how much it led.
    pub margin_points: Option<i64>,
    /// How sure: "certain" only if, until the domain ran out, nobody could overtake, whoever took the
    /// room that was left, and nobody died and made more.
    pub confidence: Option<Confidence>,
    /// Whether it held.
    pub held: Held,
}

/// What was predicted for the domain of a kill.
#[derive(Clone, Debug, PartialEq)]
pub struct Foretold {
    /// If the domain had run out at the last look.
    pub now: Prophecy,
    /// At the limit, foretold when the domain came near it; `None` if it was never seen to.
    pub at_limit: Option<Prophecy>,
    /// For how long each look before the kill had named this victim, ns; `None` if the last did not.
    pub since_ns: Option<u64>,
}

impl Foretold {
    /// Looks up what stood; `None` without the kill's domain, or a snapshot from before it.
    pub(super) fn of(
        kill: &KillReport,
        limit: Option<&Limit>,
        totalpages: Option<u64>,
        table: Option<&Table>,
        kills: &Kills,
    ) -> Option<Self> {
        let limit = limit?;
        let domain = limit.cgroup_id;
        if domain.is_none() && limit.owner != Owner::Node {
            return None;
        }
        let actual = Actual {
            kill,
            started_ns: kill.victim_started_ns(),
            totalpages,
            table,
        };
        let standing = kills.standing();
        let last = standing.pair_before(kill.time_ns)?;
        let now = actual.told(&last, domain, Moment::Now)?;
        let at_limit = domain
            .and_then(|id| standing.pair_near(id, kill.time_ns))
            .and_then(|pair| actual.told(&pair, domain, Moment::Limit));
        let named = |snapshot: &&OomSnapshot| {
            predict_domain(None, snapshot, domain).is_some_and(|forecast| {
                victim(&forecast, &forecast.now).is_some_and(|task| actual.is(task))
            })
        };
        let since_ns = standing
            .before_newest_first(kill.time_ns)
            .take_while(named)
            .last()
            .map(|snapshot| kill.time_ns - snapshot.time.monotonic_ns);
        Some(Self {
            now,
            at_limit,
            since_ns,
        })
    }
}

fn victim<'a>(domain: &DomainForecast<'a>, forecast: &Forecast) -> Option<&'a OomTask> {
    match forecast.outcome {
        Outcome::Kill(index) => Some(domain.candidates[index].task),
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Moment {
    Now,
    Limit,
}

/// What happened, to hold a prediction against.
struct Actual<'a> {
    kill: &'a KillReport,
    /// When the victim started, `CLOCK_BOOTTIME`; `None` if only its pid is known.
    started_ns: Option<u64>,
    totalpages: Option<u64>,
    table: Option<&'a Table>,
}

impl Actual<'_> {
    /// Of a prediction that has aged: what stood for the instant of the look is judged as one for the
    /// instant of the kill.
    fn told(&self, pair: &Pair, domain: Option<u64>, moment: Moment) -> Option<Prophecy> {
        let forecast = predict_domain(pair.earlier.as_deref(), &pair.later, domain)?;
        let one = match moment {
            Moment::Now => &forecast.now,
            // Nothing grew: it stays as it is.
            Moment::Limit => forecast.at_limit.as_ref().unwrap_or(&forecast.now),
        };
        let sure = forecast.settled && !pair.has_more_room(domain);
        let confidence = one.confidence.map(|confidence| match confidence {
            Confidence::Certain if !sure => Confidence::Likely,
            same => same,
        });
        let named = victim(&forecast, one);
        Some(Prophecy {
            before_ns: self.kill.time_ns - pair.later.time.monotonic_ns,
            share: domain.and_then(|id| {
                let cgroup = pair.later.cgroups.iter().find(|cgroup| cgroup.id == id)?;
                pinned_share(cgroup.memory.as_ref()?)
            }),
            victim: named.map(|task| (task.pid, task.comm.clone())),
            points: one.points,
            margin_points: one.margin_points,
            confidence,
            held: self.held(&forecast, one, named),
        })
    }

    /// Whether a process that was seen before is the victim: by its pid, and by when it started,
    /// where the hooks tell, since pids come again.
    fn is(&self, task: &OomTask) -> bool {
        let started = self.started_ns.unwrap_or(task.start_boottime_ns);
        task.pid == self.kill.victim.pid && started.abs_diff(task.start_boottime_ns) < TICK_NS
    }

    fn held(&self, domain: &DomainForecast<'_>, one: &Forecast, named: Option<&OomTask>) -> Held {
        if named.is_some_and(|task| self.is(task)) {
            return Held::Right;
        }
        let tied = |index: &usize| self.is(domain.candidates[*index].task);
        if one.tied.iter().any(tied) {
            return Held::Tie;
        }
        Held::Wrong(self.cause(domain, one, named).unwrap_or(Cause::Unexplained))
    }

    fn cause(
        &self,
        domain: &DomainForecast<'_>,
        one: &Forecast,
        named: Option<&OomTask>,
    ) -> Option<Cause> {
        let mut candidates = domain.candidates.iter();
        let Some(actual) = candidates.find(|one| self.is(one.task)) else {
            return Some(Cause::NotThere);
        };
        if self
            .totalpages
            .is_some_and(|size| size != domain.totalpages)
        {
            return Some(Cause::LimitChanged);
        }
        let named = named?;
        let named = domain
            .candidates
            .iter()
            .find(|one| one.task.pid == named.pid)?;
        let table = self.table?;
        let (Some(actual_then), named_then) =
            (table.row(actual.task.pid), table.row(named.task.pid))
        else {
            return None;
        };
        let Some(named_then) = named_then else {
            return Some(Cause::Gone);
        };
        let changed = |task: &OomTask, then: i32| task.oom_score_adj != then;
        if changed(actual.task, actual_then.oom_score_adj)
            || changed(named.task, named_then.oom_score_adj)
        {
            return Some(Cause::AdjChanged);
        }
        let margin = one.margin_points.unwrap_or(0);
        if margin <= actual.badness.error_pages + named.badness.error_pages {
            return Some(Cause::CounterError);
        }
        let held = |row: &super::Row| row.rss_pages + row.swap_pages + row.pagetable_pages;
        let adj = named.badness.adj_pages - actual.badness.adj_pages;
        let lead = held(named_then) - held(actual_then) + adj;
        (lead < margin).then_some(Cause::Moved)
    }
}
