//! What a prediction says.

use super::{
    advice::{AdjChange, NotTheBiggest},
    fallen::Why,
    growth::Fill,
    risk::Risk,
    scan::Candidate,
};
use crate::input::OomSnapshot;

/// What kind of domain it is, seen from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainKind {
    /// The target's own limit.
    Own,
    /// The limit of a cgroup below the target.
    Below,
    /// The limit of an ancestor.
    Ancestor,
    /// The machine.
    Node,
}

impl DomainKind {
    /// Stable name, for JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Below => "below",
            Self::Ancestor => "ancestor",
            Self::Node => "node",
        }
    }
}

/// What the OOM killer would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Kill the candidate of this number.
    Kill(usize),
    /// Nothing: this candidate was killed before and is still dying.
    WaitForDying(usize),
    /// Nothing: nobody may be killed.
    Nobody,
    /// `vm.panic_on_oom`: stop the machine.
    Panic,
    /// `vm.oom_kill_allocating_task`: kill whoever asks for memory then.
    KillTrigger,
    /// v1, `oom_kill_disable`: nobody is killed, tasks wait for memory.
    TasksWait,
}

/// How sure a prediction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// Nothing that can be known leaves room for another: not the counters' error, and of a choice
    /// to come, not the room that is left either, whoever takes it.
    Certain,
    /// It is the best guess; an error bound, or what may grow until then, leaves room for another.
    Likely,
    /// Several have equal points: the order of the scan decides.
    Tie,
}

impl Confidence {
    /// Stable name, for JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Tie => "tie",
        }
    }
}

/// One of the two answers for a domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// What would happen.
    pub outcome: Outcome,
    /// The victim's points; of the forecast at the limit, what they will have become.
    pub points: Option<i64>,
    /// By how much the victim leads; `None` without a victim or a second.
    pub margin_points: Option<i64>,
    /// How sure; `None` without a victim.
    pub confidence: Option<Confidence>,
    /// Numbers of other candidates with the victim's points.
    pub tied: Vec<usize>,
}

/// A process that dies with the victim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlsoKilled {
    /// Process id.
    pub pid: u32,
    /// Name.
    pub comm: String,
    /// Why.
    pub why: Why,
}

/// One domain's prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct DomainForecast<'a> {
    /// What it is.
    pub kind: DomainKind,
    /// Path of the cgroup; `None` for the machine.
    pub cgroup: Option<&'a str>,
    /// Its limit, or the machine's memory.
    pub limit_bytes: u64,
    /// What it holds; `None` if unknown.
    pub usage_bytes: Option<u64>,
    /// As the kernel reckons it.
    pub totalpages: u64,
    /// If it ran out this instant.
    pub now: Forecast,
    /// If it runs out because those who grow now go on; `None` if nothing was seen to grow.
    pub at_limit: Option<Forecast>,
    /// The choice of now is also the one when it runs out, whoever takes the room that is left.
    pub settled: bool,
    /// Every process in it, in the order of the scan.
    pub candidates: Vec<Candidate<'a>>,
    /// Their numbers, highest points first; of equals, the one that wins first.
    pub ranking: Vec<usize>,
    /// Who dies with the victim of now.
    pub also_killed: Vec<AlsoKilled>,
    /// Why the victim is not the biggest, if it is not.
    pub not_the_biggest: Option<NotTheBiggest>,
    /// What would change the choice.
    pub adj_changes: Vec<AdjChange>,
    /// How it fills; `None` from a single instant.
    pub fill: Option<Fill>,
    /// How near it is.
    pub risk: Option<Risk>,
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction<'a> {
    /// What it is made of.
    pub snapshot: &'a OomSnapshot,
    /// Domains: the target's own limit, those below, its ancestors', the machine.
    pub domains: Vec<DomainForecast<'a>>,
    /// What could not be known.
    pub caveats: Vec<String>,
}
