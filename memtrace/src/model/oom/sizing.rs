//! What to do about a kill: a leak, a limit that is too small, or something else, with the number.

use super::{KillStory, Owner};

/// So many kills alike before this one, and it is called a leak.
const ALIKE: usize = 2;

/// Earlier kills of the same container within a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// All of them.
    pub kills: usize,
    /// Those in which the same part grew, and a process of the same name died.
    pub alike: usize,
}

/// What grew most before a kill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// The part, named as in `memory.stat`.
    pub part: &'static str,
    /// How fast, in the window before the kill.
    pub bytes_per_second: f64,
}

impl Growth {
    /// Of a kill; `None` if the window shows nothing that grew.
    pub fn of(story: &KillStory) -> Option<Self> {
        let window = story.window.as_ref()?;
        let (part, grown) = window.change.iter().max_by_key(|(_, change)| *change)?;
        (*grown > 0 && window.length_ns > 0).then(|| Self {
            part,
            bytes_per_second: *grown as f64 / (window.length_ns as f64 / 1e9),
        })
    }
}

/// What the figures speak for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sizing {
    /// The limit was higher a moment ago, and would have held.
    Lowered {
        /// What it was, bytes.
        from_bytes: u64,
        /// What it became.
        to_bytes: u64,
    },
    /// The machine ran out: no limit of the victim's is at fault.
    Node,
    /// Once more the same: whatever the limit, it is reached.
    Leak {
        /// How fast it grew last.
        growth: Growth,
        /// What twice the limit would buy.
        doubling_buys_seconds: f64,
    },
    /// It grew, and nobody knows yet whether it would have stopped.
    Grew {
        /// How fast.
        growth: Growth,
        /// What twice the limit would buy.
        doubling_buys_seconds: f64,
    },
}

impl Sizing {
    /// `None` if neither the limit nor what grew is known.
    pub fn of(story: &KillStory, earlier: Earlier) -> Option<Self> {
        let limit = story.limit.as_ref()?;
        if limit.owner == Owner::Node {
            return Some(Self::Node);
        }
        let memory = story.at_kill.as_ref()?;
        let to_bytes = memory.limit_bytes?;
        if let Some((from_bytes, _)) = memory.limit_before
            && from_bytes > to_bytes
        {
            return Some(Self::Lowered {
                from_bytes,
                to_bytes,
            });
        }
        let growth = Growth::of(story)?;
        let doubling_buys_seconds = to_bytes as f64 / growth.bytes_per_second;
        Some(match earlier.alike >= ALIKE {
            true => Self::Leak {
                growth,
                doubling_buys_seconds,
            },
            false => Self::Grew {
                growth,
                doubling_buys_seconds,
            },
        })
    }
}
