use std::io::{self, Write};

use super::{
    super::{
        DamageKind, RecordError,
        frame::{FRAME_HEADER_BYTES, FrameHeader, HEADER_BYTES, file_header},
    },
    inputs::every_input,
    *,
};

/// Where each frame begins and ends.
fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut frames = Vec::new();
    let mut at = HEADER_BYTES;
    while at < bytes.len() {
        let header = bytes[at..at + FRAME_HEADER_BYTES].try_into().unwrap();
        let payload_bytes = FrameHeader::from_bytes(header).payload_bytes as usize;
        let end = at + FRAME_HEADER_BYTES + payload_bytes;
        frames.push(at..end);
        at = end;
    }
    frames
}

/// A damaged recording gives a strict prefix of the inputs and says so, or is refused.
fn assert_noticed(bytes: &[u8], inputs: &[Input], how: &str) {
    match replay(bytes) {
        Ok((read, damage)) => {
            let damage = damage.unwrap_or_else(|| panic!("{how}: not noticed"));
            assert_eq!(read.len() as u64, damage.inputs_read, "{how}");
            assert!(inputs.starts_with(&read), "{how}");
        }
        Err(ReplayError::Open { .. } | ReplayError::Read { .. }) => panic!("{how}"),
        Err(_refused) => {}
    }
}

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014).
struct SplitMix64(u64);

impl SplitMix64 {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) as usize % bound
    }
}

#[test]
fn a_cut_at_any_byte_is_noticed() {
    let inputs = every_input();
    let bytes = record(&inputs);
    let frames = frames(&bytes);
    for length in 0..bytes.len() {
        let cut = &bytes[..length];
        assert_noticed(cut, &inputs, &format!("cut to {length} bytes"));
        if length < HEADER_BYTES {
            assert!(replay(cut).is_err());
            continue;
        }
        // Everything that is whole is given, and no more.
        let (read, damage) = replay(cut).unwrap();
        let whole = frames.iter().filter(|frame| frame.end <= length).count();
        let damage = damage.unwrap();
        assert_eq!(read.len(), whole);
        assert_eq!(damage.at_byte, frames[whole].start as u64);
        let at_boundary = length == frames[whole].start;
        let expected = if at_boundary {
            DamageKind::NoEnd
        } else {
            DamageKind::CutOff
        };
        assert_eq!(damage.what, expected);
    }
}

#[test]
fn a_flipped_bit_in_any_byte_is_noticed() {
    let inputs = every_input();
    let bytes = record(&inputs);
    let mut random = SplitMix64(2);
    for at in 0..bytes.len() {
        let bit = random.below(8);
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        assert_noticed(&flipped, &inputs, &format!("bit {bit} of byte {at}"));
    }
}

#[test]
fn random_damage_of_a_long_recording_is_noticed() {
    let inputs: Vec<_> = every_input().into_iter().cycle().take(100).collect();
    let bytes = record(&inputs);
    let mut random = SplitMix64(1);
    for _ in 0..200 {
        let length = random.below(bytes.len());
        assert_noticed(&bytes[..length], &inputs, &format!("cut to {length} bytes"));

        let (at, bit) = (random.below(bytes.len()), random.below(8));
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        assert_noticed(&flipped, &inputs, &format!("bit {bit} of byte {at}"));
        let how = format!("bit {bit} of byte {at}, cut to {length} bytes");
        assert_noticed(&flipped[..length], &inputs, &how);
    }
}

#[test]
fn frames_out_of_place_are_noticed() {
    let inputs = every_input();
    let bytes = record(&inputs);
    let frames = frames(&bytes);
    let header = &bytes[..HEADER_BYTES];
    for at in 0..inputs.len() {
        let mut parts: Vec<&[u8]> = frames.iter().map(|frame| &bytes[frame.clone()]).collect();
        let check = |parts: &[&[u8]], how: &str| {
            let changed = [header, &parts.concat()].concat();
            let (read, damage) = replay(&changed).unwrap();
            assert!(inputs.starts_with(&read));
            let damage = damage.unwrap_or_else(|| panic!("frame {at} {how}: not noticed"));
            assert_eq!(damage.what, DamageKind::Checksum, "frame {at} {how}");
        };
        parts.swap(at, at + 1);
        check(&parts, "swapped with the next");
        parts.swap(at, at + 1);
        parts.insert(at, parts[at]);
        check(&parts, "doubled");
        parts.drain(at..at + 2);
        check(&parts, "dropped");
    }
}

#[test]
fn bytes_after_the_end_are_noticed() {
    let inputs = every_input();
    let bytes = record(&inputs);
    let (read, damage) = replay(&[&bytes[..], &bytes].concat()).unwrap();
    assert_eq!(read, inputs);
    assert_eq!(damage.unwrap().what, DamageKind::AfterEnd);
}

#[test]
fn a_wild_length_allocates_nothing() {
    for length in [64 << 20, u32::MAX] {
        let mut frame = FrameHeader::new(0, 0, b"");
        frame.payload_bytes = length;
        let bytes = [&file_header(1)[..], &frame.to_bytes()].concat();
        let (read, damage) = replay(&bytes).unwrap();
        assert_eq!(read, []);
        let expected = match length {
            u32::MAX => DamageKind::Length(length),
            _ => DamageKind::CutOff,
        };
        assert_eq!(damage.unwrap().what, expected);
    }
}

#[test]
fn what_cannot_be_replayed_says_why() {
    let whole = record(&every_input());
    let mut flipped = whole.clone();
    flipped[9] ^= 1;
    for (bytes, said) in [
        (&b""[..], "is empty"),
        (b"{\"schema_version\": 1}", "is not a memtrace recording"),
        (b"\x7fELF", "is not a memtrace recording"),
        (&whole[..5], "damaged in its first 16 bytes"),
        (&flipped, "damaged in its first 16 bytes"),
        (
            &file_header(2),
            "has format 2, this memtrace reads format 1",
        ),
    ] {
        let error = replay(bytes).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let error = Replay::open(Path::new("/nonexistent/run")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/run"));
}

/// A disk with room for so many bytes.
struct SmallDisk<'a> {
    written: &'a mut Vec<u8>,
    room_bytes: usize,
}

impl Write for SmallDisk<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(self.room_bytes - self.written.len());
        if length == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.written.extend(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_closes_the_recorder_and_leaves_what_was_whole() {
    let inputs: Vec<_> = every_input().into_iter().cycle().take(5000).collect();
    let mut random = SplitMix64(3);
    for _ in 0..20 {
        let room_bytes = HEADER_BYTES + random.below(300_000);
        let mut written = Vec::new();
        let disk = SmallDisk {
            written: &mut written,
            room_bytes,
        };
        let mut recorder = Recorder::new(disk, Path::new("/full/run")).unwrap();
        let error = inputs
            .iter()
            .find_map(|input| recorder.append(input).err())
            .expect("5000 inputs are more than fit");
        let said = error.to_string();
        assert!(said.contains("/full/run"), "{said}");
        assert!(said.contains("free space"), "{said}");
        assert!(said.contains("can be replayed"), "{said}");
        let again = recorder.append(&inputs[0]);
        assert!(matches!(again, Err(RecordError::Closed { .. })));
        let end = recorder.finish();
        assert!(matches!(end, Err(RecordError::Closed { .. })));

        assert_eq!(written.len(), room_bytes);
        assert_noticed(&written, &inputs, "a full disk");
    }
}

#[test]
fn a_full_device_shows_before_the_work_starts() {
    let error = Recorder::create(Path::new("/dev/full")).unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, RecordError::Write { .. }), "{said}");
    assert!(said.contains("free space"), "{said}");
}

#[test]
fn a_recorder_that_is_dropped_leaves_its_inputs_and_no_end() {
    let inputs = every_input();
    let mut bytes = Vec::new();
    let mut recorder = Recorder::new(&mut bytes, Path::new("in memory")).unwrap();
    for input in &inputs {
        recorder.append(input).unwrap();
    }
    drop(recorder);
    let (read, damage) = replay(&bytes).unwrap();
    assert_eq!(read, inputs);
    assert_eq!(damage.unwrap().what, DamageKind::NoEnd);
}
