use std::{fs, os::unix::fs::PermissionsExt as _};

use serde::Serialize;

use super::{
    super::{
        RecordError,
        frame::{FRAME_HEADER_BYTES, FrameHeader, KIND_END, KIND_INPUT, file_header},
    },
    inputs::{KINDS, every_input, kind},
    *,
};

#[test]
fn every_input_survives_the_round_trip() {
    let inputs = every_input();
    for missing in 0..KINDS {
        assert!(inputs.iter().any(|input| kind(input) == missing));
    }
    let (read, damage) = replay(&record(&inputs)).unwrap();
    assert_eq!(read, inputs);
    assert_eq!(damage, None);
}

#[test]
fn a_recording_of_nothing_is_whole() {
    let (read, damage) = replay(&record(&[])).unwrap();
    assert_eq!((read, damage), (vec![], None));
}

#[test]
fn a_recording_larger_than_the_buffer_is_whole() {
    let inputs: Vec<_> = every_input().into_iter().cycle().take(5000).collect();
    let bytes = record(&inputs);
    assert!(bytes.len() > 256 << 10, "{}", bytes.len());
    let (read, damage) = replay(&bytes).unwrap();
    assert_eq!(damage, None);
    assert!(read == inputs);
}

/// Frames a payload as a memtrace with other fields would have.
fn recording_of(payload: &impl Serialize) -> Vec<u8> {
    let payload = rmp_serde::to_vec_named(payload).unwrap();
    let count = 1u64.to_le_bytes();
    [
        &file_header(1)[..],
        &FrameHeader::new(0, KIND_INPUT, &payload).to_bytes(),
        &payload,
        &FrameHeader::new(1, KIND_END, &count).to_bytes(),
        &count,
    ]
    .concat()
}

#[test]
fn fields_of_other_versions_do_no_harm() {
    #[derive(Serialize)]
    enum OtherInput {
        CommandEnded { newer: &'static str, code: i32 },
    }
    // `newer` is not known here, `signal` was not known there.
    let other = OtherInput::CommandEnded {
        newer: "x",
        code: 3,
    };
    let (read, damage) = replay(&recording_of(&other)).unwrap();
    let expected = Input::CommandEnded {
        code: Some(3),
        signal: None,
    };
    assert_eq!((read, damage), (vec![expected], None));
}

#[test]
fn an_input_of_a_newer_version_is_named() {
    #[derive(Serialize)]
    enum OtherInput {
        Eclipse { at_ns: u64 },
    }
    let bytes = recording_of(&OtherInput::Eclipse { at_ns: 1 });
    let (read, damage) = replay(&bytes).unwrap();
    assert_eq!(read, []);
    let said = damage.unwrap().to_string();
    assert!(said.contains("this version of memtrace"), "{said}");
    assert!(said.contains("Eclipse"), "{said}");
}

#[test]
fn a_file_is_written_for_its_owner_and_replaced_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.memtrace");
    let inputs = every_input();
    for count in [inputs.len(), 3] {
        let mut recorder = Recorder::create(&path).unwrap();
        for input in &inputs[..count] {
            recorder.append(input).unwrap();
        }
        recorder.finish().unwrap();
        let read: Vec<_> = Replay::open(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, inputs[..count]);
    }
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_that_is_no_recording_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("thesis.txt");
    for content in ["ten years of work", "MEM"] {
        fs::write(&path, content).unwrap();
        let refused = Recorder::create(&path);
        assert!(matches!(refused, Err(RecordError::NotARecording { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    fs::write(&path, "").unwrap();
    Recorder::create(&path).unwrap().finish().unwrap();
}

#[test]
fn a_recording_that_cannot_be_created_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("none/run"), folder.path().to_owned()] {
        let error = Recorder::create(&path).unwrap_err();
        assert!(matches!(error, RecordError::Create { .. }));
        let said = error.to_string();
        assert!(said.contains(path.to_str().unwrap()), "{said}");
        assert!(said.contains("choose another"), "{said}");
    }
}

#[test]
fn bytes_in_front_of_a_payload_are_the_documented_ones() {
    let bytes = record(&[]);
    assert_eq!(&bytes[..12], b"MEMTRACE\x01\0\0\0");
    assert_eq!(&bytes[16..24], [1, 0, 0, 0, 8, 0, 0, 0]);
    assert_eq!(bytes.len(), 16 + FRAME_HEADER_BYTES + 8);
}
