mod damaged;
mod inputs;
mod sound;

use std::path::Path;

use super::{Damage, Recorder, Replay, ReplayError};
use crate::input::Input;

/// The bytes of a whole recording.
fn record(inputs: &[Input]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut recorder = Recorder::new(&mut bytes, Path::new("in memory")).unwrap();
    for input in inputs {
        recorder.append(input).unwrap();
    }
    assert_eq!(recorder.finish().unwrap(), inputs.len() as u64);
    bytes
}

/// What a replay gives: the inputs before the first damage, and the damage.
fn replay(bytes: &[u8]) -> Result<(Vec<Input>, Option<Damage>), ReplayError> {
    let mut replay = Replay::new(bytes, Path::new("in memory"))?;
    let mut inputs = Vec::new();
    let mut damage = None;
    for item in &mut replay {
        assert_eq!(damage, None, "damage is the last item");
        match item {
            Ok(input) => inputs.push(input),
            Err(found) => damage = Some(found),
        }
    }
    assert!(replay.next().is_none());
    Ok((inputs, damage))
}
