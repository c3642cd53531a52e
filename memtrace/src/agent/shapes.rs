//! Earlier kills, by who died and what grew: the same again and again is a leak. Pure.

use std::collections::VecDeque;

use serde_json::Value;

use crate::model::oom::Earlier;

/// Kills that are remembered,
const MAX: usize = 4_096;
/// and for how long.
const DAY_NS: u64 = 24 * 3_600 * 1_000_000_000;

/// What two kills may have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// The container, unit or cgroup.
    pub(super) who: String,
    /// The victim's name.
    pub(super) comm: String,
    /// What grew most.
    pub(super) part: Option<String>,
}

impl Shape {
    /// Of a report as it is kept; `None` of one that does not tell.
    fn of(report: &Value) -> Option<(u64, Self)> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let time = humantime::parse_rfc3339(report["time"].as_str()?).ok()?;
        let since_1970 = time.duration_since(std::time::UNIX_EPOCH).ok()?;
        let shape = Self {
            who: text(&report["who"])?,
            comm: text(&report["victim"]["comm"])?,
            part: text(&report["grew"]),
        };
        Some((u64::try_from(since_1970.as_nanos()).ok()?, shape))
    }
}

/// The kills of a day, oldest first.
#[derive(Debug, Default)]
pub(super) struct Shapes(VecDeque<(u64, Shape)>);

impl Shapes {
    /// Of kept reports, newest first.
    pub(super) fn of(reports: &[Value]) -> Self {
        Self(reports.iter().rev().filter_map(Shape::of).collect())
    }

    /// What was before a kill, which is remembered from now on.
    pub(super) fn learn(&mut self, unix_ns: u64, shape: Shape) -> Earlier {
        let too_old = |(at, _): &(u64, Shape)| unix_ns.saturating_sub(*at) > DAY_NS;
        while self.0.len() >= MAX || self.0.front().is_some_and(too_old) {
            self.0.pop_front();
        }
        let same = |(_, other): &&(u64, Shape)| other.who == shape.who;
        let alike = |(_, other): &&(u64, Shape)| *other == shape && shape.part.is_some();
        let earlier = Earlier {
            kills: self.0.iter().filter(same).count(),
            alike: self.0.iter().filter(alike).count(),
        };
        self.0.push_back((unix_ns, shape));
        earlier
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(who: &str, comm: &str) -> Shape {
        Shape {
            who: who.to_owned(),
            comm: comm.to_owned(),
            part: Some("anon".to_owned()),
        }
    }

    #[test]
    fn the_same_again() {
        let kept = [
            json!({"complete": false, "noticed": "2026-11-21T02:00:00Z", "who": "a"}),
            json!({"time": "2026-11-21T01:00:00.5Z", "who": "a", "victim": {"comm": "java"}, "grew": "anon"}),
        ];
        let mut shapes = Shapes::of(&kept);
        let (at, _) = shapes.0[0];
        let earlier = shapes.learn(at + 1, shape("a", "java"));
        assert_eq!(earlier, Earlier { kills: 1, alike: 1 });
        let earlier = shapes.learn(at + 2, shape("a", "sh"));
        assert_eq!(earlier, Earlier { kills: 2, alike: 0 });
        assert_eq!(shapes.learn(at, shape("b", "java")), Earlier::default());
        // A day later nothing of it counts.
        let later = shapes.learn(at + DAY_NS + 3, shape("a", "java"));
        assert_eq!(later, Earlier::default());
    }

    #[test]
    fn bounded() {
        let many = (0..MAX as u64).map(|at| (at, Shape::default()));
        let mut shapes = Shapes(many.collect());
        for at in 0..3 {
            shapes.learn(MAX as u64 + at, shape("a", "x"));
        }
        assert_eq!(shapes.0.len(), MAX);
        assert_eq!(shapes.0[0].0, 3);
    }
}
