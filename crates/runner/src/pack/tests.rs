//! Packed disks come back, and damaged ones do not.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use proptest::prelude::*;

use super::*;

const DISK_BYTES: u64 = 32 << 20;
const FIRST_ID: u32 = 3_500_065_536;

fn disk(parts: &[(u64, Vec<u8>)]) -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(DISK_BYTES).unwrap();
    for (at, bytes) in parts {
        file.write_all_at(bytes, *at).unwrap();
    }
    file
}

fn packed(disk: &File) -> (Vec<u8>, Summary) {
    let mut object = Vec::new();
    let summary = pack(disk, FIRST_ID, &mut object).unwrap();
    (object, summary)
}

fn unpacked(object: &[u8], digest: &str) -> Result<(Vec<u8>, Summary), String> {
    let file = tempfile::tempfile().unwrap();
    let summary = unpack(&mut &*object, &file, DISK_BYTES, digest).map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    (&file).read_to_end(&mut content).unwrap();
    Ok((content, summary))
}

fn content(disk: &File) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(DISK_BYTES).unwrap()];
    disk.read_exact_at(&mut content, 0).unwrap();
    content
}

/// Bytes that cannot be compressed.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 9_u64;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..bytes).map(step).collect()
}

fn sample() -> File {
    disk(&[
        (0, b"begins".to_vec()),
        (BLOCK * 5 - 3, b"over the edge of a block".to_vec()),
        (2 << 20, noise((3 << 20) + 5)),
        (20 << 20, vec![7; 5 << 20]),
        (DISK_BYTES - 1, b"z".to_vec()),
    ])
}

#[test]
fn a_disk_comes_back_with_its_holes() {
    for disk in [sample(), disk(&[])] {
        let (object, summary) = packed(&disk);
        let (back, again) = unpacked(&object, &summary.digest).unwrap();
        assert_eq!(again, summary);
        assert_eq!((summary.first_id, summary.disk_bytes), (FIRST_ID, DISK_BYTES));
        assert!(back == content(&disk));
        let file = tempfile::tempfile().unwrap();
        unpack(&mut object.as_slice(), &file, DISK_BYTES, &summary.digest).unwrap();
        assert!(file.metadata().unwrap().blocks() * 512 <= summary.content_bytes + (1 << 20));
    }
    // What is all zeros is worth nothing, and what repeats is worth little.
    assert!(packed(&disk(&[(0, vec![0; 8 << 20])])).0.len() < 100);
    assert!(packed(&disk(&[(0, vec![7; 8 << 20])])).0.len() < 100_000);
}

#[test]
fn the_digest_is_that_of_the_content_and_not_of_its_shape() {
    let plain = disk(&[(BLOCK * 9, noise(BLOCK_BYTES * 3))]);
    // The same content, with blocks of zeros written out around it.
    let written = disk(&[(0, vec![0; 3 << 20]), (BLOCK * 9, noise(BLOCK_BYTES * 3))]);
    assert_eq!(packed(&plain).1.digest, packed(&written).1.digest);
    let other = disk(&[(BLOCK * 10, noise(BLOCK_BYTES * 3))]);
    assert_ne!(packed(&plain).1.digest, packed(&other).1.digest);
    let mut object = Vec::new();
    assert_ne!(pack(&plain, FIRST_ID + 1, &mut object).unwrap().digest, packed(&plain).1.digest);
}

#[test]
fn a_cut_object_is_damaged_wherever_it_is_cut() {
    let (object, summary) = packed(&disk(&[(0, noise(BLOCK_BYTES)), (BLOCK * 8, vec![3; BLOCK_BYTES])]));
    for length in 0..object.len() {
        let error = unpacked(&object[..length], &summary.digest).err().unwrap();
        assert_eq!(error, "it ends before its end", "{length}");
    }
    let longer = [object.as_slice(), b"x"].concat();
    assert_eq!(unpacked(&longer, &summary.digest).err().unwrap(), "it goes on after its end");
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let disk = disk(&[(0, noise(600)), (BLOCK * 8, vec![3; BLOCK_BYTES])]);
    let ((object, summary), content) = (packed(&disk), content(&disk));
    let mut harmless = 0;
    for position in 0..object.len() {
        let mut flipped = object.clone();
        flipped[position] ^= 1 << (position % 8);
        if let Ok((back, _)) = unpacked(&flipped, &summary.digest) {
            // The same run of bytes can be written in several ways.
            assert!(back == content, "bit {position} changed the disk");
            harmless += 1;
        }
    }
    assert!(harmless < object.len() / 100, "{harmless} of {}", object.len());
}

#[test]
fn an_object_of_something_else_is_not_the_backup() {
    let (object, _) = packed(&sample());
    let (_, other) = packed(&disk(&[]));
    let error = unpacked(&object, &other.digest).err().unwrap();
    assert!(error.contains("that of the backup is"), "{error}");
}

fn frame(at: u64, plain: u32, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    [at.to_le_bytes().as_slice(), &plain.to_le_bytes(), &length, bytes].concat()
}

#[test]
fn hostile_objects_are_refused_before_they_cost_anything() {
    let block = u32::try_from(BLOCK_BYTES).unwrap();
    let head = header(FIRST_ID, DISK_BYTES).to_vec();
    let bomb = lz4_flex::block::compress(&vec![0; 64 << 20]);
    let huge = [0_u64.to_le_bytes().as_slice(), &u32::MAX.to_le_bytes(), &u32::MAX.to_le_bytes()].concat();
    let stored = vec![1; BLOCK_BYTES];
    for (name, head, frames) in [
        ("another magic", [b"DAYTDISC".as_slice(), &head[8..]].concat(), vec![]),
        ("another version", [&head[..8], &[9, 0, 0, 0], &head[12..]].concat(), vec![]),
        ("a huge disk", header(FIRST_ID, u64::MAX - (BLOCK - 1)).to_vec(), vec![]),
        ("more disk than was ordered", header(FIRST_ID, DISK_BYTES + BLOCK).to_vec(), vec![]),
        ("half a block of disk", header(FIRST_ID, 100).to_vec(), vec![]),
        ("huge lengths", head.clone(), huge),
        ("beyond the disk", head.clone(), frame(DISK_BYTES, block, &stored)),
        ("over the end of the disk", head.clone(), frame(DISK_BYTES - BLOCK, block * 2, &stored)),
        ("beyond all numbers", head.clone(), frame(u64::MAX - (BLOCK - 1) - BLOCK, block * 2, &stored)),
        ("between blocks", head.clone(), frame(1, block, &stored)),
        ("a frame of nothing", head.clone(), frame(0, 0, &[])),
        ("backwards", head.clone(), [frame(BLOCK, block, &stored), frame(0, block, &stored)].concat()),
        ("twice", head.clone(), [frame(0, block, &stored), frame(0, block, &stored)].concat()),
        ("a bomb", head.clone(), frame(0, 1 << 20, &bomb[..1000])),
        (
            "more than it says",
            head.clone(),
            frame(0, block, &lz4_flex::block::compress(&vec![0; 2 << 20])[..4000]),
        ),
        ("less than it says", head.clone(), frame(0, block * 2, &lz4_flex::block::compress(&stored))),
        ("longer than plain", head.clone(), frame(0, block, &vec![0; BLOCK_BYTES + 1])),
        ("an end with a length", head, frame(END, 1, &[0; 32])),
    ] {
        let object = [head, frames].concat();
        // Whatever is read beyond it would be zeros for ever.
        let mut endless = object.as_slice().chain(std::io::repeat(0)).take(1 << 30);
        let file = tempfile::tempfile().unwrap();
        let error = unpack(&mut endless, &file, DISK_BYTES, "").expect_err(name);
        assert!(matches!(error, UnpackError::Damaged(_)), "{name}: {error:?}");
        assert!(file.metadata().unwrap().blocks() * 512 <= 2 << 20, "{name} cost disk");
    }
}

#[test]
fn an_end_that_is_right_for_a_wrong_content_is_refused() {
    // Whoever can change an object can make its digest fit, but not that of the row.
    let (_, mine) = packed(&sample());
    let (forged, _) = packed(&disk(&[(0, b"evil".to_vec())]));
    assert!(unpacked(&forged, &mine.digest).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn noise_is_never_a_disk_and_never_a_panic(noise in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let object = [header(FIRST_ID, DISK_BYTES).as_slice(), &noise].concat();
        prop_assert!(unpacked(&object, "").is_err());
    }

    #[test]
    fn any_disk_comes_back(
        parts in proptest::collection::vec((0..DISK_BYTES - 70_000, proptest::collection::vec(any::<u8>(), 1..70_000)), 0..6),
    ) {
        let disk = disk(&parts);
        let (object, summary) = packed(&disk);
        let (back, again) = unpacked(&object, &summary.digest).unwrap();
        prop_assert_eq!(again, summary);
        prop_assert!(back == content(&disk));
    }
}
