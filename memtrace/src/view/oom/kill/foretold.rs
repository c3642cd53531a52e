//! A block's part about the prediction that stood.

use crate::{
    model::oom::{Confidence, Fate, Held, KillStory, Prophecy},
    view::{oom::name, time::seconds},
};

pub(super) fn texts(story: &KillStory) -> Vec<String> {
    let Some(foretold) = &story.foretold else {
        return match story.fate {
            Fate::WasDying => Vec::new(),
            Fate::Chosen | Fate::Unknown => {
                vec!["nothing: the domain is unknown, or was never looked at before".to_owned()]
            }
        };
    };
    let since = foretold.since_ns.map_or(String::new(), |ns| {
        format!(", and in each look for {:.1} s", seconds(ns))
    });
    let mut texts = vec![format!("{}{since}", prophecy(&foretold.now, "now"))];
    texts.extend(
        foretold
            .at_limit
            .iter()
            .map(|one| prophecy(one, "at the limit")),
    );
    texts
}

fn prophecy(one: &Prophecy, when: &str) -> String {
    let whom = match &one.victim {
        Some((pid, comm)) => name(comm, *pid),
        None => "nobody".to_owned(),
    };
    let sure = match one.confidence {
        Some(Confidence::Certain) => ", certain",
        Some(Confidence::Likely) => ", likely",
        Some(Confidence::Tie) => ", a tie",
        None => "",
    };
    let share = one.share.map_or(String::new(), |share| {
        format!(" at {:.0} % of the limit", share * 100.0)
    });
    let held = match one.held {
        Held::Right => "right".to_owned(),
        Held::Tie => "another one with equal points: a tie".to_owned(),
        Held::Wrong(cause) => format!("WRONG, because {}", cause.words()),
    };
    format!(
        "{when}: {whom}{sure}, {:.0} ms before{share}: {held}",
        seconds(one.before_ns) * 1e3
    )
}
