//! Real kills, recorded by `oom watch --record` on the ladder's kernels: the model against what the
//! kernels did.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    input::{Input, OomWatchFacts},
    model::oom::{Cause, Fate, Held, KillStory, Kills, TableSource},
    source::recording::Replay,
};

/// All kills of a recording, and what the watch knew.
pub(crate) fn stories(path: &Path) -> (Vec<KillStory>, OomWatchFacts) {
    let mut kills: Option<Kills> = None;
    let mut stories = Vec::new();
    let mut last_ns = 0;
    for input in Replay::open(path).unwrap() {
        match (input.unwrap(), &mut kills) {
            (Input::OomWatch(facts), _) => kills = Some(Kills::new(facts)),
            (Input::OomTick(now_ns), Some(kills)) => {
                last_ns = now_ns;
                stories.extend(kills.settled(now_ns));
            }
            (input, Some(kills)) => kills.apply(&input),
            (input, None) => panic!("{} begins with {input:?}", path.display()),
        }
    }
    let mut kills = kills.unwrap();
    stories.extend(kills.rest(last_ns));
    (stories, kills.facts().clone())
}

/// The recordings there are.
pub(crate) fn recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/model/oom/tests/fixture");
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_model_agrees_with_what_kernels_did() {
    let mut told = 0;
    let mut scans = 0;
    let mut series = BTreeSet::new();
    for path in recordings() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        series.extend(name.split_once('-').map(|(series, _)| series.to_owned()));
        for story in stories(&path).0 {
            told += 1;
            let what = format!("{}: {story:#?}", path.display());
            assert_eq!(story.fate, Fate::Chosen, "{what}");
            assert!(
                story.limit.is_some() && story.differences.is_empty(),
                "{what}"
            );
            let table = story.table.as_ref().unwrap();
            assert!(
                table.rows.iter().all(|row| row.agrees != Some(false)),
                "{what}"
            );
            if table.source == TableSource::Hooks {
                scans += 1;
                // Of equals the last.
                let best = table.rows.iter().max_by_key(|row| row.kernel_points);
                let chosen = best.map(|row| row.pid);
                assert_eq!(chosen, Some(story.report.victim.pid), "{what}");
                assert!(story.points().unwrap().1, "{what}");
            }
            if let Some(foretold) = &story.foretold {
                // Who comes after the last look cannot be foretold.
                let missed = Held::Wrong(Cause::NotThere);
                let held = foretold.now.held;
                assert!(
                    matches!(held, Held::Right | Held::Tie) || held == missed,
                    "{what}"
                );
            }
        }
    }
    assert!(told > 15 && scans > 15, "{told} kills, {scans} scans");
    assert_eq!(series.len(), 5, "{series:?}");
}
